"""The comparison of detectors on held-out photos: what it writes, and where boxes lie."""

import runpy
from pathlib import Path

import pytest
import torch
from labelled_photos import write_two_sets

from s3fd import Detections

RUN = Path(__file__).parents[1] / "benchmarks" / "held_out.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def run():
    return runpy.run_path(str(RUN))


@pytest.fixture
def photos(tmp_path):
    return write_two_sets(tmp_path)


def test_a_table_of_sets_scales_and_hardships_is_written(run, photos, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    assert run["main"](["--photos", str(photos), "--page", str(page)]) == 0
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| photos | number | faces | s3fd, `light` |" in text
    for row in ("`space`, 1 x", "`space`, 2 x", "as they are", "half as large"):
        assert f"| {row} | 1 | 1 | 1.000 |" in text
    assert "empty" not in text  # without faces there is no precision
    assert text.split("figures: begin -->")[1].split("<!--")[0].strip() in capsys.readouterr().out


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("side", [400, 2048])
def test_all_see_the_same_pixels_and_boxes_are_those_of_the_photo(run, side, scale):
    seen = []

    def find(picture):
        seen.append(picture.shape)
        box = torch.tensor([[0.0, 0.0, picture.shape[1] / 2, picture.shape[0]]])
        return Detections(box, torch.ones(1), picture.shape[:2])

    peer = run["Peer"]("", 0, find)
    picture = torch.zeros(side // 2, side, 3, dtype=torch.uint8).numpy()
    [faces] = run["_enlarging"](peer, scale)([picture])
    expected = round(scale * min(side, 1024))
    assert seen == [(expected // 2, expected, 3)]
    assert faces.boxes.tolist() == [[0.0, 0.0, side / 2, side / 2]]
    assert faces.image_size == (side // 2, side)


def test_mistakes_are_told(run, photos, capsys):
    for arguments, message in (
        (["--photos", str(photos), "--sets", "crowd"], "--sets: expected some of space, got crowd"),
        (["--photos", str(photos), "--yunet", "gone.onnx"], "--yunet: there is no file gone.onnx"),
        (["--photos", "gone"], "gone"),
    ):
        with pytest.raises(SystemExit) as ended:
            run["main"](arguments)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
