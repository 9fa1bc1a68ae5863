"""Sizes whose products, numbers of elements, or bytes don't fit into 32 bits."""

import math
import os

import pytest
import torch
from torch import Tensor

from s3fd.ops import (
    AnchorGrid,
    decode_detections,
    encode_boxes,
    l2_normalize,
    match_anchors,
    max_out_background,
    multibox_loss,
    nms,
    vote_boxes,
)

MANY = 70_000  # whose square is more than 2^32


def needs_gigabytes(count: int):
    """Skips a test on machines that would have to swap."""
    try:
        has = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        has = 0
    return pytest.mark.skipif(has < count * 2**30, reason=f"needs {count} GB of free memory")


def apart(count: int) -> Tensor:
    """Boxes 8 pixels wide, none of which touches another."""
    across = torch.arange(count) % 300 * 20.0
    down = torch.arange(count) // 300 * 20.0
    return torch.stack([across, down, across + 8, down + 8], dim=1)


def faces_behind(others: int) -> tuple[Tensor, Tensor]:
    """Ten boxes, and the same behind others that lie where no anchor is."""
    corner = torch.rand(10, 2, generator=torch.Generator().manual_seed(0)) * 500
    faces = torch.cat([corner, corner + torch.linspace(12, 140, 10)[:, None]], dim=1)
    return faces, torch.cat([apart(others) + 1e5, faces])


def test_grid_matches_more_pairs_than_32_bits_count(many: int) -> None:
    others = min(many, MANY)
    grid = AnchorGrid.s3fd()
    sizes = grid.feature_sizes((640, 640))
    faces, crowd = faces_behind(others)
    # The far boxes lower the average of matches that the second stage fills up to: none to fill.
    expected = match_anchors(grid.anchors(sizes), [crowd], top_n=1)
    few = grid.match(sizes, [faces], top_n=1)
    assert torch.equal(expected, grid.match(sizes, [crowd], top_n=1))
    assert torch.equal(expected, few.where(few < 0, few + others))


@pytest.mark.parametrize("seed", range(2))
def test_nms_of_more_pairs_than_32_bits_count(many: int, seed: int) -> None:
    half = min(many, MANY) // 2
    boxes = apart(half).repeat(2, 1)
    scores = torch.randperm(2 * half, generator=torch.Generator().manual_seed(seed)).float()
    kept = nms(boxes, scores, 0.5)
    first, second = scores.view(2, -1)
    best = torch.where(first > second, 0, 1) * half + torch.arange(half)
    assert torch.equal(kept, best[scores[best].argsort(descending=True)])


def test_votes_of_more_pairs_than_32_bits_count(many: int) -> None:
    half = min(many, MANY) // 2
    boxes = apart(half).repeat(2, 1)
    scores = torch.linspace(1, 0.5, half).repeat(2)
    voted, strongest = vote_boxes(boxes, scores, 0.5)
    assert torch.allclose(voted, boxes[:half])
    assert torch.equal(strongest, scores[:half])


@pytest.mark.large
@needs_gigabytes(6)
def test_box_code_of_more_than_2_31_elements() -> None:
    rows = 2**29 + 5
    boxes = torch.tensor([[10, 20, 50, 90]]).half()
    anchors = torch.tensor([[8, 16, 40, 80]]).half()
    deltas = encode_boxes(boxes.expand(rows, 4), anchors.expand(rows, 4))
    some = deltas[:: 2**20 + 7]
    assert torch.equal(some, encode_boxes(boxes, anchors).expand_as(some))
    assert torch.equal(deltas[-1:], encode_boxes(boxes, anchors))


@pytest.mark.large
@needs_gigabytes(11)
def test_norm_of_more_than_2_31_elements() -> None:
    side = 46_341  # its square is 2^31 + 4 633
    row = torch.tensor([3.0, -4.0, 0.0]).half().repeat(side // 3)
    features = row.view(1, 1, 1, side).expand(1, 1, side, side)
    output = l2_normalize(features, torch.tensor([2.0]))
    expected = torch.tensor([2.0, -2.0, 0.0]).half().repeat(side // 3)
    for line in (0, side // 2, side - 1):
        assert torch.equal(output[0, 0, line], expected)


@pytest.mark.large
@needs_gigabytes(11)
def test_max_out_of_more_than_2_31_elements() -> None:
    height, width = 32_768, 32_800
    cell = torch.tensor([-1.0, 3.0, 2.0, 0.5]).half()
    output = max_out_background(cell.view(1, 4, 1, 1).expand(1, 4, height, width))
    assert output.numel() > 2**31
    for corner in (output[..., 0, 0], output[..., -1, -1]):
        assert corner.tolist() == [[3.0, 0.5]]


@pytest.mark.large
@needs_gigabytes(8)
def test_loss_of_more_than_2_31_bytes() -> None:
    anchors = 2**28 + 3
    matched = torch.full((1, anchors), -1)
    matched[0, -1] = 0
    box = torch.tensor([[8.0, 16.0, 40.0, 80.0]])
    logits = torch.tensor([0.0, 1.0]).expand(1, anchors, 2)
    deltas = torch.zeros(1, 1, 4).expand(1, anchors, 4)
    of_class, of_boxes = multibox_loss(logits, deltas, box.expand(anchors, 4), [box], matched)
    # One positive, and three negatives that lose one more each.
    assert of_class.item() == pytest.approx(math.log1p(math.exp(-1)) + 3 / 4)
    assert of_boxes.item() == 0


@pytest.mark.large
@needs_gigabytes(8)
def test_detections_of_more_than_2_31_elements() -> None:
    grid = AnchorGrid(strides=(4,), sizes=(16,))
    height, width = 32_768, 32_769
    logits = torch.zeros(1, 2, height, width, dtype=torch.float16)
    logits[0, 1, -1, -1] = 5
    deltas = torch.zeros(1, 4, 1, 1, dtype=torch.float16).expand(1, 4, height, width)
    boxes, _, _ = decode_detections([logits], [deltas], grid, score_threshold=0.9)
    centre_x, centre_y = (width - 0.5) * 4, (height - 0.5) * 4
    expected = [centre_x - 8, centre_y - 8, centre_x + 8, centre_y + 8]
    # Half precision has the output, in steps of 64 pixels here.
    assert boxes.tolist() == [pytest.approx(expected, abs=64)]
