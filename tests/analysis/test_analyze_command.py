import json
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from s3fd.analysis import RULES, Extent, MatchingRule, ReceptiveField, read_faces, receptive_fields

RANDOM = np.random.default_rng(1)


@pytest.fixture
def faces(tmp_path):
    file = tmp_path / "wider_face_val_bbx_gt.txt"
    with file.open("w") as lines:
        for image in range(6):
            print(f"{image}.jpg", 1 + 3 * image, sep="\n", file=lines)
            for _ in range(1 + 3 * image):
                print(*RANDOM.integers(0, 900, 2), *RANDOM.integers(4, 120, 2), file=lines)
        print("flat.jpg", 1, "5 5 0 9", sep="\n", file=lines)
    return file


@pytest.fixture
def two_levels(monkeypatch):
    """Fields at no cost; the list holds what they were asked for."""
    asked = []

    def receptive_fields(network, grid, **options):
        asked.append((network, options))
        gradient, around = np.full((64, 64), 1 / 64), Extent(-32, -32, 32, 32)
        box, middle = Extent(-24, -24, 24, 24), Extent(-9, -8, 9, 10)
        return [
            ReceptiveField(4, ((16.0, 16.0),), box, middle, gradient, around),
            ReceptiveField(8, ((16.0, 32.0),), None, middle, gradient, around),
        ]

    monkeypatch.setattr("s3fd.analysis.receptive_fields", receptive_fields)
    return asked


def test_the_figures_of_matching_are_those_of_a_brute_force_matching(
    run, faces, tmp_path, brute_force
):
    out = tmp_path / "matching.json"
    options = ("--input-size", 256, "--top-n", 6, "--bins-per-octave", 3, "--json", out)
    result = run("analyze", "matching", "--data", faces, *options)
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert [record[name] for name in ("images", "faces", "degenerate")] == [7, 51, 1]
    boxes = [image.fitted(256).numpy() for image in read_faces(faces)[:6]]
    scales = np.sqrt(np.concatenate([np.prod(b[:, 2:] - b[:, :2], axis=1) for b in boxes]))
    for rule in (*RULES, MatchingRule("both, N = 6", top_n=6)):
        counts = np.concatenate([brute_force(image, rule, 256) for image in boxes])
        (entry,) = [entry for entry in record["rules"] if entry["name"] == rule.name]
        assert entry["mean"] == pytest.approx(counts.mean())
        assert entry["at_most_one_anchor"] == (counts <= 1).sum()
        assert f"{counts.mean():.2f}" in result.output
        for b in record["bins"]:
            inside = (b["low"] <= scales) & (scales < b["high"])
            assert b["faces"] == inside.sum()
            assert b["mean"][rule.name] == (
                pytest.approx(counts[inside].mean()) if b["faces"] else None
            )
    assert sum(b["faces"] for b in record["bins"]) == 51


def test_matching_is_drawn(run, faces, tmp_path):
    for name in ("matching.png", "matching.SVG", "matching.pdf"):
        result = run("analyze", "matching", "--data", faces, "--plot", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "matching.png").width > 1000
    assert b"<svg" in (tmp_path / "matching.SVG").read_bytes()
    first = (tmp_path / "matching.SVG").read_bytes()
    run("analyze", "matching", "--data", faces, "--plot", tmp_path / "matching.SVG")
    assert (tmp_path / "matching.SVG").read_bytes() == first
    assert not list(tmp_path.glob(".s3fd*"))


def test_data_without_a_face_is_an_error(run, tmp_path):
    (tmp_path / "none.txt").write_text("a.jpg\n0\n")
    result = run("analyze", "matching", "--data", tmp_path / "none.txt")
    assert "not one of the 1 images" in result.stderr
    result = run("analyze", "matching", "--data", tmp_path / "no")
    assert (result.exit_code, "no" in result.stderr) == (1, True)


