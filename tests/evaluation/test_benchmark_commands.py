"""`s3fd evaluate wider-face`, `fddb` and `pascal-voc`."""

import json

import numpy as np
import pytest
import torch
from matlab_files import savemat
from PIL import Image

from s3fd import Detections

IMAGES = {"0--Parade": ["parade_1", "parade_2"], "7--Cheering": ["cheering_1"]}
BOXES = {
    "parade_1": [[10, 10, 20, 20], [40, 10, 20, 20]],
    "parade_2": [[20, 20, 20, 20]],
    "cheering_1": [[30, 5, 20, 20]],
}


def cells(values):
    array = np.empty((len(values), 1), object)
    for index, value in enumerate(values):
        array[index, 0] = value
    return array


@pytest.fixture
def wider(tmp_path):
    """Ground truth, predictions and photos; the second face of the first image is not easy."""
    truth, found = tmp_path / "truth", tmp_path / "found"
    truth.mkdir()
    content = {
        "event_list": cells(list(IMAGES)),
        "file_list": cells([cells(names) for names in IMAGES.values()]),
        "face_bbx_list": cells(
            [cells([np.array(BOXES[n], float) for n in names]) for names in IMAGES.values()]
        ),
    }
    savemat(truth / "wider_face_val.mat", content)
    for setting in ("easy", "medium", "hard"):
        count = {"easy": 1}.get(setting, 2)
        lists = [
            cells([np.arange(1, min(len(BOXES[n]), count) + 1)[:, None] for n in names])
            for names in IMAGES.values()
        ]
        savemat(truth / f"wider_{setting}_val.mat", {"gt_list": cells(lists)})
    for event, names in IMAGES.items():
        (found / event).mkdir(parents=True)
        (tmp_path / "photos" / event).mkdir(parents=True)
        for name in names:
            rows = [f"{x} {y} {w} {h} {0.9 - 0.01 * x}" for x, y, w, h in BOXES[name]]
            text = "\n".join([name, str(len(rows)), *rows])
            (found / event / f"{name}.txt").write_text(text)
            Image.new("RGB", (80, 60)).save(tmp_path / "photos" / event / f"{name}.jpg")
    return tmp_path


def test_wider_face_is_evaluated_and_the_report_names_the_ground_truth(run, wider):
    out = wider / "result.json"
    arguments = ["--ground-truth", wider / "truth", "--predictions", wider / "found"]
    result = run("evaluate", "wider-face", *arguments, "--json", out, "--all-ious")
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["average_precision"] == {"easy": 1, "medium": 1, "hard": 1}
    assert record["mean_average_precision"]["hard"] == 1
    assert list(record["average_precision_by_iou"]) == [f"{0.5 + i / 20:.4g}" for i in range(10)]
    assert record["faces"] == {"easy": 3, "medium": 4, "hard": 4}
    assert [record[key] for key in ("images", "missing", "detections")] == [3, 0, 4]
    assert record["ground_truth"]["version"] == "unknown"
    checksum = record["ground_truth"]["sha256"]["wider_face_val.mat"]
    assert f"unknown (wider_face_val.mat, SHA-256 {checksum[:12]})" in result.output
    assert "1.0000 at IoU 0.5, 1.0000 over IoU 0.5 to 0.95 (4 faces)" in result.output


def test_wider_face_without_some_files_warns_and_goes_on(run, wider):
    (wider / "found" / "0--Parade" / "parade_2.txt").unlink()
    arguments = ["--ground-truth", wider / "truth", "--predictions", wider / "found"]
    result = run("evaluate", "wider-face", *arguments, "--json", "-")
    assert "1 of 3 images have no predictions, such as 0--Parade/parade_2" in result.stderr
    record = json.loads(result.stdout)
    assert record["missing"] == 1
    assert record["average_precision"]["hard"] == pytest.approx(0.75)


