"""The command line, as a user meets it: exit codes, what is printed, what is written."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

from s3fd import FaceDetector, __version__
from s3fd.commands.detect_ray import _Problems
from s3fd.commands.detect_report import DetectReport
from s3fd.commands.json_lines import JsonLines
from s3fd.commands.options import UsageError
from s3fd.commands.output_files import check_output_file
from s3fd.models import pretrained_path
from s3fd.photos import Note, PhotoSearch
from s3fd.training import TrainingConfig

ACCESS = os.access
ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"


@pytest.fixture
def photos(tmp_path):
    """A face, a blank, and two files that are no photos."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(ASTRONAUT, folder / "face.jpg")
    Image.new("RGB", (80, 60), "grey").save(folder / "deep" / "blank.png")
    (folder / "text.jpg").write_text("hello")
    (folder / "cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:4000])
    return folder


def test_one_photo_gives_a_table_a_picture_and_json(run, tmp_path):
    result = run("detect", ASTRONAUT, "--out", tmp_path / "out", "--json", tmp_path / "faces.jsonl")
    assert result.exit_code == 0
    assert "1 face in 1 photo" in result.output
    drawn = tmp_path / "out" / "astronaut-faces.jpg"
    assert Image.open(drawn).size == Image.open(ASTRONAUT).size
    (line,) = (tmp_path / "faces.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["photo"] == str(ASTRONAUT)
    assert record["drawn"] == str(drawn)
    assert len(record["faces"]) == 1


def test_several_scales_are_one_option_away(run, tmp_path):
    options = ["--multi-scale", "--drop-single", "--max-pixels", "300000", "--threshold", "0.9"]
    result = run("detect", ASTRONAUT, *options, "--json", tmp_path / "faces.jsonl")
    assert result.exit_code == 0
    (face,) = json.loads((tmp_path / "faces.jsonl").read_text())["faces"]
    faces = FaceDetector.from_pretrained(device="cpu").detect_multiscale(
        ASTRONAUT, keep_single=False, max_pixels=300000, score_threshold=0.9
    )
    assert face == faces.to_dict()["faces"][0]


def test_bad_files_are_reported_and_the_others_done(run, photos, tmp_path):
    result = run("detect", photos, "--out", tmp_path / "out", "--json", tmp_path / "faces.jsonl")
    assert result.exit_code == 1
    assert "1 face in 2 photos, 2 errors" in result.output
    assert "Traceback" not in result.output
    written = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.*"))
    assert [str(path) for path in written] == ["deep/blank-faces.png", "face-faces.jpg"]
    records = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text().splitlines()]
    assert len(records) == 4
    assert sum("error" in record for record in records) == 2


def test_what_is_read_in_part_or_passed_over_is_noted(run, photos):
    (photos / "cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:-20])
    (photos / "raw.dng").write_bytes(b"x")
    result = run("detect", photos / "cut.jpg", photos)
    assert "1 face" not in result.stderr
    assert f"note: {photos}: passed over 1 .dng" in result.stderr
    assert "cut.jpg: cut short" in result.stderr
    assert "2 faces in 3 photos, 1 error" in result.stdout


def test_what_is_done_when_it_is_interrupted_is_kept(run, photos, tmp_path, monkeypatch):
    add = DetectReport.add
    seen = []

    def interrupted(report, photo, faces):
        if seen:
            raise KeyboardInterrupt
        seen.append(photo)
        add(report, photo, faces)

    monkeypatch.setattr(DetectReport, "add", interrupted)
    names = [photos / "face.jpg", photos / "deep" / "blank.png"]
    result = run("detect", *names, "--json", tmp_path / "faces.jsonl")
    assert result.exit_code == 130
    (line,) = (tmp_path / "faces.jsonl").read_text().splitlines()
    assert len(json.loads(line)["faces"]) == 1


def test_photos_are_never_overwritten(run, photos, tmp_path):
    before = (photos / "face.jpg").read_bytes()
    assert run("detect", photos / "face.jpg", "--out", photos).exit_code == 0
    assert (photos / "face.jpg").read_bytes() == before
    refused = run("detect", photos / "face.jpg", "--json", photos / "face.jpg")
    assert refused.exit_code == 2
    assert (photos / "face.jpg").read_bytes() == before


def test_copies_may_not_land_among_the_photos_that_are_searched(run, photos, tmp_path):
    for out in (photos, photos / "deep" / ".."):
        refused = run("detect", photos / "face.jpg", photos, "--out", out)
        assert refused.exit_code == 2
        assert f"--out: {out} is searched for photos" in refused.stderr
    assert not list(photos.rglob("*-faces*"))
    assert run("detect", photos / "deep", "--out", photos).exit_code == 0


def test_the_copies_of_a_later_run_replace_those_of_an_earlier_one(run, photos):
    pictures = photos.rename(photos.with_name("Pictures"))
    for _ in range(2):
        run("detect", pictures / "face.jpg", pictures, "--out", pictures / "Found")
    copies = sorted(path.name for path in (pictures / "Found").rglob("*") if path.is_file())
    assert copies
    assert not [name for name in copies if name.endswith("-2.jpg")]


def test_two_photos_of_one_name_give_two_pictures(run, photos, tmp_path):
    shutil.copy(photos / "face.jpg", photos / "deep" / "face.jpg")
    result = run(
        "detect", photos / "face.jpg", photos / "deep" / "face.jpg", "--out", tmp_path / "out"
    )
    assert result.exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_globs_are_expanded_and_a_photo_is_done_once(run, photos):
    result = run("detect", photos / "f*.jpg", photos / "face.jpg", "--json", "-")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["detect", "gone.jpg"], 1, "there is no such file"),
        (["detect", "gone*.jpg"], 1, "no file matches"),
        (["detect", ""], 1, "error: '': there is no such file"),
        (["detect"], 2, "parameter PHOTO requires an argument"),
        (["detect", ASTRONAUT, "--threshold", "2"], 2, "threshold"),
        (["detect", ASTRONAUT, "--device", "abacus"], 2, "device"),
        (["detect", ASTRONAUT, "--model", "heavy"], 2, "model"),
        (["detect", ASTRONAUT, "--model", __file__], 2, "model"),
        (["detect", ASTRONAUT, "--json", "gone/faces.json"], 2, "there is no folder"),
        (["detect", ASTRONAUT, "--out", __file__], 2, "not a folder"),
        (["detect", ASTRONAUT, "--multi-scale", "--max-size", "64"], 2, "--max-size"),
        (["detect", ASTRONAUT, "--max-pixels", "90000"], 2, "--max-pixels"),
        (["detect", ASTRONAUT, "--drop-single"], 2, "--drop-single"),
        (["info", "light", "vgg16"], 2, "more arguments than this takes: light vgg16"),
        (["dance"], 2, "Unknown command"),
    ],
)
def test_mistakes_have_one_message_and_an_exit_code(run, arguments, code, message):
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--max-size", "3000000000"], "--max-size"),
        (["--multi-scale", "--max-pixels", "10000000000000000000"], "--max-pixels"),
    ],
)
def test_a_number_out_of_its_range_leaves_the_earlier_file(run, tmp_path, options, name):
    file = tmp_path / "faces.jsonl"
    file.write_text("earlier")
    result = run("detect", ASTRONAUT, "--json", file, *options)
    assert result.exit_code == 2
    assert f"error: Invalid value for {name}: expected" in result.stderr
    assert file.read_text() == "earlier"


