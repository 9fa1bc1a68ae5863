"""The matching rules of SSD, RetinaNet and Faster R-CNN, by the options of ``match_anchors``."""

from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import assume, given
from hypothesis import strategies as st
from matching_cases import BACKGROUND, IGNORED, hides, iou, tensor
from torch import Tensor

from s3fd.ops import AnchorGrid, match_anchors, reference

RECIPES: dict[str, dict[str, Any]] = {
    "ssd": {"positive_iou": 0.5, "top_n": 0},
    "retinanet": {
        "positive_iou": 0.5,
        "background_iou": 0.4,
        "top_n": 0,
        "keep_best": "ties",
    },
    "rpn": {"positive_iou": 0.7, "background_iou": 0.3, "top_n": 0, "keep_best": "ties"},
    "rcnn": {"positive_iou": 0.5, "top_n": 0, "keep_best": False},
}
GRID = AnchorGrid(((8, 8), (16, 8)), (((12, 24), 16), (32, (48, 24))), offset=0.0)
SIZES = GRID.feature_sizes((64, 96))

# Small integers: equal overlaps and equal boxes.
number = st.integers(0, 9).map(float)
box = st.tuples(number, number, st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
boxes_of_images = st.lists(st.lists(box, max_size=6), min_size=1, max_size=2)


def by_the_rule(
    anchors: list[list[float]],
    boxes: list[list[float]],
    positive_iou: float,
    background_iou: float | None,
    ignore: list[list[float]],
) -> list[int]:
    """``keep_best="ties"``, anchor by anchor."""
    overlap = [[iou(anchor, box) for anchor in anchors] for box in boxes]
    matched = []
    for a, anchor in enumerate(anchors):
        own = [row[a] for row in overlap]
        best = max(own, default=0.0)
        promoted = any(row[a] > 0 and row[a] == max(row) for row in overlap)
        if best > 0 and (best >= positive_iou or promoted):
            matched.append(own.index(best))
        elif (background_iou is not None and best > 0 and best >= background_iou) or any(
            hides(region, anchor) for region in ignore
        ):
            matched.append(IGNORED)
        else:
            matched.append(BACKGROUND)
    return matched


@given(
    anchors=st.lists(box, max_size=10),
    images=boxes_of_images,
    ignored=st.lists(box, max_size=1),
    positive_iou=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    background_iou=st.sampled_from([None, 0.0, 0.25, 0.4, 1.0]),
)
def test_ties_promote_all_best_anchors_each_to_its_own_best_box(
    anchors, images, ignored, positive_iou, background_iou
) -> None:
    assume(background_iou is None or background_iou <= positive_iou)
    options = {"positive_iou": positive_iou, "background_iou": background_iou}
    for function in (match_anchors, reference.match_anchors):
        matched = function(
            tensor(anchors),
            [tensor(boxes) for boxes in images],
            ignore=[tensor(ignored) for _ in images],
            keep_best="ties",
            top_n=0,
            **options,
        )
        for row, boxes in zip(matched.tolist(), images, strict=True):
            assert row == by_the_rule(anchors, boxes, ignore=ignored, **options)


@given(
    images=boxes_of_images, scale=st.sampled_from([1.0, 4.0, 9.0]), name=st.sampled_from([*RECIPES])
)
def test_a_grid_is_matched_as_its_list_of_anchors_is(images, scale, name) -> None:
    boxes = [scale * tensor(image) for image in images]
    ignore = [image[:1] + 20 for image in boxes]
    anchors = GRID.anchors(SIZES)
    expected = reference.match_anchors(anchors, boxes, ignore=ignore, **RECIPES[name])
    assert torch.equal(GRID.match(SIZES, boxes, ignore=ignore, **RECIPES[name]), expected)
    assert torch.equal(match_anchors(anchors, boxes, ignore=ignore, **RECIPES[name]), expected)


def test_a_box_inside_several_anchors_promotes_all_of_them() -> None:
    anchors = torch.tensor([[0.0, 0, 16, 16], [4, 0, 20, 16], [40, 0, 56, 16]])
    small = [torch.tensor([[6.0, 6, 10, 10]])]
    assert match_anchors(anchors, small, **RECIPES["rpn"]).tolist() == [[0, 0, -1]]
    assert match_anchors(anchors, small, **RECIPES["ssd"]).tolist() == [[0, -1, -1]]
    assert match_anchors(anchors, small, **RECIPES["rcnn"]).tolist() == [[-1, -1, -1]]


def test_a_promoted_anchor_takes_the_box_that_it_overlaps_most_itself() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10]])
    boxes = [torch.tensor([[0.0, 0, 10, 4], [0, 0, 10, 6]])]  # IoU 0.4 and 0.6: both have no other
    assert match_anchors(anchors, boxes, **RECIPES["rpn"]).tolist() == [[1]]


