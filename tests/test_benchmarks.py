"""The benchmarks' command: that it runs and what it writes; never how long anything takes."""

import json
import runpy
import sys
from argparse import ArgumentTypeError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from s3fd.ops import reference

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


ONE = torch.tensor(1.0)


def run(*arguments):
    return runpy.run_path(str(RUN))["main"]([str(argument) for argument in arguments])


@pytest.mark.parametrize("real", [False, True])
def test_quick_run_writes_every_figure(real, tmp_path, monkeypatch, request):
    folder = request.getfixturevalue("shared") if real else tmp_path
    monkeypatch.setenv("S3FD_SHARED", str(folder))
    figures, text = tmp_path / "figures.json", tmp_path / "table.md"
    options = ("--filter", "match, 640 px, 10 boxes", "--json", figures, "--markdown", text)
    assert run("--quick", *options) == 0

    record = json.loads(figures.read_text())
    assert {"cpu", "cores", "threads", "instruction_set", "torch"} <= set(record["machine"])
    assert set(record["copy_bytes_per_second"]) == {"all_threads", "one_thread"}
    assert ("made-up" in record["inputs"]) == (not real)
    (case,) = record["cases"]
    assert case["operator"] == "match_anchors"
    assert case["size"] == 10 * 34125
    assert set(case["milliseconds"]) == set(case["repeats"]) == {"twin", "ours"}
    assert set(case["missing"]) == {"compiled", "torchvision"}
    assert set(case["peak_extra_bytes"]) == {"twin", "ours"}
    assert case["bytes_moved"] == 34125 * 8 + 10 * 16
    for number in ("twin_over_ours", "limit_milliseconds", "percent_of_limit"):
        assert case[number] > 0
    assert "| `match_anchors` | AnchorGrid.match, 640 px, 10 boxes |" in text.read_text()


def test_real_faces_are_those_with_an_area_as_analysis_has_them(shared, monkeypatch):
    monkeypatch.syspath_prepend(str(RUN.parents[1]))
    monkeypatch.setenv("S3FD_SHARED", str(shared))
    from benchmarks import _inputs

    inputs = _inputs.load(quick=True, device=torch.device("cpu"))
    assert (len(inputs.images), sum(map(len, inputs.images))) == (3226, 39697)
    largest = max(inputs.images, key=lambda boxes: float(boxes.max()) if len(boxes) else 0.0)
    assert largest.max() > 1024
    assert inputs.scaled(largest, 512).max() == 512
    document = (RUN.parents[1] / "docs" / "benchmarks.md").read_text()
    assert "3 226 images, 39 697 faces" in document


def test_answers_that_differ_fail_and_name_the_case(monkeypatch, capsys):
    twin = reference.anchors
    monkeypatch.setattr(reference, "anchors", lambda *arguments: twin(*arguments).nextafter(ONE))
    assert run("--quick", "--filter", "anchors, 320 px") == 1
    assert "anchor_grid: anchors, 320 px: the answer of ours is not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--filter", "no such thing"), "no case"),
        (("--threads", "0"), "at least 1"),
        (("--json", "no/figures.json"), "--json: there is no folder"),
        (("--markdown", "no/table.md"), "--markdown: there is no folder"),
        (("--markdown", "."), "--markdown: . is a folder; name a file in it"),
        pytest.param(
            ("--plot", "no/plot.png"),
            "--plot: there is no folder",
            marks=pytest.mark.skipif(
                find_spec("matplotlib") is None, reason="matplotlib is missing"
            ),
        ),
        pytest.param(
            ("--plot", "plot.gif"),
            "--plot: expected a name that ends in .png, .svg, .pdf, got plot.gif",
            marks=pytest.mark.skipif(
                find_spec("matplotlib") is None, reason="matplotlib is missing"
            ),
        ),
        pytest.param(
            ("--device", "cuda"),
            "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device"),
        ),
        pytest.param(
            ("--plot", "plot.png"),
            "s3fd[bench]",
            marks=pytest.mark.skipif(find_spec("matplotlib") is not None, reason="it is there"),
        ),
    ],
)
def test_wrong_options_say_what_to_do(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run("--quick", *options)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert message in said.err
    if options[0] != "--filter":
        assert "GB/s" not in said.out  # before the work


def test_an_output_may_be_no_regular_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(RUN.parents[1]))
    from benchmarks import _outputs

    assert _outputs.output_file()("/dev/null") == Path("/dev/null")
    _outputs.write_json(Path("/dev/null"), {})
    monkeypatch.setattr(_outputs, "why_not_writable", lambda folder: f"no permission in {folder}")
    with pytest.raises(ArgumentTypeError, match="no permission in"):
        _outputs.output_file()(str(tmp_path / "a.json"))


def test_plot_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "plot.png"
    assert run("--quick", "--filter", "anchors, ", "--plot", file) == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_memory_of_a_call_is_its_peak(monkeypatch):
    monkeypatch.syspath_prepend(str(RUN.parents[1]))
    from benchmarks._measure import peak_extra_bytes

    half = 4 << 20

    def call():
        first = torch.ones(half // 4)
        return first + 1

    call()
    measured = peak_extra_bytes(call, torch.device("cpu"))
    if measured is None:
        pytest.skip("this system does not tell")
    assert measured == pytest.approx(2 * half, rel=0.15)


@pytest.mark.parametrize(("answer", "takes_part"), [(lambda kept: kept, True), (sorted, False)])
def test_another_package_takes_part_if_its_answer_is_the_same(
    answer, takes_part, tmp_path, monkeypatch
):
    def nms(boxes, scores, iou_threshold, score_threshold):
        kept = reference.nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou_threshold)
        return answer(kept.tolist())

    for name in ("lsnms", "cv2"):
        monkeypatch.setitem(sys.modules, name, None)  # cannot be imported
    monkeypatch.setitem(sys.modules, "powerboxes", SimpleNamespace(nms=nms, rtree_nms=nms))
    figures, text = tmp_path / "figures.json", tmp_path / "table.md"
    options = ("--filter", "nms: clustered", "--json", figures, "--markdown", text)
    assert run("--quick", *options) == 0
    (case,) = json.loads(figures.read_text())["cases"]
    assert "lsnms" in case["missing"]["lsnms"]
    assert ("powerboxes R-tree" in case["milliseconds"]) == takes_part
    assert ("powerboxes R-tree" in text.read_text()) == takes_part
    if not takes_part:
        assert "its answer is another one" in case["missing"]["powerboxes"]