def test_what_is_read_is_never_overwritten(run, photos, tmp_path):
    model = shutil.copy(pretrained_path("light"), tmp_path / "model.safetensors")
    read = [model, photos / "face.jpg", tmp_path / "clip.mp4"]
    read[-1].write_text("video")
    before = [file.read_bytes() for file in read]
    blank = photos / "deep" / "blank.png"
    for file in read:
        result = run("detect", blank, "--model", model, "--json", file)
        assert result.exit_code == 2
        assert f"--json: {file} is " in result.stderr
    (tmp_path / "same.bin").symlink_to(model)
    result = run(
        "export", tmp_path / "same.bin", "--format", "openvino", "-o", tmp_path / "same.xml"
    )
    assert result.exit_code == 2
    assert "--out: " in result.stderr
    assert [file.read_bytes() for file in read] == before


@pytest.mark.parametrize("name", ["annotations.json", "faces.txt", "link.jsonl"])
def test_labels_are_never_overwritten_by_lines(run, photos, tmp_path, name):
    blank, labels = photos / "deep" / "blank.png", tmp_path / name
    kept = labels
    if name.startswith("link"):
        kept = tmp_path / "labels.json"
        labels.symlink_to(kept)
    for content in ['{"images": []}', '{"photo": 1}\n', "a 1 2 3 4\n", "{}\n", "[\n"]:
        kept.write_text(content)
        for more in ([], ["--resume"]):
            result = run("detect", blank, "--json", labels, *more)
            assert result.exit_code == 2, result.output
            assert f"--json: {labels} may be labels, which are never overwri" in result.stderr
        assert kept.read_text() == content