def test_the_band_ignores_what_is_neither_background_nor_positive() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    box = [torch.tensor([[0.0, 0, 10, 10]])]  # IoU 1, 2/3, 3/7, 1/9
    assert match_anchors(anchors, box, **RECIPES["retinanet"]).tolist() == [[0, 0, -2, -1]]
    assert match_anchors(anchors, box, **RECIPES["rpn"]).tolist() == [[0, -2, -2, -1]]
    two_stages = match_anchors(anchors, box, positive_iou=0.9, background_iou=0.1, top_n=2)
    assert two_stages.tolist() == [[0, 0, -2, -2]]


def test_a_band_without_a_width_is_none() -> None:
    anchors, boxes = scattered(0)
    options: dict[str, Any] = {"positive_iou": 0.5, "top_n": 0, "keep_best": False}
    expected = match_anchors(anchors, boxes, **options)
    assert torch.equal(match_anchors(anchors, boxes, **options, background_iou=0.5), expected)
    assert torch.equal(
        reference.match_anchors(anchors, boxes, **options, background_iou=0.5), expected
    )


def test_the_twin_takes_no_band_above_what_is_positive() -> None:
    anchors, boxes = scattered(0)
    with pytest.raises(AssertionError):
        reference.match_anchors(anchors, boxes, positive_iou=0.5, background_iou=0.6)


@pytest.mark.parametrize("background_iou", [None, 0.3])
@pytest.mark.parametrize("num_images", [0, 2])
def test_nothing_to_match_is_background(background_iou: float | None, num_images: int) -> None:
    boxes = [torch.empty(0, 4)] * num_images
    options: dict[str, Any] = {"keep_best": "ties", "top_n": 0, "background_iou": background_iou}
    anchors = GRID.anchors(SIZES)
    for matched in (match_anchors(anchors, boxes, **options), GRID.match(SIZES, boxes, **options)):
        assert matched.shape == (num_images, len(anchors))
        assert (matched == BACKGROUND).all()
    assert match_anchors(anchors[:0], boxes, **options).shape == (num_images, 0)


def test_degenerate_boxes_promote_nothing() -> None:
    odd = torch.tensor([[5.0, 5, 5, 9], [9, 9, 5, 5], [torch.nan, 0, 9, 9], [0, 0, torch.inf, 9]])
    for name in ("retinanet", "rpn"):
        assert (match_anchors(GRID.anchors(SIZES), [odd], **RECIPES[name]) == BACKGROUND).all()
        assert (match_anchors(odd, [GRID.anchors(SIZES)], **RECIPES[name]) == BACKGROUND).all()


