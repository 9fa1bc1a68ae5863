"""What was found in an image."""

import errno
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from s3fd import Detections
from s3fd.detections import Detection
from s3fd.images import Source


def faces(size=(48, 64)):
    boxes = torch.tensor([[8.0, 4.0, 24.5, 28.0], [-3.0, -2.0, 6.0, 5.0]])
    return Detections(boxes, torch.tensor([0.9, 0.6]), size)


def nothing(size=(48, 64)):
    return Detections(torch.zeros(0, 4), torch.zeros(0), size)


def test_length_iteration_and_indexing_agree():
    found = faces()
    assert len(found) == len(list(found)) == 2
    assert list(found)[1] == found[1]
    box, score = found[0]
    assert box == (8.0, 4.0, 24.5, 28.0)
    assert score == pytest.approx(0.9)


def row():
    """Four faces in a row, from left to right, of growing size."""
    boxes = torch.tensor([[float(10 * i), 5.0, 10.0 * i + 2 * i + 2, 12.0] for i in range(4)])
    return Detections(boxes, torch.tensor([0.5, 0.9, 0.6, 0.9]), (48, 64), Source(3))


@pytest.mark.parametrize(
    ("index", "chosen"),
    [
        (slice(2), [0, 1]),
        (slice(None, None, -2), [3, 1]),
        (slice(9, 12), []),
        ([3, 0], [3, 0]),
        (np.array([-1]), [3]),
        (np.argsort([0.5, 0.9, 0.6, 0.8])[::-1], [1, 3, 2, 0]),
        (np.array([2, 0], np.uint8), [2, 0]),
        (torch.tensor([1, 0, 1, 0], dtype=torch.uint8), [1, 0, 1, 0]),
        (torch.tensor([3, 1], dtype=torch.int16), [3, 1]),
        ([], []),
        ([False, True, False, True], [1, 3]),
        (np.array([True, False, False, False]), [0]),
        (torch.tensor([0.5, 0.9, 0.6, 0.9]) > 0.8, [1, 3]),
        (torch.zeros(4, dtype=torch.bool), []),
    ],
)
def test_slices_masks_and_numbers_give_detections_again(index, chosen):
    found = row()[index]
    assert torch.equal(found.boxes, row().boxes[chosen])
    assert torch.equal(found.scores, row().scores[chosen])
    assert (found.image_size, found.source) == ((48, 64), Source(3))


@pytest.mark.parametrize("index", [1, np.int64(1), torch.tensor(1), -3])
def test_any_kind_of_number_gives_one_face(index):
    assert row()[index] == Detection((10.0, 5.0, 14.0, 12.0), pytest.approx(0.9))


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (4, IndexError),
        ([0, 4], IndexError),
        ([True], IndexError),
        (torch.ones(5, dtype=torch.bool), IndexError),
        (1.5, TypeError),
        ("score", TypeError),
        ([[0]], TypeError),
        (None, TypeError),
        ([None], TypeError),
        ({0, 1}, TypeError),
    ],
)
def test_an_index_that_cannot_be_is_refused(index, error):
    with pytest.raises(error):
        row()[index]


@pytest.mark.parametrize(
    ("by", "reverse", "order"),
    [
        ("score", False, [1, 3, 2, 0]),
        ("score", True, [0, 2, 1, 3]),
        ("area", False, [3, 2, 1, 0]),
        ("left", False, [0, 1, 2, 3]),
        ("top", False, [0, 1, 2, 3]),
        ("left", True, [3, 2, 1, 0]),
    ],
)
def test_faces_are_sorted_and_equal_ones_stay_in_their_order(by, reverse, order):
    assert row().sorted(by, reverse=reverse) == row()[order]


def test_torchs_default_device_does_not_matter():
    expected, empty = row(), nothing()
    with torch.device("meta"):
        assert expected[:2] == expected[[0, 1]] == expected[[True, True, False, False]]
        assert expected.sorted("left") == expected
        assert Detections.from_dict(expected.to_dict()) == expected
        assert Detections.from_dict(empty.to_dict()) == empty


def test_an_order_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="by: expected 'score', 'area', 'left' or 'top', got 'x'"):
        row().sorted("x")


def test_sides_and_areas_are_those_of_the_boxes():
    assert faces().xywh.tolist() == [[8.0, 4.0, 16.5, 24.0], [-3.0, -2.0, 9.0, 7.0]]
    assert faces().areas.tolist() == [396.0, 63.0]
    assert nothing().xywh.shape == (0, 4)
    assert nothing().areas.shape == (0,)


def test_no_faces_are_an_empty_result():
    empty = nothing()
    assert len(empty) == 0
    assert list(empty) == []
    assert empty.to_dict() == {"width": 64, "height": 48, "faces": []}
    assert empty.crops(Image.new("RGB", (64, 48))) == []
    assert empty.draw(Image.new("RGB", (64, 48))).getcolors() == [(64 * 48, (0, 0, 0))]
    assert Detections.from_dict(empty.to_dict()) == empty