def test_lines_of_an_earlier_run_are_replaced_whatever_their_name(run, photos, tmp_path):
    blank, file = photos / "deep" / "blank.png", tmp_path / "faces.json"
    for earlier in (None, "", '{"photo": "a.jpg", "error": "gone"}\n', '{"vid'):
        if earlier is not None:
            file.write_text(earlier)
        for _ in range(2):
            assert run("detect", blank, "--json", file).exit_code == 0
        (line,) = file.read_text().splitlines()
        assert json.loads(line)["photo"] == str(blank)


def only_writable(monkeypatch, *files):
    """Takes the permission to write to all else away, which root always has."""

    def allowed(path, mode):
        is_one = any(str(path) == str(file) for file in files)
        return ACCESS(path, mode) and (is_one or not mode & os.W_OK)

    monkeypatch.setattr(os, "access", allowed)


def test_json_needs_the_permission_of_its_file_alone(run, photos, tmp_path, monkeypatch):
    """A device, a pipe and a file of ``detect`` are written to as they are."""
    blank, file = photos / "deep" / "blank.png", tmp_path / "faces.jsonl"
    file.write_text("")
    only_writable(monkeypatch, os.devnull, file)
    for json_file in (os.devnull, file):
        assert run("detect", blank, "--json", json_file).exit_code == 0
    assert file.read_text().count("\n") == 1
    for json_file in (tmp_path / "new.jsonl", tmp_path / "folder" / ".." / "new.jsonl"):
        assert run("detect", blank, "--json", json_file).exit_code == 2
    only_writable(monkeypatch, tmp_path)
    refused = run("detect", blank, "--json", file)
    assert (refused.exit_code, f"no permission to write to {file}" in refused.stderr) == (2, True)


