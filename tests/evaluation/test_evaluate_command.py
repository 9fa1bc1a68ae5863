import json
import os
import shutil

import pytest
import torch
from PIL import Image

from s3fd.models import S3FD, save_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_checkpoint(S3FD("light"), path, None)
    return path


@pytest.fixture
def annotations(tmp_path):
    entries = []
    for number, split in enumerate(["train", "val", "val"]):
        Image.new("RGB", (80, 60), (90 * number, 0, 0)).save(tmp_path / f"{number}.png")
        boxes = {"boxes": [[10, 10, 30, 30]], "ignore": [[40, 10, 60, 30]]}
        name = {"image": f"{number}.png", "width": 80, "height": 60, "split": split}
        entries.append(name | boxes)
    (tmp_path / "annotations.json").write_text(json.dumps({"images": entries}))
    return tmp_path


@pytest.fixture
def fddb(tmp_path):
    (tmp_path / "folds").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "folds" / "FDDB-fold-04.txt").write_text("there\nmissing\n")
    (tmp_path / "folds" / "FDDB-fold-04-ellipseList.txt").write_text(
        "there\n1\n10 8 0 20 30 1\nmissing\n2\n10 8 0 20 30 1\n10 8 0 40 30 1\n"
    )
    Image.new("RGB", (80, 60)).save(tmp_path / "images" / "there.jpg")
    return tmp_path


def test_annotations_are_evaluated(run, annotations, model, tmp_path):
    out = tmp_path / "result.json"
    options = ["--data", annotations, "--model", model, "--precision", "bfloat16", "--json", out]
    result = run("evaluate", "annotations", *options)
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["precision"] == "bfloat16"
    counts = ("photos", "faces", "ignore_boxes", "iou_threshold")
    assert [record[name] for name in counts] == [2, 2, 2, 0.5]
    assert record["score_threshold"] == 1e-4
    assert 0 <= record["average_precision"] <= 1
    assert f"{record['average_precision']:.4f} at IoU 0.5" in result.output
    assert "split val" in result.output
    assert {path.name for path in tmp_path.glob("*json*")} == {"annotations.json", "result.json"}


def test_labels_without_splits_are_evaluated_whole_and_said_to_be(run, annotations, model):
    file = annotations / "annotations.json"
    entries = json.loads(file.read_text())["images"]
    content = {"images": [{k: v for k, v in entry.items() if k != "split"} for entry in entries]}
    file.write_text(json.dumps(content))
    result = run("evaluate", "annotations", "--data", annotations, "--model", model)
    assert "all photos, since the labels have no splits" in result.output
    result = run("evaluate", "annotations", "--data", file, "--model", model, "--json", "-")
    record = json.loads(result.stdout)
    assert (record["photos"], record["split"]) == (3, None)


def test_the_classes_that_are_faces_can_be_named(run, tmp_path, model):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.4 0.4\n")
    (tmp_path / "classes.txt").write_text("head\nface\n")
    arguments = ["evaluate", "annotations", "--data", tmp_path, "--model", model, "--json", "-"]
    assert json.loads(run(*arguments).stdout)["faces"] == 1
    both = run(*arguments, "--classes", "face", "--classes", "head")
    record = json.loads(both.stdout)
    assert (record["faces"], record["form"]) == (2, "yolo")


def test_a_warning_about_labels_is_one_line(run, tmp_path, model):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "images" / "a.png")
    for name in ("a", "orphan"):
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    result = run("evaluate", "annotations", "--data", tmp_path, "--model", model)
    assert result.exit_code == 0
    assert result.stderr.strip() == (
        f"warning: {tmp_path / 'labels'}: 1 texts belong to no photo, such as orphan.txt; a text "
        "has the name of its photo, and ends in .txt"
    )


def test_several_scales_are_evaluated_and_recorded(run, annotations, model):
    data = ["annotations", "--data", annotations, "--model", model, "--max-pixels", 10000]
    result = run("evaluate", *data, "--multi-scale", "--json", "-")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    scales = [record[name] for name in ("multi_scale", "max_pixels", "drop_single")]
    assert scales == [True, 10000, False]
    assert "max_size" not in record
    result = run("evaluate", *data)
    assert (result.exit_code, "--max-pixels" in result.output) == (2, True)