def test_wider_face_writes_plot_table_and_gallery(run, wider):
    (wider / "found" / "7--Cheering" / "cheering_1.txt").write_text("cheering_1\n1\n1 1 5 5 0.8\n")
    files = [wider / name for name in ("curves.svg", "table.md", "worst.html")]
    arguments = ["--ground-truth", wider / "truth", "--predictions", wider / "found"]
    outputs = ["--plot", files[0], "--markdown", files[1], "--gallery", files[2]]
    photos = ["--photos", wider / "photos", "--name", "my detector"]
    result = run("evaluate", "wider-face", *arguments, *outputs, *photos)
    assert result.exit_code == 0, result.output
    assert "my detector" in files[1].read_text()
    assert "ground truth: unknown (wider_face_val.mat" in files[1].read_text()
    assert files[0].read_text().startswith("<?xml")
    assert "cheering_1" in files[2].read_text()


def test_wider_face_runs_a_model_over_its_photos(run, wider):
    arguments = ["--ground-truth", wider / "truth", "--model", "light"]
    result = run("evaluate", "wider-face", *arguments, "--photos", wider / "photos", "--json", "-")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["model"], record["multi_scale"], record["images"]) == ("light", False, 3)


def test_the_curves_of_other_detectors_keep_company(run, wider, shared):
    arguments = ["--ground-truth", wider / "truth", "--predictions", wider / "found"]
    published = ["--published", shared / "wider_face_val" / "published"]
    result = run("evaluate", "wider-face", *arguments, *published, "--markdown", wider / "table.md")
    assert result.exit_code == 0, result.output
    table = (wider / "table.md").read_text()
    assert "| detector | Easy | Medium | Hard |" in table
    assert "0.8590" in table


def test_pascal_voc_is_evaluated(run, tmp_path):
    (tmp_path / "faces.txt").write_text("a 10 10 29 29\na 50 10 69 29 1\nb\n")
    (tmp_path / "found.txt").write_text("a 0.9 10 10 29 29\na 0.8 50 10 69 29\nb 0.95 1 1 9 9\n")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "photos" / "a.jpg")
    truth = ["--ground-truth", tmp_path / "faces.txt"]
    gallery = ["--gallery", tmp_path / "worst.html", "--photos", tmp_path / "photos"]
    result = run(
        "evaluate",
        "pascal-voc",
        *truth,
        "--predictions",
        tmp_path / "found.txt",
        "--json",
        "-",
        *gallery,
    )
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    keys = ("average_precision", "images", "faces", "ignored", "detections")
    assert [record[key] for key in keys] == [0.5, 2, 1, 1, 3]
    assert (tmp_path / "worst.html").exists()


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".TIF"])
def test_pascal_voc_runs_a_model_over_photos_of_any_kind(run, tmp_path, suffix):
    (tmp_path / "faces.txt").write_text("a 10 10 29 29\n")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "photos" / f"a{suffix}")
    (tmp_path / "photos" / "a.txt").write_text("no photo")
    result = run(
        *("evaluate", "pascal-voc", "--ground-truth", tmp_path / "faces.txt"),
        *("--model", "light", "--photos", tmp_path / "photos", "--json", "-"),
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 1


def test_pascal_voc_compares_the_boxes_of_a_model_in_the_pixels_of_the_labels(
    run, tmp_path, monkeypatch
):
    """The face has pixels 11 and 12, counted from 1; taken as it is, the box would overlap 4/9."""
    (tmp_path / "faces.txt").write_text("a 11 11 12 12\n")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "photos" / "a.jpg")
    exact = Detections(torch.tensor([[10.0, 10, 12, 12]]), torch.ones(1), (60, 80))
    monkeypatch.setattr("s3fd.commands.evaluate.run.DetectorRun.find", lambda *_: [exact])
    gallery = ("--gallery", tmp_path / "worst.html")
    result = run(
        *("evaluate", "pascal-voc", "--ground-truth", tmp_path / "faces.txt", *gallery),
        *("--model", "light", "--photos", tmp_path / "photos", "--json", "-"),
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["average_precision"] == 1


def test_two_photos_of_one_image_are_refused(run, tmp_path):
    (tmp_path / "faces.txt").write_text("a 10 10 29 29\n")
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "a.png", "b.jpg", "b.png"):  # b is no image of the ground truth
        Image.new("RGB", (80, 60)).save(tmp_path / "photos" / name)
    arguments = ("evaluate", "pascal-voc", "--ground-truth", tmp_path / "faces.txt")
    photos = ("--model", "light", "--photos", tmp_path / "photos")
    result = run(*arguments, *photos)
    assert result.exit_code == 1
    assert "a.jpg and a.png are of the image a; move one" in result.stderr.replace("\n", " ")
    (tmp_path / "photos" / "a.png").unlink()
    assert run(*arguments, *photos).exit_code == 0