def test_the_fields_of_the_bundled_model_are_measured(run, monkeypatch):
    # The fields of the last two levels would take larger inputs, and half a minute.
    bounded = partial(receptive_fields, largest_input=384)
    monkeypatch.setattr("s3fd.analysis.receptive_fields", bounded)
    result = run("analyze", "receptive-field", "--samples", 1, "--json", "-")
    assert result.exit_code == 0, result.output
    levels = json.loads(result.stdout)["levels"]
    assert [level["stride"] for level in levels] == [4, 8, 16, 32, 64, 128]
    # The fourth is what the layers add up to, bottom-up; finer ones see as much by way of it.
    sizes = [level["theoretical_size"] for level in levels]
    assert sizes[3:] == [359, None, None]
    assert all(320 < size <= 359 for size in sizes[:3])
    assert all(0 < level["effective_size"] < level["theoretical_size"] for level in levels[:4])


def test_fields_are_printed_written_and_drawn(run, two_levels, tmp_path):
    out, picture = tmp_path / "fields.json", tmp_path / "fields.png"
    result = run("analyze", "receptive-field", "--json", out, "--plot", picture, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "16 x 32" in result.output
    assert "the whole input" in result.output
    first, second = json.loads(out.read_text())["levels"]
    assert (first["theoretical_size"], first["effective_size"]) == (48, 18)
    assert second["theoretical"] is None
    assert Image.open(picture).width > 1000
    assert two_levels[0][1]["seed"] == 3


def test_weights_are_those_of_the_name_or_random(run, two_levels):
    named = [
        run("analyze", "receptive-field", "--json", "-", *options)
        for options in ([], ["--model", "vgg16"])
    ]
    fresh = [run("analyze", "receptive-field", "--json", "-", "--random-weights") for _ in range(2)]
    records = [json.loads(result.stdout) for result in (*named, *fresh)]
    assert [record["backbone"] for record in records] == ["light", "vgg16", "light", "light"]
    assert records[0]["weights"].endswith("light.safetensors")
    assert [record["weights"] for record in records[1:]] == ["random"] * 3
    light, _, one, other = (
        network.model.head.logits[0].weight.detach().numpy() for network, _ in two_levels
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(light, one)


def test_bundled_weights_go_before_a_file_of_their_name(run, two_levels, tmp_path, monkeypatch):
    (tmp_path / "light").write_text("no weights")
    monkeypatch.chdir(tmp_path)
    result = run("analyze", "receptive-field", "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["weights"].endswith("light.safetensors")


def test_what_is_read_is_never_overwritten(run, faces, tmp_path):
    labels, photo = tmp_path / "labels" / "annotations.json", tmp_path / "labels" / "a.png"
    labels.parent.mkdir()
    entry = {"image": "a.png", "width": 80, "height": 60, "boxes": [[1, 1, 9, 9]], "ignore": []}
    labels.write_text(json.dumps({"images": [entry]}))
    Image.new("RGB", (80, 60)).save(photo)
    model = tmp_path / "model.safetensors"
    model.write_text("weights")
    read = [faces, labels, photo, model]
    before = [file.read_bytes() for file in read]
    for arguments in [
        ["matching", "--data", faces, "--json", faces],
        ["matching", "--data", labels.parent, "--json", labels],
        ["matching", "--data", labels.parent, "--plot", photo],
        ["receptive-field", "--model", model, "--json", model],
    ]:
        result = run("analyze", *arguments)
        assert result.exit_code == 2, result.output
        assert "never overwritten" in result.stderr
    assert [file.read_bytes() for file in read] == before
    report = ["--json", labels.parent / "report.json", "--plot", labels.parent / "plot.png"]
    for _ in range(2):
        result = run("analyze", "matching", "--data", labels.parent, *report)
        assert result.exit_code == 0, result.output


def test_wrong_arguments_are_named_before_any_work(run, faces, tmp_path, monkeypatch):
    data = ["matching", "--data", faces]
    for arguments, message in [
        ([*data, "--plot", tmp_path / "picture.gif"], "ends in .png, .svg, .pdf"),
        ([*data, "--plot", tmp_path / "no" / "picture.png"], "there is no folder"),
        ([*data, "--json", tmp_path], "is a folder"),
        ([*data, "--input-size", 8], "--input-size"),
        (["receptive-field", "--model", "abacus"], "--model"),
        (["receptive-field", "--device", "abacus"], "--device"),
    ]:
        result = run("analyze", *arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("analyze", *data, "--plot", tmp_path / "picture.png")
    assert result.exit_code == 2
    assert "pip install 's3fd[eval]'" in result.output
