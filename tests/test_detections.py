"""What was found in an image."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from s3fd import Detections


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
    assert Detections.from_dict(json.loads(found.to_json())) == found


def test_numpy_gives_arrays():
    boxes, scores = faces().numpy()
    assert boxes.shape == (2, 4)
    assert boxes.dtype == scores.dtype == np.float32


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


def test_crops_hold_their_boxes_and_end_at_the_border():
    image = Image.new("RGB", (64, 48))
    assert [crop.size for crop in faces().crops(image)] == [(17, 24), (6, 5)]
    wide = faces().crops(image, margin=0.5)
    assert wide[0].size == (33, 40)  # x -0.25 .. 32.75, y -8 .. 40, inside the image
    tiny = Detections(torch.tensor([[63.9, 47.9, 64.0, 48.0]]), torch.ones(1), (48, 64))
    assert [crop.size for crop in tiny.crops(image)] == [(1, 1)]


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf, "wide", None])
def test_a_margin_that_cannot_be_is_named(margin):
    with pytest.raises(ValueError, match="margin: expected a number >= 0"):
        faces().crops(Image.new("RGB", (64, 48)), margin=margin)


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
    ],
)
def test_parts_that_do_not_fit_are_named(change, error, message):
    good = {"boxes": torch.zeros(2, 4), "scores": torch.zeros(2), "image_size": (48, 64)}
    with pytest.raises(error, match=message):
        Detections(**{**good, **change})


@pytest.mark.parametrize("values", [{}, {"faces": [{}]}, {"faces": [], "width": 3}])
def test_a_dictionary_of_another_form_is_refused(values):
    with pytest.raises(ValueError, match="values: expected width, height, and faces"):
        Detections.from_dict(values)