def test_fddb_reads_predictions_and_regresses_them_to_ellipses(run, tmp_path):
    (tmp_path / "folds").mkdir()
    lines = []
    for fold, name in ((1, "2002/08/11/big/img_1"), (2, "2002/08/26/big/img_2")):
        (tmp_path / "folds" / f"FDDB-fold-{fold:02d}.txt").write_text(f"{name}\n")
        faces = f"{name}\n2\n30 20 1.5 60 60 1\n20 14 1.6 160 60 1\n"
        (tmp_path / "folds" / f"FDDB-fold-{fold:02d}-ellipseList.txt").write_text(faces)
        lines += [name, "2", "40 30 40 60 0.9", "146 40 28 40 0.8"]
    (tmp_path / "found.txt").write_text("\n".join(lines))
    arguments = ["fddb", "--data", tmp_path, "--predictions", tmp_path / "found.txt", "--json", "-"]
    record, regressed = (
        json.loads(run("evaluate", *arguments, *more).stdout)
        for more in ([], ["--regress-ellipses"])
    )
    assert record["average_precision"] == 1
    assert record["true_positive_rate"]["discrete"]["100"] == 1
    assert list(record["true_positive_rate_by_fold"]) == ["1", "2"]
    boxes = record["true_positive_rate"]["continuous"]["100"]
    assert boxes == pytest.approx(0.77, abs=0.03)
    assert regressed["true_positive_rate"]["continuous"]["100"] > boxes + 0.1
    one_fold = run("evaluate", *arguments, "--regress-ellipses", "--fold", 1)
    assert (one_fold.exit_code, "two folds or more" in one_fold.output) == (2, True)
    assert "2 of 2 photos are not there" in run("evaluate", *arguments).stderr


LOW_SCORES = "average precision needs the low scores"


@pytest.mark.parametrize(
    ("scores", "warns"),
    [
        ([0.9, 0.5], True),
        ([0.3], True),
        ([0.9, 0.29], False),
        ([0.0], False),
        ([17.5, 0.5], False),  # no probabilities
        ([-3.0, 0.5], False),
        ([], False),
    ],
)
def test_pascal_voc_warns_where_low_scores_are_left_out(run, tmp_path, scores, warns):
    (tmp_path / "faces.txt").write_text("a 10 10 29 29\nb\n")
    box = [10, 10, 29, 29]
    lines = [
        {"photo": "a.jpg", "faces": [{"box": box, "score": score} for score in scores]},
        {"photo": "b.jpg", "faces": []},
    ]
    (tmp_path / "found.json").write_text("\n".join(map(json.dumps, lines)))
    files = ["--ground-truth", tmp_path / "faces.txt", "--predictions", tmp_path / "found.json"]
    result = run("evaluate", "pascal-voc", *files, "--json", "-")
    assert result.exit_code == 0, result.output
    assert result.stderr.count(LOW_SCORES) == warns
    assert ("`s3fd detect` with --threshold 0.0001" in result.stderr) == warns


@pytest.mark.parametrize("last", [0.5, 0.01])
def test_wider_face_and_fddb_warn_where_low_scores_are_left_out(run, wider, last):
    text = f"cheering_1\n2\n30 5 20 20 0.9\n1 1 5 5 {last}\n"
    (wider / "found" / "7--Cheering" / "cheering_1.txt").write_text(text)
    files = ["--ground-truth", wider / "truth", "--predictions", wider / "found"]
    result = run("evaluate", "wider-face", *files)
    assert result.stderr.count(LOW_SCORES) == (last == 0.5)
    name = "2002/08/11/big/img_1"
    (wider / "folds").mkdir()
    (wider / "folds" / "FDDB-fold-01.txt").write_text(f"{name}\n")
    ellipses = wider / "folds" / "FDDB-fold-01-ellipseList.txt"
    ellipses.write_text(f"{name}\n1\n30 20 1.5 60 60 1\n")
    (wider / "fddb.txt").write_text(f"{name}\n2\n40 30 40 60 0.9\n1 1 5 5 {last}\n")
    result = run("evaluate", "fddb", "--data", wider, "--predictions", wider / "fddb.txt")
    assert result.exit_code == 0, result.output
    assert result.stderr.count(LOW_SCORES) == (last == 0.5)


