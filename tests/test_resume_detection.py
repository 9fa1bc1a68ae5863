"""``s3fd detect --json --resume`` goes on where a run was stopped, and does nothing twice."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import s3fd
from s3fd.commands.json_lines import JsonLines

ASTRONAUT = Path(s3fd.__file__).parent / "assets" / "astronaut.jpg"


@pytest.fixture
def photos(tmp_path):
    """Six photos, one of them damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    face = Image.open(ASTRONAUT)
    for side in range(96, 144, 8):
        face.resize((side, side)).save(folder / f"{side}.jpg")
    (folder / "112.jpg").write_bytes(b"no photo")
    return folder


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_that_was_killed_is_gone_on_with(run, photos, tmp_path):
    for number in range(60):
        shutil.copy(photos / "96.jpg", photos / f"more-{number:02}.jpg")
    whole, file = tmp_path / "whole.jsonl", tmp_path / "faces.jsonl"
    assert run("detect", photos, "--json", whole).exit_code == 1
    command = [sys.executable, "-m", "s3fd", "detect", photos, "--batch-size", "1", "--json", file]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and (not file.exists() or file.read_bytes().count(b"\n") < 8):
        pass
    process.kill()
    process.wait()
    done = read(file)
    assert 8 <= len(done) < 66, "lines are there as they come, and the process was killed"
    result = run("detect", photos, "--json", file, "--resume")
    assert f", {len(done)} done before, 1 error" in result.stdout
    assert result.exit_code == 1, "an error of the first run counts"
    assert [record["photo"] for record in read(file)] == [r["photo"] for r in read(whole)]


def test_a_line_that_was_cut_is_written_anew(run, photos, tmp_path):
    file = tmp_path / "faces.jsonl"
    assert run("detect", photos, "--json", file).exit_code == 1
    whole = file.read_bytes()
    for kept in (0, 1, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 30, len(whole) - 1):
        file.write_bytes(whole[:kept])
        assert run("detect", photos, "--json", file, "--resume").exit_code == 1
        assert read(file) == [json.loads(line) for line in whole.splitlines()]


def test_nothing_is_done_where_all_is_done(run, photos, tmp_path):
    arguments = ["detect", photos, "gone.jpg", "--json", tmp_path / "faces.jsonl"]
    first = run(*arguments)
    before = (tmp_path / "faces.jsonl").read_bytes()
    again = run(*arguments, "--resume")
    assert (tmp_path / "faces.jsonl").read_bytes() == before
    assert "2 errors" in first.stdout
    assert "0 faces in 0 photos, 7 done before, 2 errors" in again.stdout


def test_a_file_that_is_not_there_is_begun(run, photos, tmp_path):
    run("detect", photos, "--json", tmp_path / "faces.jsonl", "--resume")
    assert len(read(tmp_path / "faces.jsonl")) == 6