def scattered(seed: int) -> tuple[Tensor, list[Tensor]]:
    """Anchors of a grid, and boxes of all sizes, some inside anchors and some around them."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(2, 12, 2, generator=generator) * torch.tensor([90.0, 60.0])
    side = 2 ** (torch.rand(2, 12, 2, generator=generator) * 5 + 1)
    return GRID.anchors(SIZES), [*torch.cat([corner, corner + side], dim=2)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("name", "high", "low"), [("retinanet", 0.5, 0.4), ("rpn", 0.7, 0.3)])
def test_torchvision_matches_as_retinanet_and_the_rpn_do(
    seed: int, name: str, high: float, low: float
) -> None:
    pytest.importorskip("torchvision", reason="compares with torchvision's Matcher")
    from torchvision.models.detection._utils import Matcher
    from torchvision.ops import box_iou

    anchors, boxes = scattered(seed)
    matcher = Matcher(high, low, allow_low_quality_matches=True)
    expected = torch.stack([matcher(box_iou(image, anchors)) for image in boxes])
    assert torch.equal(match_anchors(anchors, boxes, **RECIPES[name]), expected)


@pytest.mark.parametrize("seed", range(20))
def test_torchvision_matches_as_ssd_does_but_for_boxes_that_claim_one_anchor(seed: int) -> None:
    pytest.importorskip("torchvision", reason="compares with torchvision's Matcher")
    from torchvision.models.detection._utils import SSDMatcher
    from torchvision.ops import box_iou

    anchors, boxes = scattered(seed)
    matched = match_anchors(anchors, boxes, **RECIPES["ssd"])
    for row, image in zip(matched, boxes, strict=True):
        overlap = box_iou(image, anchors)
        claimed = overlap.argmax(dim=1)
        contested = np.flatnonzero(np.bincount(claimed.numpy(), minlength=len(anchors)) > 1)
        expected = SSDMatcher(0.5)(overlap)
        for anchor in contested:
            claimants = (claimed == anchor).nonzero()[:, 0]
            expected[anchor] = claimants[overlap[claimants, anchor].argmax()]
        assert torch.equal(row, expected)


def test_opcheck() -> None:
    anchors, boxes = scattered(0)
    packed = (torch.cat(boxes), [0, 12, 24], torch.empty(0, 4), [0, 0, 0])
    options = (0.7, 1.0, 0, True, True)
    of_list, of_grid = torch.ops.s3fd.match_anchors.default, torch.ops.s3fd.match_grid.default
    grid = ([length for size in SIZES for length in size], GRID.packed)
    torch.library.opcheck(of_list, (anchors, *packed, *options))
    torch.library.opcheck(of_grid, (*packed, *grid, *options))
    expected = of_list(anchors, *packed, *options)
    assert torch.equal(run_elsewhere(of_list, anchors, *packed, *options), expected)
    assert torch.equal(run_elsewhere(of_grid, *packed, *grid, *options), expected)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"keep_best": "tie", "top_n": 0}, "keep_best: expected True, False or 'ties'"),
        ({"keep_best": "ties"}, "top_n: expected 0 with keep_best='ties'.*got None"),
        ({"keep_best": "ties", "top_n": 6}, "top_n: expected 0 .*got 6"),
        ({"background_iou": 1.5}, "background_iou"),
        (
            {"positive_iou": 0.5, "background_iou": 0.6},
            r"background_iou: expected .* \[0, positive_iou = 0.5\], got 0.6: .* are ignored",
        ),
        ({"background_iou": 0.4}, r"background_iou: .* \[0, positive_iou = 0.35\], got 0.4"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], text: str) -> None:
    anchors, boxes = scattered(0)
    with pytest.raises(ValueError, match=text):
        match_anchors(anchors, boxes, **options)
    with pytest.raises(ValueError, match=text):
        GRID.match(SIZES, boxes, **options)


@pytest.mark.parametrize("keep_best", [None, 1, 0, 2.5, [], torch.tensor(True)])
def test_what_keep_best_can_be_is_said(keep_best: Any) -> None:
    anchors, boxes = scattered(0)
    with pytest.raises(TypeError, match="keep_best: expected True, False or 'ties', got "):
        match_anchors(anchors, boxes, keep_best=keep_best)


@pytest.mark.parametrize("name", ["boxes", "ignore"])
@pytest.mark.parametrize(
    "value",
    [
        *(torch.zeros(2, 4), torch.zeros(0, 4), torch.zeros(1, 2, 4), np.zeros((2, 4)), 5),
        *(iter([torch.zeros(1, 4)]), {"a": torch.zeros(1, 4)}.values()),
    ],
)
def test_what_is_no_list_of_tensors_is_named(name: str, value: Any) -> None:
    anchors, _ = scattered(0)
    arguments = {"boxes": [torch.zeros(1, 4)], name: value}
    with pytest.raises(TypeError, match=f"{name}: expected a list with one tensor"):
        match_anchors(anchors, **arguments)
    with pytest.raises(TypeError, match=f"{name}: expected a list with one tensor"):
        GRID.match(SIZES, **arguments)
