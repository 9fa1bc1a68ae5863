"""Faces at scale: Ray's workers find what the detector finds, and lose and double nothing."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import s3fd
from s3fd import FaceDetector
from s3fd.commands import detect_ray
from s3fd.commands.ray_shards import FindInShards, parquet_shards
from s3fd.ray import DetectFaces

ray = pytest.importorskip("ray", reason="needs Ray Data: pip install 's3fd[ray]'")
pytest.importorskip("ray.data", reason="needs Ray Data: pip install 's3fd[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")

ASTRONAUT = Path(s3fd.__file__).parent / "assets" / "astronaut.jpg"
SIDES = range(96, 192, 8)


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine."""
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    """A face in several sizes, and something that is no photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for side in SIDES:
        Image.open(ASTRONAUT).resize((side, side)).save(folder / f"{side:03}.jpg")
    (folder / "112.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def detector():
    return FaceDetector.from_pretrained(device="cpu")


def assert_equal(rows, photos, detector):
    """Every photo has one row, with what the plain detector finds."""
    assert sorted(row["path"] for row in rows) == [str(path) for path in sorted(photos.iterdir())]
    for row in rows:
        if row["path"].endswith("112.jpg"):
            assert "not a picture" in row["error"]
            assert (row["boxes"], row["scores"], row["width"]) == ([], [], None)
            continue
        faces = detector(row["path"])
        np.testing.assert_allclose(row["boxes"], faces.boxes, atol=1e-2)
        np.testing.assert_allclose(row["scores"], faces.scores, atol=1e-4)
        assert (row["height"], row["width"]) == faces.image_size
        assert row["error"] is None


def test_rows_keep_their_order_and_their_other_columns(photos, detector):
    paths = [str(path) for path in sorted(photos.iterdir())]
    batch = {"path": np.array(paths), "number": np.arange(12), "point": np.zeros((12, 2))}
    table = DetectFaces(device="cpu")(batch)
    assert_equal(table.to_pylist(), photos, detector)
    assert table["path"].to_pylist() == paths
    assert table["number"].to_pylist() == list(range(12))
    assert table["point"].to_pylist() == [[0, 0]] * 12


def test_a_photo_is_pixels_or_bytes_or_a_path_whichever_is_there(detector):
    pixels = np.empty(4, object)
    pixels[0] = np.asarray(Image.open(ASTRONAUT))
    data = np.array([b"passed over", ASTRONAUT.read_bytes(), None, None], object)
    path = np.array(["passed over", "passed over", str(ASTRONAUT), None], object)
    table = DetectFaces(device="cpu")({"image": pixels, "bytes": data, "path": path})
    assert table.column_names == ["path", "boxes", "scores", "width", "height", "error"]
    *rows, last = table.to_pylist()
    for row in rows:
        np.testing.assert_allclose(row["boxes"], detector(ASTRONAUT).boxes, atol=1e-2)
    assert last["error"] == "no photo: image, bytes, path without a value"


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([], TypeError, "expected columns by name, got list"),
        ({"name": []}, ValueError, r"expected a column 'image', 'bytes', 'path', got \['name'\]"),
        ({"path": [], "scores": []}, ValueError, "'scores' would be replaced by the results"),
    ],
)
def test_a_batch_that_cannot_be_used_is_an_error_with_a_remedy(batch, error, message):
    with pytest.raises(error, match=message):
        DetectFaces(device="cpu")(batch)


def test_two_workers_find_what_the_detector_finds_though_one_is_killed(
    cluster, photos, detector, tmp_path
):
    died = tmp_path / "died"

    class DiesOnce(DetectFaces):
        def __call__(self, batch):
            if not died.exists() and any("136" in path for path in batch["path"]):
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(batch)

    rows = [{"path": str(path)} for path in photos.iterdir()]
    found = ray.data.from_items(rows, override_num_blocks=4).map_batches(
        DiesOnce, fn_constructor_kwargs={"device": "cpu"}, batch_size=3, concurrency=2
    )
    assert_equal(found.take_all(), photos, detector)
    assert died.exists()


def results(folder):
    files = sorted(folder.glob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def test_shards_are_whole_though_a_worker_is_killed_and_are_not_made_twice(
    cluster, run, photos, detector, tmp_path, monkeypatch
):
    died, out = tmp_path / "died", tmp_path / "results"

    class DiesOnce(FindInShards):
        def _make(self, shard):
            made = super()._make(shard)
            if not died.exists() and shard.number == 1:
                shutil.copy(self._folder / shard.file(self._naming), died)
                (self._folder / shard.file(self._naming)).unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return made

    monkeypatch.setattr(detect_ray, "FindInShards", DiesOnce)
    arguments = ["detect", photos, "--ray", "--out", out, "--device", "cpu", "--shard-size", "5"]
    result = run(*arguments)
    assert result.exit_code == 1
    readable = [path for path in photos.iterdir() if path.name != "112.jpg"]
    faces = sum(len(detector(path)) for path in readable)
    assert f"{faces} faces in 12 photos, 1 of which can't be read" in result.stdout
    assert len(list(out.iterdir())) == 3
    assert_equal(results(out), photos, detector)

    first, second, _ = sorted(out.iterdir())
    second.unlink()
    before = first.stat().st_mtime_ns
    result = run(*arguments)
    assert "2 of 3 files were there already" in result.stdout
    assert_equal(results(out), photos, detector)
    assert first.stat().st_mtime_ns == before

    refused = run(*arguments, "--threshold", "0.9")
    assert refused.exit_code == 2
    assert "is of other photos, options or shards" in refused.stderr


def test_a_shard_that_cannot_be_written_is_told_and_the_others_are_made(
    cluster, run, photos, detector, tmp_path, monkeypatch
):
    out = tmp_path / "results"

    class FullDisk(FindInShards):
        def _make(self, shard):
            if shard.number == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super()._make(shard)

    monkeypatch.setattr(detect_ray, "FindInShards", FullDisk)
    arguments = ["detect", photos, "--ray", "--out", out, "--device", "cpu", "--shard-size", "5"]
    result = run(*arguments)
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "No space left on device; mend it, and give the same command again" in error
    assert len(list(out.iterdir())) == 2

    monkeypatch.undo()
    assert "2 of 3 files were there already" in run(*arguments).stdout
    assert_equal(results(out), photos, detector)


def test_rows_of_parquet_files_are_photos_too(cluster, run, detector, tmp_path):
    import pyarrow as pa

    table = pa.table({"bytes": [ASTRONAUT.read_bytes(), b"no photo"], "id": [7, 8]})
    parquet.write_table(table, tmp_path / "photos.parquet")
    result = run(
        *("detect", tmp_path / "photos.parquet", "--ray", "--out", tmp_path / "results"),
        *("--device", "cpu"),
    )
    assert "1 faces in 2 photos, 1 of which can't be read" in result.stdout
    one, other = results(tmp_path / "results")
    np.testing.assert_allclose(one["boxes"], detector(ASTRONAUT).boxes, atol=1e-2)
    assert (one["id"], other["id"]) == (7, 8)


def test_columns_keep_their_types_though_they_begin_without_values(detector, tmp_path):
    import pyarrow as pa

    count = 70  # more than are read at a time
    late = {
        "path": ("string", str(ASTRONAUT)), "note": ("string", "late"), "number": ("int16", 7),
        "tags": (pa.list_(pa.string()), ["a"]), "pairs": (pa.map_("string", "int8"), [("a", 1)]),
        "bytes": ("binary", None),
    }  # fmt: skip
    table = pa.table({
        name: pa.array([None] * (count - 1) + [value], kind)
        for name, (kind, value) in late.items()
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "photos.parquet")
    (shard,) = parquet_shards([tmp_path / "photos.parquet"])
    find = FindInShards(str(tmp_path), {}, {"device": "cpu"})
    assert find({"shard": [json.dumps(asdict(shard))]})["photos"] == [count]
    found = parquet.read_table(tmp_path / shard.file({}))
    for name in late.keys() - {"bytes"}:
        assert found[name].type == table[name].type
        assert found[name].to_pylist() == table[name].to_pylist()
    *rest, last = found.to_pylist()
    assert {row["error"] for row in rest} == {"no photo: bytes, path without a value"}
    np.testing.assert_allclose(last["boxes"], detector(ASTRONAUT).boxes, atol=1e-2)


def test_pixels_in_lists_of_pyarrow_are_those_of_an_array(detector):
    import pyarrow as pa

    pixels = np.asarray(Image.open(ASTRONAUT).resize((96, 80)))
    kind = pa.list_(pa.list_(pa.list_(pa.uint8())))
    crooked = [[[1, 2, 3]], [[1, 2, 3]] * 2]
    column = pa.array([pixels.tolist(), crooked, None], kind)
    right, wrong, none = DetectFaces(device="cpu")({"image": column}).to_pylist()
    np.testing.assert_allclose(right["boxes"], detector(pixels).boxes, atol=1e-2)
    assert (right["width"], right["error"]) == (96, None)
    assert wrong["error"] == "expected rows of one length, got [1, 2]"
    assert none["error"] == "no photo: image without a value"


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
def test_a_photo_whose_name_is_no_text_is_found_and_its_name_written_with_escapes(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path / "gru") + b"\xdf.jpg")
    shutil.copy(ASTRONAUT, name)
    (row,) = DetectFaces(device="cpu")({"path": np.array([name])}).to_pylist()
    assert len(row["boxes"]) == 1
    assert row["path"] == str(tmp_path / "gru\\udcdf.jpg")


def test_a_number_in_place_of_the_bytes_of_a_photo_is_an_error_of_its_row():
    (row,) = DetectFaces(device="cpu")({"bytes": [10**12]}).to_pylist()
    assert "a bytes-like object is required" in row["error"]


def test_a_group_without_rows_is_no_shard(tmp_path):
    import pyarrow as pa

    with parquet.ParquetWriter(tmp_path / "photos.parquet", pa.schema({"path": "string"})) as file:
        for rows in ([], ["a.jpg"], []):
            file.write_table(pa.table({"path": pa.array(rows, "string")}))
    assert parquet.ParquetFile(tmp_path / "photos.parquet").metadata.num_row_groups == 3
    assert [shard.group for shard in parquet_shards([tmp_path / "photos.parquet"])] == [1]


BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "ray_memory.py"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(not BENCHMARK.is_file(), reason="the benchmarks are not here")
def test_the_memory_of_a_cluster_is_measured_for_some_photos_and_twice_as_many(tmp_path):
    figures, arguments = tmp_path / "figures.json", ["--photos", "2", "--json"]
    command = [sys.executable, str(BENCHMARK), *arguments, str(figures)]
    subprocess.run(command, check=True)
    measured = json.loads(figures.read_text())
    assert list(measured) == ["2", "4"]
    for peaks in measured.values():
        assert 50 < peaks["worker"] < peaks["together"]
        assert 50 < peaks["command"] < peaks["together"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["name"], "photos.parquet: expected a column 'image', 'bytes', 'path', got ['name']"),
        (["path", "boxes"], "photos.parquet: 'boxes' would be replaced by the results"),
    ],
)
def test_columns_are_looked_at_before_a_cluster_is_asked(run, tmp_path, columns, message):
    import pyarrow as pa

    table = pa.table({name: ["a.jpg"] for name in columns})
    parquet.write_table(table, tmp_path / "photos.parquet")
    refused = run("detect", tmp_path / "photos.parquet", "--ray", "--out", tmp_path / "results")
    assert refused.exit_code == 2
    assert message in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ray"], "--ray: expected --out DIR"),
        (["--ray", "--out", "x", "--resume"], "--ray: expected --out DIR, without"),
        (["--ray", "--out", "x", "more.parquet"], "got some of both"),
    ],
)
def test_mistakes_are_found_before_a_cluster_is_asked(run, arguments, message, tmp_path):
    arguments = [str(tmp_path / "x") if x == "x" else x for x in arguments]
    refused = run("detect", ASTRONAUT, *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