def test_relative_and_absolute_names_are_the_same_photos(run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("detect", "photos", "--json", "faces.jsonl")
    assert "6 done before" in run("detect", photos, "--json", "faces.jsonl", "--resume").stdout


def test_copies_of_an_earlier_run_are_neither_replaced_nor_searched(run, photos, tmp_path):
    (photos / "deep").mkdir()
    shutil.copy(photos / "96.jpg", photos / "deep" / "96.jpg")
    one, other = photos / "96.jpg", photos / "deep" / "96.jpg"
    file = tmp_path / "faces.jsonl"
    run("detect", one, "--out", photos, "--json", file)
    run("detect", one, other, "--out", photos, "--json", file, "--resume")
    drawn = [record["drawn"] for record in read(file)]
    assert drawn == [str(photos / "96-faces.jpg"), str(photos / "96-faces-2.jpg")]
    run("detect", photos, "--out", photos, "--json", file, "--resume")
    searched = [Path(record["photo"]).name for record in read(file)]
    assert not [name for name in searched if "faces" in name]


def test_a_video_that_was_not_finished_is_done_anew(run, photos, tmp_path):
    frames = [{"video": "clip.mp4", "frame": n, "time": n / 10, "faces": []} for n in range(3)]
    other = {"photo": str(photos / "96.jpg"), "width": 96, "height": 96, "faces": []}
    trouble = {"photo": "clip.mp4", "error": "drawn/clip-faces.mp4 can't be written"}
    file = tmp_path / "faces.jsonl"
    for lines, kept in (
        ([other, *frames], [other]),
        ([other, trouble, *frames], [other]),
        ([*frames, other], [*frames, other]),
    ):
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        run("detect", photos / "96.jpg", "--json", file, "--resume")
        assert read(file) == kept


def test_a_file_of_something_else_is_refused_and_left_alone(run, photos, tmp_path):
    file = tmp_path / "faces.jsonl"
    run("detect", photos, "--json", file)
    damaged = b"my notes\n" + file.read_bytes()
    file.write_bytes(damaged)
    refused = run("detect", photos, "--json", file, "--resume")
    assert refused.exit_code == 2
    assert f"--resume: {file}, line 1: expected a line of `s3fd detect --json`" in refused.stderr
    assert file.read_bytes() == damaged


@pytest.mark.parametrize(
    "text", [b"my notes\n", b"my notes", b'{"images": []}', b"null\n", b'{"photo": 7}\n', b"\0\n"]
)
def test_a_single_line_of_something_else_is_no_line_that_was_cut(run, tmp_path, text):
    file = tmp_path / "notes"
    file.write_bytes(text)
    refused = run("detect", ASTRONAUT, "--json", file, "--resume")
    assert refused.exit_code == 2
    assert f"--resume: {file}, line 1: expected a line" in refused.stderr
    assert file.read_bytes() == text


@pytest.mark.parametrize("rest", [b"", b"{", b'{"vid', b'{"photo": "b', b"\0" * 4096])
def test_the_beginning_of_a_line_and_zeros_of_a_disk_are_written_over(photos, tmp_path, rest):
    file = tmp_path / "faces.jsonl"
    file.write_bytes(b'{"photo": "a.jpg"}\n' + rest)
    with JsonLines(str(file), resume=True) as lines:
        lines.write('{"photo": "new.jpg"}')
    assert [record["photo"] for record in read(file)] == ["a.jpg", "new.jpg"]


ODD = [
    {"photo": 7},
    {"photo": "\ud800"},
    {"photo": "a.jpg", "drawn": ["a"]},
    {"photo": "a.jpg", "drawn": "\ud800"},
]


@pytest.mark.parametrize("line", [*map(json.dumps, ODD), '{"photo": ' + "[" * 100_000])
def test_a_line_with_odd_values_is_refused(run, tmp_path, line):
    file = tmp_path / "faces.jsonl"
    file.write_text(f'{line}\n{{"photo": "b.jpg"}}\n')
    refused = run("detect", ASTRONAUT, "--json", file, "--resume")
    assert refused.exit_code == 2
    assert f"--resume: {file}, line 1: expected a line" in refused.stderr


@pytest.mark.skipif(os.name != "posix", reason="Windows can't tell")
@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_file_that_another_run_writes_is_refused_and_left_alone(run, photos, tmp_path, resume):
    file = tmp_path / "faces.jsonl"
    with JsonLines(str(file)) as first:
        first.write('{"photo": "first.jpg"}')
        refused = run("detect", photos, "--json", file, *resume)
        assert refused.exit_code == 2
        assert f"--json: {file} is being written by another process" in refused.stderr
        first.write('{"photo": "second.jpg"}')
    assert [record["photo"] for record in read(file)] == ["first.jpg", "second.jpg"]
    run("detect", photos / "96.jpg", "--json", file, *resume)
    assert len(read(file)) == (3 if resume else 1), "the file is free when a run has ended"


@pytest.mark.skipif(os.name != "posix", reason="needs names that are no text")
def test_photos_whose_names_are_no_text_are_gone_on_with(run, photos, tmp_path):
    try:
        shutil.copy(photos / "96.jpg", os.fsencode(photos) + b"/bad\xff.jpg")
    except OSError:
        pytest.skip("this file system has names of text alone")
    file = tmp_path / "faces.jsonl"
    arguments = ["detect", photos, "--out", tmp_path / "out", "--json", file]
    assert run(*arguments).exit_code == 1
    before = file.read_bytes()
    assert b"bad\\udcff-faces.jpg" in before
    assert "7 done before, 1 error" in run(*arguments, "--resume").stdout
    assert file.read_bytes() == before


def test_a_photo_whose_copy_the_disk_did_not_take_is_done_again(run, photos, tmp_path, monkeypatch):
    file, save = tmp_path / "faces.jsonl", s3fd.Detections.save

    def full(faces, path):
        if "128" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return save(faces, path)

    arguments = ["detect", photos, "--out", tmp_path / "out", "--json", file]
    monkeypatch.setattr(s3fd.Detections, "save", full)
    for more in ([], ["--resume"]):
        result = run(*arguments, *more)
        assert result.exit_code == 1
        assert "128-faces.jpg can't be written (No space left on device)" in result.stderr
        assert "2 errors" in result.stdout, "the other photo can't be read"
        assert not [record for record in read(file) if "128" in record["photo"]]
    monkeypatch.undo()
    result = run(*arguments, "--resume")
    assert result.exit_code == 1
    assert "5 done before, 1 error" in result.stdout
    (record,) = [record for record in read(file) if "128" in record["photo"]]
    assert Path(record["drawn"]).is_file()
    assert "faces" in record


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_line_that_the_disk_takes_in_part_is_an_error_and_gone_on_with(run, tmp_path):
    import resource

    whole, file = tmp_path / "whole.jsonl", tmp_path / "faces.jsonl"
    run("detect", ASTRONAUT, "--json", whole)
    most = whole.stat().st_size - 10
    result = subprocess.run(
        [sys.executable, "-m", "s3fd", "detect", ASTRONAUT, "--json", file],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert str(file) in result.stderr
    assert run("detect", ASTRONAUT, "--json", file, "--resume").exit_code == 0
    assert read(file) == read(whole)


@pytest.mark.parametrize("arguments", [[], ["--json", "-"]])
def test_there_must_be_a_file_to_go_on_with(run, arguments):
    refused = run("detect", ASTRONAUT, "--resume", *arguments)
    assert refused.exit_code == 2
    assert "--resume: expected --json FILE" in refused.stderr
