"""What the decoding of detections is called with: what is refused, and what torch may assume."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from head_maps import GRID16, GRID16_OF_THREE, S3FD_GRID, assert_same, make_maps, one_level

from s3fd.ops import AnchorGrid, decode_detections, reference

OPERATOR = torch.ops.s3fd.decode_detections.default
PADDED = torch.ops.s3fd.decode_detections_padded.default


@pytest.mark.parametrize("image_sizes", [None, [40, 50, 64, 64]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype, image_sizes: list[int] | None) -> None:
    logits, deltas = make_maps(S3FD_GRID, (64, 64), dtype=dtype)
    rest = (S3FD_GRID.packed, 0.5, 0.3, 100, 50, image_sizes, 0.1, 0.2)
    torch.library.opcheck(OPERATOR, (logits, deltas, *rest))
    torch.library.opcheck(PADDED, (logits, deltas, *rest))
    assert_same(run_elsewhere(OPERATOR, logits, deltas, *rest), OPERATOR(logits, deltas, *rest))


LOGITS, DELTAS = one_level([(0.0, 1), (0.0, 2)])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((LOGITS[0], DELTAS, GRID16), TypeError, "logits: expected a list"),
        ((LOGITS, DELTAS, (16, 16)), TypeError, "grid: expected an AnchorGrid"),
        ((LOGITS * 2, DELTAS, GRID16), ValueError, "logits: .*1 levels, got 2"),
        ((LOGITS, [], GRID16), ValueError, "deltas: .*1 levels, got 0"),
        (([LOGITS[0][0]], DELTAS, GRID16), ValueError, r"logits\[0\]: .*\[2, 1, 2\]"),
        (([LOGITS[0][:, :1]], DELTAS, GRID16), ValueError, r"logits\[0\]: expected 2 channels"),
        ((LOGITS, DELTAS, GRID16_OF_THREE), ValueError, "of each of 1 shapes 3 background logits"),
        (([LOGITS[0].long()], DELTAS, GRID16), TypeError, r"logits\[0\]: .*int64"),
        ((LOGITS, [DELTAS[0][:, :3]], GRID16), ValueError, r"deltas\[0\]: .*\[1, 3, 1, 2\]"),
        ((LOGITS, [DELTAS[0][..., :1]], GRID16), ValueError, r"deltas\[0\]: .*\[1, 4, 1, 1\]"),
        ((LOGITS, [DELTAS[0].double()], GRID16), (TypeError, ValueError), "float64"),
        ((LOGITS, [DELTAS[0].to("meta")], GRID16), ValueError, "meta"),
    ],
)
def test_bad_maps_are_named(arguments: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        decode_detections(*arguments)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("score_threshold", 1.5, ValueError),
        ("score_threshold", math.nan, ValueError),
        ("score_threshold", "high", TypeError),
        ("iou_threshold", -1, ValueError),
        ("candidates", 0, ValueError),
        ("candidates", 1.5, TypeError),
        ("keep", 0, ValueError),
        ("image_sizes", [(10**19, 1)], ValueError),
        ("variances", (0.1, 0), ValueError),
        ("image_sizes", [(1, 1), (1, 1)], ValueError),
        ("image_sizes", [(1, -1)], ValueError),
        ("image_sizes", [(1.5, 1)], TypeError),
        ("image_sizes", 7, (TypeError, ValueError)),
    ],
)
def test_bad_options_are_named(name: str, value: Any, error: Any) -> None:
    with pytest.raises(error, match=name):
        decode_detections(LOGITS, DELTAS, GRID16, **{name: value})


@pytest.mark.parametrize("name", ["candidates", "keep"])
def test_more_than_int64_holds_is_no_bound(name: str) -> None:
    expected = decode_detections(LOGITS, DELTAS, GRID16)
    assert_same(decode_detections(LOGITS, DELTAS, GRID16, **{name: 10**19}), expected)


@pytest.mark.parametrize("keep", [2**31, 10**19])
def test_more_padded_rows_than_can_be_made_are_refused(keep: int) -> None:
    with pytest.raises(ValueError, match=r"keep: expected an integer below 2\^31 with padded=True"):
        decode_detections(LOGITS, DELTAS, GRID16, padded=True, keep=keep)


@pytest.mark.parametrize("variances", [(0.1, 0.1), [0.2, 0.2], (1.0, 1.0), 7])
def test_variances_and_box_weights_together_are_refused(variances: Any) -> None:
    with pytest.raises(ValueError, match="box_weights, variances: expected one of them"):
        decode_detections(
            LOGITS, DELTAS, GRID16, variances=variances, box_weights=(1.0, 1.0, 1.0, 1.0)
        )


@pytest.mark.parametrize("channels", [4, 8])
def test_maps_of_several_classes_are_not_taken_for_backgrounds(channels: int) -> None:
    grid, deltas = AnchorGrid((16,), ((16, 32),)), [torch.zeros(1, 8, 2, 2)]
    maps = [torch.zeros(1, channels, 2, 2)]
    if channels == 4:  # a background and a face of each of two shapes
        decode_detections(maps, deltas, grid)
        return
    with pytest.raises(AssertionError, match="another grid"):
        reference.decode_detections(maps, deltas, grid)
    with pytest.raises(ValueError, match=r"expected 4 channels.*AnchorGrid\(\.\.\., backgrounds="):
        decode_detections(maps, deltas, grid)
    decode_detections(maps, deltas, replace(grid, backgrounds=3))


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed[:-1],
        lambda packed: [*packed, 1.0],
        lambda packed: [],
        lambda packed: [*packed[:3], 0.0, *packed[4:]],  # backgrounds
        lambda packed: [*packed[:3], math.nan, *packed[4:]],
        lambda packed: [*packed[:4], 1e18, *packed[5:]],  # shapes
        lambda packed: [*packed[:4], -1.0, *packed[5:]],
        lambda packed: [*packed[:4], 0.5, *packed[5:]],
    ],
)
def test_the_kernel_itself_refuses_a_grid_that_it_could_not_read(change: Any) -> None:
    with pytest.raises(RuntimeError, match="s3fd"):
        OPERATOR(LOGITS, DELTAS, change(GRID16.packed), 0.0, 0.3, 100, 50, None, 0.1, 0.2)


def test_the_kernel_itself_refuses_what_it_could_not_read() -> None:
    rest = (GRID16.packed, 0.0, 0.3, 100, 50)
    for logits, deltas, image_sizes in (
        (LOGITS * 2, DELTAS, None),
        (LOGITS, [DELTAS[0][:, :3]], None),
        (LOGITS, [DELTAS[0].double()], None),
        ([LOGITS[0][:, :1]], DELTAS, None),
        ([LOGITS[0][0]], DELTAS, None),
        (LOGITS, DELTAS, [1]),
    ):
        with pytest.raises(RuntimeError, match="s3fd"):
            OPERATOR(logits, deltas, *rest, image_sizes, 0.1, 0.2)