def test_a_file_that_is_replaced_needs_the_permission_of_its_folder(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    file.write_text("")
    only_writable(monkeypatch, tmp_path)
    check_output_file(file, "--json")
    only_writable(monkeypatch, file, os.devnull)
    check_output_file(Path(os.devnull), "--json")
    with pytest.raises(UsageError, match="no permission to write in"):
        check_output_file(file, "--json")


def test_nothing_is_left_half_written(run, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fails)
    result = run("detect", ASTRONAUT, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "disk full" in result.output
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_a_folder_without_photos_says_so(run, tmp_path):
    result = run("detect", tmp_path)
    assert result.exit_code == 1
    assert "there is no photo in this folder" in result.output


def test_a_photo_without_faces_has_no_empty_table(run, photos):
    result = run("detect", photos / "deep" / "blank.png")
    assert result.exit_code == 0
    assert result.stdout == "0 faces in 1 photo\n"


def s3fd(*arguments, **options):
    """Runs ``s3fd`` as a process of its own, where the standard output is as `options` say."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "s3fd", *map(str, arguments)]
    return subprocess.run(
        command, stderr=subprocess.PIPE, text=True, env=environment, check=False, **options
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")  # noqa: PTH110
@pytest.mark.parametrize("json_file", ["-", "/dev/full"])
def test_json_that_cannot_be_written_is_an_error(json_file):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = s3fd("detect", ASTRONAUT, "--json", json_file, stdout=full)
    assert result.returncode == 1
    assert result.stderr.startswith("error: [Errno 28]")
    assert len(result.stderr.splitlines()) == 1


def test_an_error_is_one_line_whatever_a_file_is_called(run, tmp_path):
    name = tmp_path / "a\nb\x1b[31m.jpg"
    name.write_bytes(b"no photo")
    result = run("detect", name)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert r"a b\x1b[31m.jpg" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes a stream as a shell does")
def test_json_for_a_closed_standard_output_is_an_error():
    result = s3fd("detect", ASTRONAUT, "--json", "-", preexec_fn=lambda: os.close(1))
    assert result.returncode == 1
    assert result.stderr == "error: the standard output is closed\n"


def test_info_leaves_paths_whole_in_a_narrow_terminal(run, monkeypatch):
    monkeypatch.setattr("s3fd._libraries.library_path", lambda name: Path("/x" * 90) / name)
    lines = run("info", columns=40).stdout.splitlines()
    assert any(line.endswith("/x" * 90 + "/_C") for line in lines)


def test_info_names_versions_devices_and_weights(run):
    result = run("info")
    assert result.exit_code == 0
    for part in (__version__, "torch", "built with", "cpu", "light"):
        assert part in result.output


def test_version_and_help_answer(run):
    assert run("--version").output == f"s3fd {__version__}\n"
    for command in ([], ["detect"], ["train"], ["evaluate"], ["convert"], ["info"]):
        assert run(*command, "--help").exit_code == 0


def test_training_mistakes_are_one_line(tmp_path):
    result = s3fd("train", "--data", tmp_path, "--out", "x", stdout=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr.startswith("error: data: ")
    assert len(result.stderr.splitlines()) == 1


def test_help_does_not_wait_for_torch():
    script = "import sys, s3fd.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    "start",
    ["from s3fd.__main__ import main; main()", "runpy.run_module('s3fd', run_name='__main__')"],
)
def test_an_interrupt_during_the_imports_is_silent(start):
    script = f"""
import runpy, sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "cyclopts":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
{start}
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_every_setting_of_a_training_run_is_a_flag_with_its_text(run):
    text = run("train", "--help").stdout
    for setting in fields(TrainingConfig):
        flag = f"--{setting.name.replace('_', '-')}"
        assert f"{flag}.flip" in text if setting.name == "augmentation" else f" {flag} " in text
    for part in ("--steps INT>=1", "--average 0<=FLOAT<1", "[choices: adamw, sgd]", "--no-compile"):
        assert part in text
    assert "Images of a step at input_size" in text


def test_flags_may_follow_photos_and_precede_them(run):
    code = run("detect", ASTRONAUT, "--json", "-", "--threshold", "0.5", "gone.jpg")
    assert (code.exit_code, len(code.stdout.splitlines())) == (1, 2)
    refused = run("detect", "--json", "--out", "x", ASTRONAUT)
    assert (refused.exit_code, "for --json" in refused.stderr) == (2, True)


def test_a_cluster_and_this_machine_say_the_same_about_photos_in_one_style(tmp_path, monkeypatch):
    """A name may hold what a terminal would follow."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stderr", here := io.StringIO())
    (tmp_path / "raw.dng").write_bytes(b"")
    missing, folder = str(tmp_path / "no[red]\x1b[31m\nphoto.jpg"), str(tmp_path)
    report = DetectReport(None, JsonLines(None, resume=False))
    for found in PhotoSearch([missing, folder]):
        (report.note if isinstance(found, Note) else report.fail)(*vars(found).values())
    monkeypatch.setattr("sys.stderr", elsewhere := io.StringIO())
    problems = _Problems()
    assert list(problems.photos([missing, folder], tmp_path / "out")) == []
    assert problems.count == report.failures == 2
    assert elsewhere.getvalue() == here.getvalue()
    error, empty, note = here.getvalue().splitlines()
    assert error.startswith("\x1b[1;31merror: \x1b[0m")
    assert "no[red]\\x1b[31m photo.jpg" in error
    assert empty.startswith("\x1b[1;31merror: \x1b[0m")
    assert note.startswith("\x1b[1;33mnote: \x1b[0m")