def test_json_gives_the_same_detections_back():
    generator = torch.Generator().manual_seed(0)
    found = Detections(
        torch.rand(50, 4, generator=generator) * 1000, torch.rand(50, generator=generator), (7, 9)
    )
    assert Detections.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_numpy_gives_arrays():
    boxes, scores = faces().numpy()
    assert boxes.shape == (2, 4)
    assert boxes.dtype == scores.dtype == np.float32


def test_their_tensors_may_be_changed_and_trained_with_wherever_they_were_made():
    with torch.inference_mode():
        boxes, scores = torch.tensor([[0.0, 0, 2, 2]]), torch.ones(1)
        assert Detections(boxes, scores, (8, 8)).boxes.is_inference()
    faces = Detections(boxes, scores, (8, 8))
    faces.boxes.mul_(2)
    assert faces.boxes.tolist() == [[0, 0, 4, 4]]
    weight = torch.ones(1, requires_grad=True)
    (faces.scores * weight).sum().backward()
    assert weight.grad is not None


def test_they_cannot_be_changed():
    with pytest.raises(AttributeError):
        faces().scores = torch.zeros(2)


def test_drawing_marks_the_border_of_a_box_in_a_copy():
    image = Image.new("RGB", (640, 480), (10, 20, 30))
    found = Detections(torch.tensor([[100.0, 50.0, 300.0, 400.0]]), torch.tensor([0.9]), (480, 640))
    drawn = found.draw(image)
    assert drawn.size == image.size
    assert image.getcolors() == [(640 * 480, (10, 20, 30))]
    for pixel in [(100, 200), (299, 200), (200, 50), (200, 399)]:
        assert drawn.getpixel(pixel) != (10, 20, 30)
    for pixel in [(95, 200), (310, 200), (200, 200), (200, 410)]:
        assert drawn.getpixel(pixel) == (10, 20, 30)


