"""Two-stage matching of anchors to boxes: the scale compensation of S3FD (section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import (
    check_boxes_of_batch,
    check_device,
    check_integer,
    check_number,
    check_tensor,
    describe,
    explain,
    is_checked_by_kernel,
)
from s3fd.ops._ragged import join
from s3fd.ops.grid import GridDescription, unpack_grid


def match_anchors(
    anchors: Tensor,
    boxes: Sequence[Tensor],
    *,
    positive_iou: float = 0.35,
    candidate_iou: float = 0.1,
    top_n: int | None = None,
    keep_best: bool | Literal["ties"] = True,
    ignore: Sequence[Tensor] | None = None,
    background_iou: float | None = None,
) -> Tensor:
    """Tells each anchor which box it shall learn, so that faces of all sizes get their share.

    Faces between two anchor sizes, and tiny ones, overlap few anchors by much. S3FD (arXiv
    1708.05237, section 3.2, "scale compensation anchor matching strategy") lowers the threshold,
    and then lets those boxes that still have too few anchors claim their best ones.

    **Stage 1.** Each anchor takes the box that it overlaps most, if their IoU is at least
    ``positive_iou``. With ``keep_best`` each box also claims the anchor that it overlaps most,
    whatever the IoU; where two boxes claim one anchor the larger IoU has it. These claims go
    before the threshold rule.

    **Stage 2.** ``N`` is the number of anchors matched in stage 1 over the number of boxes of the
    image, rounded down and at least 1. A box with fewer than ``N`` anchors looks at the anchors
    whose IoU with it is above ``candidate_iou``, takes the ``N`` of largest IoU, and claims those
    of them that stage 1 left unmatched. An anchor that several boxes claim goes to the one that
    it overlaps most. No box loses an anchor of stage 1.

    Equal IoUs are decided by the lower index, of the box or of the anchor. IoU is computed in
    float32 as ``inter / (area_a + area_b - inter)``, without fused multiply-add, and compared with
    the thresholds in double. No match without overlap: an IoU of 0 is never enough.

    A degenerate box (without width or height, inside out, with NaN or infinite coordinates, or
    with an area that float32 cannot hold) overlaps nothing, so that no anchor gets its index; it
    counts as a box of the image where the mean ``N`` is taken. A degenerate anchor is background.

    Args:
        anchors (Tensor[A, 4]): ``(x1, y1, x2, y2)`` in pixels, any floating-point dtype.
        boxes (list of Tensor[G_i, 4]): the boxes of each image, on the device of ``anchors``.
        positive_iou: threshold of stage 1, in [0, 1].
        candidate_iou: threshold of stage 2, in [0, 1].
        top_n: ``N`` of stage 2 for all images; None takes the mean as the paper does, its
            authors' code ran with 6, and 0 leaves stage 2 out.
        keep_best: whether each box claims its best anchor in stage 1. ``"ties"`` is the rule of
            Faster R-CNN instead: all anchors with which a box has its largest IoU are matched,
            each to the box that it overlaps most itself; there is no stage 2, so ``top_n=0``.
        ignore (list of Tensor[I_i, 4]): regions of each image whose content is not known, such as
            crowds. An anchor left as background of whose own area at least half lies in one of
            them is ignored. Degenerate ones hide nothing.
        background_iou: an anchor left as background whose IoU with a box is at least this, in
            [0, 1] and not above ``positive_iou``, is ignored as well: neither positive enough nor
            background. None for no such band.

    Returns:
        Tensor[B, A]: int64, on the device of ``anchors``; the index of each anchor's box among the
        boxes of its image, -1 for background, -2 for an ignored anchor. An image without boxes is
        background. No gradient.

    Raises:
        TypeError: an argument is not of the kind above, or not floating point.
        ValueError: a shape, a device, the length of ``ignore`` or a number does not fit.

    Other detectors' rules:

    - SSD: ``positive_iou=0.5, top_n=0``
    - RetinaNet: ``positive_iou=0.5, background_iou=0.4, top_n=0, keep_best="ties"``
    - Faster R-CNN's RPN: ``positive_iou=0.7, background_iou=0.3, top_n=0, keep_best="ties"``
    - Faster R-CNN's head: ``positive_iou=0.5, top_n=0, keep_best=False``

    They are torchvision's matchers, but that a box which overlaps nothing gets nothing (there it
    gets anchor 0, or promotes all anchors), that SSD's boxes which claim one anchor are told apart
    by their IoU, and that thresholds are not rounded to float32 (there 0.7 is a little less).

    Memory grows with ``A + G`` alone; anchors that are listed row by row are looked at in blocks of
    neighbours, most of which a box passes by.
    :meth:`s3fd.ops.AnchorGrid.match` gives the same for the anchors of a grid, far faster. On CUDA
    neither waits for the device; there can be 2^31 - 1 anchors at most, and 2^29 - 1 boxes in a
    batch. On devices without a kernel (all but the CPU and CUDA) both run on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import match_anchors
        >>> anchors = torch.tensor([[0.0, 0, 16, 16], [8, 0, 24, 16], [40, 0, 56, 16]])
        >>> boxes = torch.tensor([[2.0, 0, 16, 16]])
        >>> crowd = torch.tensor([[40.0, 0, 80, 16]])
        >>> match_anchors(anchors, [boxes], ignore=[crowd])
        tensor([[ 0,  0, -2]])
    """
    options = MatchOptions(positive_iou, candidate_iou, top_n, keep_best, ignore, background_iou)

    def call(boxes: Tensor, splits: list[int], *others: Any) -> Tensor:
        rows, _ = join([anchors], torch.float32, anchors.device)
        matched: Tensor = torch.ops.s3fd.match_anchors(rows, boxes, splits, *others)
        return matched

    return _match(call, boxes, options, anchors)


class MatchOptions(NamedTuple):
    """The arguments of `match_anchors` beside the anchors and the boxes."""

    positive_iou: float
    candidate_iou: float
    top_n: int | None
    keep_best: bool | Literal["ties"]
    ignore: Sequence[Tensor] | None
    background_iou: float | None


def match_grid(
    grid: GridDescription,
    feature_sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Tensor],
    options: MatchOptions,
) -> Tensor:
    """Matches the anchors of a grid: :meth:`s3fd.ops.AnchorGrid.match`."""
    description = grid.operator_arguments(feature_sizes)

    def call(boxes: Tensor, splits: list[int], *others: Any) -> Tensor:
        regions, rest = others[:2], others[2:]
        matched: Tensor = torch.ops.s3fd.match_grid(boxes, splits, *regions, *description, *rest)
        return matched

    return _match(call, boxes, options)


def _match(
    call: Callable[..., Tensor],
    boxes: Sequence[Tensor],
    options: MatchOptions,
    anchors: Tensor | None = None,
) -> Tensor:
    """Matches with an operator that `call` gives its anchors; None for those of a grid."""
    numbers, ignore = _numbers(options), options.ignore
    try:
        given = () if anchors is None else (anchors,)
        tensors = (*boxes, *(() if ignore is None else ignore))
        # What can be read once alone would be empty when it is packed; a tensor is no sequence.
        in_lists = isinstance(boxes, Sequence) and isinstance(ignore, Sequence | None)
        if not (in_lists and is_checked_by_kernel(*given, *tensors)):
            _check(boxes, ignore, anchors)
        first = anchors if anchors is not None else boxes[0] if boxes else None
        device = torch.get_default_device() if first is None else first.device
        packed = _packed(boxes, ignore, device)
        matched = call(*packed, *numbers)
    except Exception:
        explain(_check, boxes, ignore, anchors)
        raise
    if options.background_iou is None:
        return matched
    return _without_band(matched, call(*_band(*packed[:2], options.background_iou)))


def _packed(
    boxes: Sequence[Tensor], ignore: Sequence[Tensor] | None, device: torch.device
) -> tuple[Tensor, list[int], Tensor, list[int]]:
    """Boxes and splits, ignore boxes and splits; no splits where there is nothing to ignore."""
    rows, splits = join(boxes, torch.float32, device)
    if ignore is None:
        return rows, splits, rows, []
    return rows, splits, *join(ignore, torch.float32, device)


def _check(boxes: object, ignore: object, anchors: object = None) -> None:
    """Checks lists of boxes.

    All have to be on one device: that of the anchors, or else of the first tensor.
    """
    name, first = "boxes[0]", None
    if anchors is not None:
        name, first = "anchors", check_tensor("anchors", anchors, ("A", 4))
    boxes = check_boxes_of_batch("boxes", boxes)
    first = first if first is not None else boxes[0] if boxes else torch.empty(0)
    regions = () if ignore is None else check_boxes_of_batch("ignore", ignore, len(boxes))
    for kind, tensors in (("boxes", boxes), ("ignore", regions)):
        for index, tensor in enumerate(tensors):
            check_device(f"{kind}[{index}]", tensor, name, first.device)


def _numbers(options: MatchOptions) -> tuple[float, float, int, bool, bool]:
    """The options as the operators take them, after a check: a negative top_n is the mean."""
    positive_iou, candidate_iou, top_n, keep_best, _, background_iou = options
    check_number("positive_iou", positive_iou, minimum=0, maximum=1)
    check_number("candidate_iou", candidate_iou, minimum=0, maximum=1)
    if background_iou is not None:
        check_number("background_iou", background_iou, minimum=0, maximum=1)
        if background_iou > positive_iou:
            raise ValueError(
                f"background_iou: expected a number in [0, positive_iou = {positive_iou}], got "
                f"{background_iou}: anchors between the two are ignored"
            )
    if top_n is not None:
        check_integer("top_n", top_n, minimum=0)
        top_n = min(top_n, 2**63 - 1)
    if not isinstance(keep_best, bool):
        if keep_best != "ties":
            error = ValueError if isinstance(keep_best, str) else TypeError
            raise error(f"keep_best: expected True, False or 'ties', got {describe(keep_best)}")
        if top_n != 0:
            raise ValueError(
                f"top_n: expected 0 with keep_best='ties', whose matching has no second stage, "
                f"got {top_n}"
            )
        return positive_iou, candidate_iou, 0, True, True
    return positive_iou, candidate_iou, -1 if top_n is None else top_n, keep_best, False


def _band(boxes: Tensor, splits: list[int], background_iou: float) -> tuple[Any, ...]:
    """Arguments that match every anchor of at least ``background_iou``."""
    return boxes, splits, boxes, [], background_iou, 1.0, 0, False


def _without_band(matched: Tensor, reached: Tensor) -> Tensor:
    """Ignores what is background in one matching, but not in the other one."""
    return matched.masked_fill((matched == -1) & (reached >= 0), -2)


@_registration.fake("s3fd::match_anchors")
def _fake(anchors: Tensor, boxes: Tensor, splits: list[int], *others: Any) -> Tensor:
    return boxes.new_empty((len(splits) - 1, anchors.shape[0]), dtype=torch.int64)


@_registration.fake("s3fd::match_grid")
def _fake_of_grid(boxes: Tensor, splits: list[int], *others: Any) -> Tensor:
    feature_sizes, grid = others[2:4]
    total = unpack_grid(grid).num_anchors(feature_sizes)
    return boxes.new_empty((len(splits) - 1, total), dtype=torch.int64)