def test_what_is_shown_to_others_names_no_folder_of_this_machine(
    run, annotations, model, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        "s3fd.evaluation.plots.plot_precision_recall",
        lambda path, panels, *, title: drawn.append(f"{title} {panels}"),
    )
    table = tmp_path / "table.md"
    options = ["--plot", tmp_path / "plot.svg", "--markdown", table]
    result = run("evaluate", "annotations", "--data", annotations, "--model", model, *options)
    assert result.exit_code == 0, result.output
    assert drawn[0].startswith(f"{model.stem} on {annotations.name}, split val ")
    for text in (drawn[0], table.read_text()):
        assert str(tmp_path) not in text
        assert str(model.parent) not in text


def test_a_plot_a_table_and_a_gallery_are_written(run, annotations, model, tmp_path):
    files = {name: tmp_path / name for name in ("curve.png", "table.md", "worst.html")}
    options = zip(("--plot", "--markdown", "--gallery"), files.values(), strict=True)
    outputs = [part for option in options for part in option]
    result = run(
        "evaluate",
        "annotations",
        "--data",
        annotations,
        "--model",
        model,
        *outputs,
        "--name",
        "mine",
    )
    assert result.exit_code == 0, result.output
    assert all(file.stat().st_size for file in files.values())
    assert "mine" in files["table.md"].read_text()


def test_fddb_is_evaluated_and_missing_photos_are_counted(run, fddb, model):
    result = run(
        "evaluate", "fddb", "--data", fddb, "--model", model, "--max-size", 64, "--json", "-"
    )
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [record[name] for name in ("photos", "missing", "faces")] == [1, 1, 1]
    assert (record["folds"], record["max_size"]) == ([4], 64)
    table = run("evaluate", "fddb", "--data", fddb, "--model", model, "--fold", 4).output
    assert "FDDB folds 4" in table
    assert "missing photos     1" in table


def test_a_split_without_faces_has_no_average_precision(run, annotations, model):
    entries = json.loads((annotations / "annotations.json").read_text())["images"]
    empty = json.dumps({"images": [entry | {"boxes": []} for entry in entries]})
    (annotations / "annotations.json").write_text(empty)
    result = run("evaluate", "annotations", "--data", annotations, "--model", model)
    assert "undefined at IoU 0.5" in result.output
    result = run("evaluate", "annotations", "--data", annotations, "--model", model, "--json", "-")
    assert json.loads(result.stdout)["average_precision"] is None


def test_data_that_is_not_there_is_an_error(run, fddb, annotations, model, tmp_path):
    wrong = [
        (["annotations", "--data", tmp_path / "no"], "no does not exist"),
        (["annotations", "--data", annotations, "--split", "test"], "no photo of split 'test'"),
        (["fddb", "--data", tmp_path / "no"], "the folder that holds folds/ and images/"),
        (["fddb", "--data", fddb, "--fold", 3], "FDDB-fold-03.txt does not exist"),
        (["fddb", "--data", fddb, "--fold", 12], "folds: expected different numbers"),
    ]
    for arguments, message in wrong:
        result = run("evaluate", *arguments, "--model", model)
        assert result.exit_code == 1
        assert message in result.stderr


def test_photos_that_are_all_missing_are_an_error(run, fddb, model):
    (fddb / "images" / "there.jpg").unlink()
    result = run("evaluate", "fddb", "--data", fddb, "--model", model)
    assert "not one of the 2 photos is there, such as" in result.stderr


