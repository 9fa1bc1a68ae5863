import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s3fd.evaluation.gallery import JudgedPhoto, write_gallery

FACE, LARGE, OTHER = [10, 10, 30, 34], [100, 20, 160, 90], [40, 60, 60, 80]


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def judged(faces=(), found=(), scores=(), path="gone.jpg", **more):
    scores = np.array(scores, np.float64)
    return JudgedPhoto(Path(path), boxes(*faces), boxes(*found), scores, **more)


def shifted(box, by):
    return [box[0] + by, box[1], box[2] + by, box[3]]


@pytest.fixture
def gallery(tmp_path):
    """The figures of a page, by its two sections."""

    def write(*photos, **options):
        file = tmp_path / "gallery.html"
        write_gallery(file, photos, title="light", **options)
        page = file.read_text(encoding="utf-8")
        sections = re.split("<h2>", page)[1:]
        figures = [re.findall("<figure.*?</figure>", s, re.DOTALL) for s in sections]
        return (*figures, page)

    return write


@pytest.fixture
def photo(tmp_path):
    """Grey, with a red face."""
    picture = Image.new("RGB", (200, 120), "grey")
    picture.paste((255, 0, 0), tuple(FACE))
    picture.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_missed_faces_come_by_size_and_false_positives_by_score(gallery):
    missed, false, _ = gallery(
        judged([FACE], [[0, 0, 9, 9], [50, 0, 59, 9]], [0.6, 0.9], "a/1.jpg"),
        judged([OTHER, LARGE], [[0, 0, 9, 9]], [0.8], "a/2.jpg"),
    )
    sizes = [re.search(r"<b>(.*?)</b>", figure)[1] for figure in missed]
    assert sizes == ["60 x 70 px", "20 x 24 px", "20 x 20 px"]
    scores = [re.search(r"<b>(.*?)</b>", figure)[1] for figure in false]
    assert scores == ["score 0.900", "score 0.800", "score 0.600"]
    assert "a/1.jpg" in false[0]
    assert "a/2.jpg" in false[1]


def assert_only(mistakes, style, text):
    """There is one mistake, of that class and with that explanation."""
    (mistake,) = mistakes
    assert f'class="{style}"' in mistake
    assert text in mistake


@pytest.mark.parametrize(
    ("found", "scores", "style", "text"),
    [
        ([FACE], [0.31], "missed-low", "found at score 0.31"),
        ([shifted(FACE, 8)], [0.9], "missed-misplaced", "a box at IoU 0.42, score 0.90"),
        ([shifted(FACE, 8)], [0.2], "missed-unseen", "nothing near"),
        ([OTHER], [0.9], "missed-unseen", "nothing near"),
        ([[1, 2, np.nan, 9]], [0.9], "missed-unseen", "nothing near"),
        ([[1, 2, np.nan, 9], shifted(FACE, 8)], [0.9, 0.8], "missed-misplaced", "IoU 0.42"),
        ([], [], "missed-unseen", "nothing near"),
    ],
)
def test_a_missed_face_says_what_was_there(gallery, found, scores, style, text):
    missed, _, _ = gallery(judged([FACE], found, scores))
    assert_only(missed, style, text)


def test_the_box_of_a_neighbour_is_no_try_at_a_face(gallery):
    missed, _, _ = gallery(judged([FACE, shifted(FACE, 8)], [FACE], [0.9]))
    assert len(missed) == 1
    assert "nothing near" in missed[0]


@pytest.mark.parametrize(
    ("found", "scores", "style", "text"),
    [
        ([FACE, shifted(FACE, 2)], [0.9, 0.8], "false-duplicate", "another box at IoU 0.81"),
        ([shifted(FACE, 8)], [0.9], "false-misplaced", "a face at IoU 0.42"),
        ([OTHER], [0.9], "false-background", "no labelled face"),
        ([[1, 2, np.nan, 9]], [0.9], "false-background", "no labelled face"),
    ],
)
def test_a_false_positive_says_what_is_wrong(gallery, found, scores, style, text):
    _, false, _ = gallery(judged([FACE], found, scores))
    assert_only(false, style, text)


def test_what_does_not_count_is_no_mistake(gallery):
    missed, false, page = gallery(
        judged([FACE], counted=np.array([False])),
        judged([FACE], [FACE], [0.9], counted=np.array([False])),
        judged([FACE], [FACE, OTHER], [0.9, 0.9], matched=np.array([0, -2])),
        judged([], [OTHER], [0.9], ignore=boxes([0, 0, 90, 90])),
        judged([], [OTHER], [0.49]),
    )
    assert missed == false == []
    assert "<dt>faces that count</dt><dd>1</dd>" in page


def test_the_matching_that_is_given_is_taken(gallery):
    missed, false, _ = gallery(judged([FACE], [FACE], [0.9], matched=np.array([-1])))
    assert len(missed) == len(false) == 1