@pytest.mark.parametrize("side", [3, 9, 16, 40, 300])
def test_lines_leave_three_quarters_of_a_face_free(side):
    image = Image.new("RGB", (4032, 3024))
    box = torch.tensor([[100.0, 100.0, 100.0 + side, 200.0 + side]])
    drawn = Detections(box, torch.tensor([0.9]), (3024, 4032)).draw(image)
    row = np.asarray(drawn)[150, 100 : 100 + side].any(axis=1)
    assert row[0]
    assert row[-1]
    assert row.sum() <= max(2, side // 4)
    assert row.sum() == 20 or side < 300  # of the longest side of the picture, two four-hundredths


def test_crops_hold_their_boxes_and_end_at_the_border():
    image = Image.new("RGB", (64, 48))
    assert [crop.size for crop in faces().crops(image)] == [(17, 24), (6, 5)]
    wide = faces().crops(image, margin=0.5)
    assert wide[0].size == (33, 40)  # x -0.25 .. 32.75, y -8 .. 40, inside the image
    tiny = Detections(torch.tensor([[63.9, 47.9, 64.0, 48.0]]), torch.ones(1), (48, 64))
    assert [crop.size for crop in tiny.crops(image)] == [(1, 1)]


def test_square_crops_have_the_centre_of_their_box_and_are_black_outside():
    image = Image.new("RGB", (64, 48), "white")
    boxes = torch.tensor([[20.0, 10.0, 30.0, 30.0], [0.0, 0.0, 10.0, 10.0]])
    inside, corner = Detections(boxes, torch.ones(2), (48, 64)).crops(image, 0.25, square=True)
    assert (inside.size, corner.size) == ((30, 30), (15, 15))
    assert inside.getcolors() == [(900, (255, 255, 255))]  # x 10 .. 40, y 5 .. 35
    assert corner.getpixel((0, 14)) == (0, 0, 0)
    assert corner.getpixel((14, 14)) == (255, 255, 255)


def test_the_best_face_is_drawn_on_top_in_any_order():
    image = Image.new("RGB", (640, 480))
    assert row_of(image).draw(image) == row_of(image).sorted("left", reverse=True).draw(image)


def row_of(image):
    boxes = torch.tensor([[100.0, 50, 300, 400], [120.0, 60, 320, 410], [90.0, 40, 310, 420]])
    return Detections(boxes, torch.tensor([0.7, 0.9, 0.8]), image.size[::-1])


def test_the_image_is_the_one_that_was_kept_or_the_photo_it_came_from(tmp_path):
    image = Image.new("RGB", (64, 48), (10, 20, 30))
    image.save(tmp_path / "photo.png")
    kept = replace(faces(), image=np.asarray(image))
    known = replace(faces(), source=Source(0, tmp_path / "photo.png"))
    for found in (kept, known):
        assert found.draw() == faces().draw(image)
        assert [crop.size for crop in found.crops()] == [(17, 24), (6, 5)]
    for source in (None, Source(2), Source(0, tmp_path / "photo.png", frame=3)):
        with pytest.raises(ValueError, match=r"was not kept; pass it, or .*keep_images=True"):
            replace(faces(), source=source).draw()


def test_the_image_may_be_an_array_of_opencv():
    bgr = np.full((48, 64, 3), (30, 20, 10), np.uint8)
    drawn = nothing().draw(bgr, channel_order="BGR")
    assert drawn.getcolors() == [(64 * 48, (10, 20, 30))]
    assert faces().crops(bgr, channel_order="BGR")[0].getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("name", ["drawn.png", "drawn.jpg", "drawn.WEBP"])
def test_the_drawn_picture_is_saved_as_its_name_says(tmp_path, name):
    image = Image.new("RGB", (64, 48), (10, 20, 30))
    faces().save(tmp_path / name, image)
    saved = Image.open(tmp_path / name)
    expected = faces().draw(image)
    assert saved.size == expected.size
    np.testing.assert_allclose(np.asarray(saved)[40:, :], np.asarray(expected)[40:, :], atol=6)
    for other in ("drawn.txt", "drawn.psd", "drawn"):  # Pillow reads .psd, and does not write it
        with pytest.raises(ValueError, match=r"path: expected a name such as faces\.jpg"):
            faces().save(tmp_path / other, image)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        faces().save(tmp_path / "gone" / name, image)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("pano.jpg", (65501, 2), "a JPEG has at most 65500 pixels a side, .* 65501 x 2"),
        ("pano.MPO", (2, 70000), "a JPEG has at most 65500 pixels a side, .* 2 x 70000"),
        ("pano.webp", (16384, 2), r"can't write 16384 x 2 pixels as \.webp \(.*16383"),
        ("pano.gif", (70000, 2), r"can't write 70000 x 2 pixels as \.gif"),
    ],
)
def test_a_picture_that_is_too_large_for_its_kind_of_file_is_named(tmp_path, name, size, message):
    found, image = nothing(size[::-1]), Image.new("RGB", size)
    with pytest.raises(ValueError, match=rf"path: .*{message}.*; name it pano\.png"):
        found.save(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []
    found.save(tmp_path / "pano.png", image)
    assert Image.open(tmp_path / "pano.png").size == size


def test_an_error_of_the_disk_is_not_one_of_the_name(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        faces().save(tmp_path / "drawn.png", Image.new("RGB", (64, 48)))


def test_what_is_no_path_is_refused_before_the_picture_is_drawn(tmp_path):
    image = Image.new("RGB", (64, 48))
    with pytest.raises(TypeError, match="path: expected the name of a file, got Image"):
        faces().save(image, tmp_path / "drawn.png")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_boxes_that_lie_nowhere_are_neither_drawn_nor_cut(value, tmp_path):
    image, lost = Image.new("RGB", (64, 48)), faces()
    lost.boxes[1, 2] = value
    for use in (lost.draw, lost.crops, lambda image: lost.save(tmp_path / "drawn.png", image)):
        with pytest.raises(ValueError, match="boxes: expected finite coordinates"):
            use(image)


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf, "wide", None])
def test_a_margin_that_cannot_be_is_named(margin):
    with pytest.raises(ValueError, match="margin: expected a number >= 0"):
        faces().crops(Image.new("RGB", (64, 48)), margin=margin)


def test_a_margin_may_be_any_real_number():
    image = Image.new("RGB", (64, 48))
    sizes = [[c.size for c in faces().crops(image, m)] for m in (0.5, np.float32(0.5))]
    assert sizes[0] == sizes[1]


def test_another_image_than_the_one_searched_is_refused():
    with pytest.raises(ValueError, match="64 x 48 pixels, got 48 x 64"):
        faces().draw(Image.new("RGB", (48, 64)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"boxes": np.zeros((2, 4))}, TypeError, "boxes: expected a tensor"),
        ({"boxes": torch.zeros(2, 5)}, ValueError, r"boxes: expected \[N, 4\]"),
        ({"scores": torch.zeros(3)}, ValueError, r"scores: expected \[2\]"),
        ({"image_size": 48}, TypeError, "image_size"),
        ({"image_size": (0, 64)}, ValueError, "image_size"),
        ({"image_size": (48.7, 64)}, TypeError, "image_size"),
        ({"image_size": ("48", "64")}, TypeError, "image_size"),
        ({"image_size": (math.inf, 64)}, TypeError, "image_size"),
    ],
)
def test_parts_that_do_not_fit_are_named(change, error, message):
    good = {"boxes": torch.zeros(2, 4), "scores": torch.zeros(2), "image_size": (48, 64)}
    with pytest.raises(error, match=message):
        Detections(**{**good, **change})


@pytest.mark.parametrize(
    "values",
    [{}, {"faces": [{}]}, {"faces": [], "width": 3}, {"faces": [], "width": None, "height": 9}],
)
def test_a_dictionary_of_another_form_is_refused(values):
    with pytest.raises(ValueError, match="values: expected width, height, and faces"):
        Detections.from_dict(values)