def test_wrong_arguments_are_named_before_any_work(run, annotations, tmp_path):
    (tmp_path / "text.safetensors").write_text("text")
    data = ["annotations", "--data", annotations]
    for arguments, message in [
        (["--model", tmp_path / "none.safetensors"], "--model"),
        (["--model", tmp_path / "text.safetensors"], "--model"),
        (["--device", "abacus"], "--device"),
        (["--json", tmp_path / "no" / "result.json"], "there is no folder"),
        (["--json", tmp_path], "is a folder"),
        (["--max-size", -1], "--max-size"),
    ]:
        result = run("evaluate", *data, *arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
    assert not list(tmp_path.glob("*result*"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("data", "outputs", "message"),
    [
        ("annotations.json", ["--json", "annotations.json"], "--json: {} is read, too"),
        ("annotations.json", ["--gallery", "link.html"], "--gallery: {} is read, too"),
        ("", ["--json", "annotations.json"], "--json: {} lies in"),
        ("", ["--markdown", "more/labels.TXT"], "--markdown: {} lies in"),
        ("", ["--gallery", "1.png"], "--gallery: {} is a photo or a video"),
        ("", ["--json", "more/clip.mp4"], "--json: {} is a photo or a video"),
        ("", ["--plot", "1.png"], "--plot: {} is one of the photos"),
        ("", ["--markdown", "hard-link"], "--markdown: {} is one of the photos"),
        ("", ["--json", "random.safetensors"], "--json: {} is read, too"),
        ("", ["--plot", "folder.png"], "--plot: {} is a folder"),
        ("", ["--json", "new", "--gallery", "more/../new"], "--gallery: {} is the file of --json"),
        ("", ["--plot", "new.png", "--markdown", "new.png"], "is the file of --plot, too"),
    ],
)
def test_what_is_read_is_never_overwritten(
    run, annotations, model, monkeypatch, data, outputs, message
):
    (annotations / "more").mkdir()
    (annotations / "folder.png").mkdir()
    (annotations / "more" / "labels.TXT").write_text("0 0.5 0.5 0.2 0.2")
    (annotations / "more" / "clip.mp4").write_text("video")
    (annotations / "link.html").symlink_to(annotations / "annotations.json")
    os.link(annotations / "1.png", annotations / "hard-link")
    shutil.copy(model, annotations)
    before = contents(annotations)
    monkeypatch.setattr("s3fd.commands.evaluate.annotations.DetectorRun", None)
    paths = [part if part.startswith("--") else annotations / part for part in outputs]
    result = run(
        *("evaluate", "annotations", "--data", annotations / data),
        *("--model", annotations / model.name, *paths),
    )
    assert result.exit_code == 2, result.output
    assert message.format(paths[-1]) in result.stderr
    assert contents(annotations) == before


def test_the_same_command_replaces_its_own_files(run, annotations, model):
    outputs = ["--json", annotations / "a.json", "--markdown", annotations / "a.md"]
    outputs += ["--gallery", annotations / "a.html", "--plot", annotations / "a.png"]
    for _ in range(2):
        result = run("evaluate", "annotations", "--data", annotations, "--model", model, *outputs)
        assert result.exit_code == 0, result.output


def test_all_files_may_go_where_nothing_is_kept(run, annotations, model):
    outputs = ["--json", os.devnull, "--markdown", os.devnull, "--gallery", os.devnull]
    result = run("evaluate", "annotations", "--data", annotations, "--model", model, *outputs)
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(os.name != "posix", reason="needs names that are no text")
def test_names_that_are_no_text_are_escaped(run, tmp_path, model):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    for folder, suffix in (("images", "png"), ("labels", "txt")):
        try:
            (tmp_path / folder / f"caf\udce9.{suffix}").write_bytes(
                (tmp_path / "a.png").read_bytes() if suffix == "png" else b"0 0.5 0.5 0.2 0.2"
            )
        except OSError:
            pytest.skip("this file system has names of text alone")
    (tmp_path / "a.png").unlink()
    files = {name: tmp_path / f"out.{name}" for name in ("html", "md", "svg", "json")}
    outputs = ["--gallery", files["html"], "--markdown", files["md"], "--plot", files["svg"]]
    named = ["--name", "$caf\udce9", "--json", files["json"]]
    result = run("evaluate", "annotations", "--data", tmp_path, "--model", model, *outputs, *named)
    assert result.exit_code == 0, result.output
    assert r"caf\udce9.png" in files["html"].read_text()
    assert r"$caf\udce9" in files["md"].read_text()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--max-size", 3_000_000_000], "--max-size"),
        (["--multi-scale", "--max-pixels", 10**19], "--max-pixels"),
    ],
)
def test_settings_out_of_their_range_are_usage_errors(run, annotations, model, options, name):
    result = run("evaluate", "annotations", "--data", annotations, "--model", model, *options)
    assert result.exit_code == 2, result.output
    assert f"{name}: expected" in result.stderr