def test_the_threshold_decides(gallery):
    photos = [judged([FACE], [FACE, OTHER], [0.6, 0.6])]
    for threshold, count in [(0.5, (0, 1)), (0.7, (1, 0))]:
        missed, false, _ = gallery(*photos, score_threshold=threshold)
        assert (len(missed), len(false)) == count


def test_no_more_are_shown_than_asked_for_but_all_are_counted(gallery):
    missed, _, page = gallery(judged([FACE, OTHER, LARGE]), most=2)
    assert len(missed) == 2
    assert "2 of 3, the largest first" in page
    assert "<dt>missed</dt><dd>3</dd>" in page


def test_the_picture_shows_the_face_and_what_is_around_it(gallery, photo):
    missed, _, page = gallery(judged([FACE], path=photo))
    data = re.search(r'href="data:image/jpeg;base64,([^"]+)"', missed[0])[1]
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    left, top, width, height = map(int, re.search(r'viewBox="([^"]+)"', missed[0])[1].split())
    assert picture.size == (width, height) == (58, 58)
    assert (left, top) == (0, 0)  # moved so that it does not leave the photo
    red, grey = picture.getpixel((20, 22)), picture.getpixel((45, 45))
    assert red[0] > 200 > 60 > red[1]
    assert max(grey) - min(grey) < 12
    assert '<rect class="mark missed subject" x="10.00" y="10.00" width="20.00"' in missed[0]
    assert page.count("data:image") == 1


def test_the_page_needs_nothing_else(gallery, photo):
    _, _, page = gallery(judged([FACE], [OTHER], [0.9], path=photo))
    assert page.count("data:image") == 2
    assert "http" not in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_photo_that_is_missing_or_damaged_leaves_its_boxes(gallery, tmp_path):
    (tmp_path / "text.jpg").write_text("not a photo")
    missed, _, page = gallery(
        judged([FACE], path=tmp_path / "gone.jpg"), judged([FACE], path=tmp_path / "text.jpg")
    )
    assert "the photo is not there" in missed[0]
    assert "can&#x27;t be read" in missed[1]
    assert missed[0].count("<rect") == 1
    assert "data:image" not in page


def test_other_boxes_of_the_photo_are_drawn_where_they_are_in_the_picture(gallery):
    near, far = [32, 10, 44, 30], [500, 500, 520, 520]
    ignore = boxes([0, 0, 12, 12])
    missed, _, _ = gallery(
        judged([FACE, near, far], [near, shifted(near, 12), FACE], [0.9, 0.8, 0.1], ignore=ignore)
    )
    styles = re.findall(r'<rect class="mark (\w+)', next(m for m in missed if "20 x 24" in m))
    assert styles == ["ignored", "face", "detection", "false", "missed"]


@pytest.mark.parametrize("box", [[-50, -60, 20, 30], [150, 90, 300, 200], [-10, -10, 400, 300]])
def test_a_face_that_leaves_the_photo_is_shown(gallery, photo, box):
    missed, _, _ = gallery(judged([box], path=photo))
    left, top, width, height = map(int, re.search(r'viewBox="([^"]+)"', missed[0])[1].split())
    assert left >= 0 and top >= 0 and left + width <= 200 and top + height <= 120  # noqa: PT018


@pytest.mark.parametrize("corner", [np.nan, np.inf, 1e30])
def test_a_box_that_is_no_box_is_a_false_positive_like_others(gallery, photo, corner):
    _, false, _ = gallery(judged([], [[1, 2, corner, 9]], [0.9], path=photo))
    assert len(false) == 1
    assert "no labelled face" in false[0]
    numbers = "".join(re.findall(r"<(?:svg|rect) [^>]*>", false[0]))
    assert "viewBox" in numbers
    assert not re.search("nan|inf", numbers)


def test_names_are_shown_as_they_are(gallery):
    missed, _, _ = gallery(judged([FACE], name='<b>"a" & b'))
    assert "&lt;b&gt;&quot;a&quot; &amp; b" in missed[0]
    assert '<b>"a"' not in missed[0]


def test_without_mistakes_the_page_says_so(gallery):
    missed, false, page = gallery()
    assert missed == false == []
    assert page.count("<small>none</small>") == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"scores": [0.5, 0.6]}, "expected 1 scores, got shape"),
        ({"matched": np.array([0, 1])}, "expected 1 matched"),
        ({"counted": np.array([True, True])}, "expected 1 counted"),
    ],
)
def test_arrays_that_do_not_fit_are_named_and_nothing_is_written(tmp_path, more, message):
    photo = judged(**{"faces": [FACE], "found": [FACE], "scores": [0.5], **more})
    with pytest.raises(ValueError, match=message):
        write_gallery(tmp_path / "gallery.html", [photo], title="")
    with pytest.raises(ValueError, match="most"):
        write_gallery(tmp_path / "gallery.html", [], title="", most=-1)
    assert not list(tmp_path.iterdir())