def test_the_bundled_weights_find_fddbs_faces(shared):
    """A twentieth of fold 1, end to end: the whole is in docs/evaluation.md."""
    from s3fd import FaceDetector
    from s3fd.evaluation import evaluate_fddb, read_fddb

    photos = [photo for photo in read_fddb(shared / "fddb", [1]) if photo.path.is_file()][::20]
    detector = FaceDetector.from_pretrained()
    found = detector([photo.path for photo in photos], score_threshold=0.1)
    result = evaluate_fddb(
        photos,
        [faces.numpy() for faces in found],
        sizes=[faces.image_size for faces in found],
    )
    assert result.discrete.at(10) > 0.8
    assert 0.55 < result.continuous.at(10) < result.discrete.at(10)


def test_wrong_arguments_are_named_before_any_work(run, wider):
    truth = ["--ground-truth", wider / "truth"]
    found = ["--predictions", wider / "found"]
    labels, text = wider / "truth" / "wider_face_val.mat", wider / "found/0--Parade/parade_1.txt"
    before = labels.read_bytes(), text.read_bytes()
    for arguments, message in [
        (truth, "give the one or the other"),
        ([*truth, *found, "--model", "light"], "give the one or the other"),
        ([*truth, "--model", "light"], "need the photos"),
        ([*truth, *found, "--gallery", wider / "worst.html"], "need the photos"),
        ([*truth, *found, "--photos", wider / "photos"], "with --model and --gallery alone"),
        ([*truth, *found, "--max-size", 512], "--max-size: has no effect with --predictions"),
        ([*truth, *found, "--multi-scale"], "--multi-scale: has no effect with --predictions"),
        ([*truth, *found, "--device", "cpu"], "--device: has no effect with --predictions"),
        ([*truth, *found, "--json", labels], "--json: "),
        ([*truth, *found, "--markdown", text], "--markdown: "),
        ([*truth, *found, "--plot", wider / "curves.txt"], "expected a name that ends in"),
        ([*truth, *found, "--markdown", wider], "is a folder"),
        ([*truth, *found, "--json", wider / "no" / "a.json"], "there is no folder"),
    ]:
        result = run("evaluate", "wider-face", *arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
    assert (labels.read_bytes(), text.read_bytes()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "mine.safetensors"], "give the one or the other"),
        (["--model", "light"], "give the one or the other"),
        (["--min-face", 5], "--min-face: has no effect with --predictions"),
        (["--precision", "float32"], "--precision: has no effect with --predictions"),
    ],
)
def test_what_says_how_to_find_faces_is_refused_beside_predictions(run, tmp_path, options, message):
    found = ["--predictions", tmp_path / "found.txt"]
    for command in (["fddb", "--data", tmp_path], ["pascal-voc", "--ground-truth", tmp_path]):
        result = run("evaluate", *command, *found, *options)
        assert result.exit_code == 2, result.output
        assert message in result.stderr


def test_predictions_and_photos_are_never_overwritten(run, tmp_path):
    (tmp_path / "faces.txt").write_text("a 10 10 29 29\n")
    found, photo = tmp_path / "found.jsonl", tmp_path / "photos" / "a.png"
    found.write_text('{"photo": "a.png", "faces": []}\n')
    photo.parent.mkdir()
    Image.new("RGB", (80, 60)).save(photo)
    before = found.read_bytes(), photo.read_bytes()
    arguments = ["pascal-voc", "--ground-truth", tmp_path / "faces.txt", "--predictions", found]
    gallery = ["--photos", photo.parent, "--gallery", tmp_path / "worst.html"]
    for outputs in (["--json", found], [*gallery, "--plot", photo]):
        result = run("evaluate", *arguments, *outputs)
        assert result.exit_code == 2, result.output
        assert "never overwritten" in result.stderr
    assert (found.read_bytes(), photo.read_bytes()) == before


def test_predictions_that_are_not_there_are_an_error(run, wider):
    result = run(
        "evaluate", "wider-face", "--ground-truth", wider / "truth", "--predictions", wider / "no"
    )
    assert result.exit_code == 1
    assert "no does not exist" in result.stderr
