"""The reports on weights and on small faces: what figures mean, and that the rest is left alone."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_photos import ASTRONAUT, FACE, write_two_sets
from PIL import Image

from s3fd import Detections

RUN = Path(__file__).parents[1] / "benchmarks" / "weights_report.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def report():
    card = runpy.run_path(str(RUN.with_name("_card.py")))
    return runpy.run_path(str(RUN)) | {name: card[name] for name in ("BEGIN", "END", "into_card")}


@pytest.fixture
def photos(tmp_path):
    return write_two_sets(tmp_path)


def test_the_figures_take_the_place_of_the_old_ones_alone(report, photos, tmp_path):
    card = tmp_path / "card.md"
    card.write_text(f"# A card\n\n{report['BEGIN']}\nold\n{report['END']}\n\n## More\n")
    plot = tmp_path / "scores.png"
    trials = tmp_path / "trials.jpg"
    arguments = ["--photos", str(photos), "--card", str(card), "--plot", str(plot)]
    assert report["main"]([*arguments, "--trials", str(trials)]) == 0
    text = card.read_text()
    assert text.startswith(f"# A card\n\n{report['BEGIN']}\n")
    assert text.endswith(f"{report['END']}\n\n## More\n")
    assert "\nold\n" not in text
    assert "| space | 1 | 1 | 1 | 1.0000 |" in text
    assert "| space | 2 | 1 | 1 |" in text
    assert "| empty | 1 | 1 | 0 | nan |" in text
    assert "| space | 1 |  |  |  | 1.000 (1) |  |  |" in text  # 101 px
    assert "| precision | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |" in text
    assert "| recall | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |" in text
    for name in ("as they are", "upside down", "half as large"):
        assert f"| {name} | 1 | 1 | 1.0000 |" in text
    assert "| photos | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| pages of letters | 100 | " in text
    assert "| pages of shapes | 100 | " in text
    assert Image.open(plot).width > 100
    assert Image.open(trials).width > 1000


def test_pages_are_of_letters_in_many_sizes():
    pages = list(runpy.run_path(str(RUN.with_name("_pages.py")))["pages"](30))
    assert all(page.shape == (480, 640, 3) for page in pages)
    inked = [(page != page[0, 0]).any(axis=2).mean() for page in pages]
    assert min(inked) > 0.05
    assert max(inked) < 0.6
    # Letters of 24 px have about eight times as many edges as those of 192 px.
    edges = [(np.diff(page.astype(int), axis=1) != 0).any(axis=2).mean() for page in pages]
    assert max(edges) > 3 * min(edges)


def test_pages_of_shapes_follow_from_their_seed_and_are_few_and_many():
    draw = runpy.run_path(str(RUN.with_name("_pages.py")))["pages_of_shapes"]
    pages = list(draw(30))
    assert all(page.shape == (480, 640, 3) for page in pages)
    assert all((page == again).all() for page, again in zip(pages, draw(30), strict=True))
    covered = []
    for page in pages:
        colours, counts = np.unique(page.reshape(-1, 3), axis=0, return_counts=True)
        assert len(colours) > 3
        covered.append(1 - counts.max() / counts.sum())
    assert min(covered) < 0.1
    assert max(covered) > 0.4


LARGE = runpy.run_path(str(RUN.with_name("_large_faces.py")))


def test_a_photo_is_read_once_for_all_sizes_of_its_face(tmp_path, monkeypatch):
    read = []
    pixels = np.zeros((400, 500, 3), np.uint8)
    monkeypatch.setitem(
        LARGE["large_faces"].__globals__, "read_image", lambda path: read.append(path) or pixels
    )
    box = np.array([[10, 0, 110, 144]], np.float32)
    photo = LARGE["AnnotatedImage"](tmp_path / "a.png", 500, 400, box)
    (cuts,) = LARGE["large_faces"]([photo])
    assert (len(cuts), read) == (4, [tmp_path / "a.png"])


def test_a_large_face_is_cut_out_with_its_box_and_enlarged(tmp_path):
    """A bright face in the corner of a photo, 100 wide and 144 high: 120 px."""
    pixels = np.zeros((400, 500, 3), np.uint8)
    pixels[0:144, 10:110] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    boxes = np.array([[10, 0, 110, 144], [300, 300, 350, 350]], np.float32)  # the second is small
    photo = LARGE["AnnotatedImage"](tmp_path / "a.png", 500, 400, boxes)
    (cuts,) = LARGE["large_faces"]([photo])
    for size, (picture, box) in zip(LARGE["SIZES"], cuts, strict=True):
        assert picture.shape == (1024, 1024, 3)
        scale = size / 120
        # The square is moved into the photo, whose corner it then has.
        assert box[1] == 0
        assert box[2] - box[0] == pytest.approx(100 * scale, abs=size / 50)
        assert box[3] == pytest.approx(min(1024, 144 * scale), abs=size / 50)
        bright = np.flatnonzero(picture[0, :, 0] > 127)
        assert [bright[0], bright[-1] + 1] == pytest.approx([box[0], box[2]], abs=size / 50)


def test_large_faces_are_counted_that_are_found(report, tmp_path):
    Image.open(ASTRONAUT).resize((1024, 1024)).save(tmp_path / "large.png")
    box = 2 * np.array([FACE], np.float32)
    photo = report["AnnotatedImage"](tmp_path / "large.png", 1024, 1024, box)
    detector = report["FaceDetector"].from_pretrained()
    rows = list(report["measure_large_faces"](detector, [photo]))
    assert [row[:2] for row in rows] == [(512, 1), (716, 1), (870, 1), (1024, 1)]
    assert rows[0][2] == 1.0
    black = report["AnnotatedImage"](tmp_path / "black.png", 1024, 1024, box)
    Image.new("RGB", (1024, 1024)).save(black.path)
    assert [row[2] for row in report["measure_large_faces"](detector, [black])] == [0.0] * 4
    assert list(report["measure_large_faces"](detector, [])) == []


def test_the_cost_of_small_faces_is_measured_by_setting(photos, tmp_path, report):
    small_faces = runpy.run_path(str(RUN.with_name("small_faces.py")))
    page, plot = tmp_path / "page.md", tmp_path / "small.png"
    page.write_text(f"{report['BEGIN']}\n{report['END']}\n")
    arguments = ["--photos", str(photos), "--set", "space", "--page", str(page)]
    assert small_faces["main"]([*arguments, "--plot", str(plot), "--min-face", "50", "150"]) == 0
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert [row.split("|")[1].strip(" `") for row in rows] == [
        "default", "min_face=50", "min_face=150",
    ]  # fmt: skip
    assert [row.split("|")[-2].strip() for row in rows] == ["1.00", "1.00", "0.00"]  # of 101 px
    assert Image.open(plot).width > 100
    assert small_faces["main"](["--photos", str(photos), "--set", "sea"]) == 1


HARDSHIPS = runpy.run_path(str(RUN.with_name("_hardships.py")))["HARDSHIPS"]


@pytest.mark.parametrize("hardship", HARDSHIPS, ids=lambda hardship: hardship.name)
@pytest.mark.parametrize("width", [120, 61])
def test_what_is_found_in_a_changed_photo_is_given_in_the_photo_itself(hardship, width):
    """The box of the only bright spot, as it is found after the change."""
    photo = np.zeros((80, width, 3), np.uint8)
    photo[10:30, 40:56] = 255

    def find(pictures):
        (picture,) = pictures
        rows, columns = np.nonzero(picture[:, :, 0] > picture.max() / 2)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return [
            Detections(torch.tensor([box], dtype=torch.float32), torch.ones(1), picture.shape[:2])
        ]

    (faces,) = hardship.before(find)([photo])
    assert faces.image_size == (80, width)
    np.testing.assert_allclose(faces.boxes, [[40, 10, 56, 30]], atol=2)


def test_faces_below_8_px_count_neither_way(report):
    photo_type = report["AnnotatedImage"]
    boxes = np.array([[0, 0, 7, 7], [50, 50, 60, 60]], np.float32)
    photo = photo_type(Path("a.png"), 100, 100, boxes, np.empty((0, 4), np.float32))
    found = [(boxes, np.array([0.9, 0.8], np.float32))]
    measured = report["Measured"]("set", 1.0, [photo], found)
    assert measured.curve.faces == 1
    assert measured.curve.scores.tolist() == pytest.approx([0.8])


def test_thresholds_are_measured_on_all_sets_as_one(report):
    """Of three faces two are found, at 0.85 and 0.45, and at 0.65 something else."""
    boxes = np.array([[0, 0, 30, 30], [50, 0, 80, 30]], np.float32)
    empty, elsewhere = np.empty((0, 4), np.float32), boxes[1:] + 100
    first = report["AnnotatedImage"](Path("a-1.png"), 300, 300, boxes, empty)
    second = report["AnnotatedImage"](Path("b-1.png"), 300, 300, boxes[:1], empty)
    in_second = np.concatenate([boxes[:1], elsewhere]), np.float32([0.45, 0.65])
    sets = [
        report["Measured"]("a", 1.0, [first], [(boxes[:1], np.float32([0.85]))]),
        report["Measured"]("b", 1.0, [second], [in_second]),
    ]
    assert [" ".join(row) for row in report["_threshold_rows"](report["_pooled"](sets))] == [
        "precision 0.667 0.667 0.500 0.500 1.000 1.000 nan",
        "recall 0.667 0.667 0.333 0.333 0.333 0.333 0.000",
    ]
    assert report["_pooled"]([]) is None


@pytest.mark.parametrize("card", ["no marks", "END before BEGIN"])
def test_a_card_without_its_marks_is_refused(report, card):
    card = card.replace("END", report["END"]).replace("BEGIN", report["BEGIN"])
    with pytest.raises(ValueError, match="card: expected a line '<!-- figures: begin -->'"):
        report["into_card"](card, [])


@pytest.mark.parametrize("name", ["weights_report.py", "small_faces.py", "held_out.py"])
def test_a_page_without_marks_is_refused_before_anything_is_measured(name, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    main = runpy.run_path(str(RUN.with_name(name)))["main"]
    option = "--card" if name == "weights_report.py" else "--page"
    with pytest.raises(SystemExit):
        main(["--photos", str(write_two_sets(tmp_path)), option, str(page)])
    captured = capsys.readouterr()
    assert "card: expected a line '<!-- figures: begin -->'" in captured.err
    assert "measuring" not in captured.out


@pytest.mark.parametrize(
    ("name", "option", "file", "message"),
    [
        ("weights_report.py", "--plot", "no/scores.png", "--plot: there is no folder"),
        ("weights_report.py", "--trials", "no/trials.jpg", "--trials: there is no folder"),
        ("weights_report.py", "--trials", "trials.png", "--trials: expected a name that ends in"),
        ("small_faces.py", "--plot", "no/small.png", "--plot: there is no folder"),
        ("detector.py", "--json", "no/figures.json", "--json: there is no folder"),
        ("loader.py", "--json", "no/figures.json", "--json: there is no folder"),
        ("ray_overhead.py", "--json", "no/figures.json", "--json: there is no folder"),
        ("ray_memory.py", "--json", "no/figures.json", "--json: there is no folder"),
    ],
)
def test_outputs_that_can_not_be_written_are_refused_before_the_work(
    name, option, file, message, tmp_path, capsys
):
    if option == "--plot":
        pytest.importorskip("matplotlib")
    if name.startswith("ray"):
        pytest.importorskip("ray")
    main = runpy.run_path(str(RUN.with_name(name)))["main"]
    with pytest.raises(SystemExit) as stopped:
        main([option, str(tmp_path / file)])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_page_that_can_not_be_replaced_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(RUN.parents[1]))
    from benchmarks import _card

    page = tmp_path / "page.md"
    page.write_text(f"{_card.BEGIN}\n{_card.END}\n")
    _card.check_card(page)
    monkeypatch.setattr(_card, "why_not_written", lambda file: f"no permission to write {file}")
    with pytest.raises(OSError, match=r"no permission to write \S+page\.md"):
        _card.check_card(page)


def test_what_people_write_while_figures_are_made_stays(tmp_path):
    card = runpy.run_path(str(RUN.with_name("_card.py")))
    page = tmp_path / "page.md"
    page.write_text(f"old\n{card['BEGIN']}\n{card['END']}\n")
    card["check_card"](page)
    page.write_text(f"new\n{card['BEGIN']}\n{card['END']}\n")
    card["write_card"](page, ["figures"])
    assert page.read_text() == f"new\n{card['BEGIN']}\nfigures\n{card['END']}\n"


def test_nothing_to_measure_on_is_an_error(report, capsys):
    assert report["main"]([]) == 1
    assert "name --fddb or --photos" in capsys.readouterr().err
