"""From the raw maps of a detector's head to its detections, in one pass."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import (
    ShapeError,
    check_box_weights,
    check_integer,
    check_most,
    check_number,
    check_size,
    check_tensor,
    check_variances,
    describe,
    explain,
    is_checked_by_kernel,
)
from s3fd.ops.grid import GridDescription
from s3fd.ops.reference.decode_detections import score_to_margin, wanted_results

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DecodeSettings(TypedDict, total=False):
    """Arguments of `decode_detections` that do not change what kind of results there are."""

    score_threshold: float
    iou_threshold: float
    candidates: int
    keep: int
    image_sizes: Sequence[tuple[int, int]] | None
    variances: tuple[float, float]
    box_weights: tuple[float, float, float, float] | None
    padded: bool
    activation: Literal["softmax", "sigmoid"]


@overload
def decode_detections(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    grid: GridDescription,
    *,
    classes: None = None,
    return_indices: Literal[False] = False,
    **settings: Unpack[DecodeSettings],
) -> tuple[Tensor, Tensor, Tensor]: ...


@overload
def decode_detections(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    grid: GridDescription,
    *,
    classes: int | None = None,
    return_indices: bool = False,
    **settings: Unpack[DecodeSettings],
) -> tuple[Tensor, ...]: ...


def decode_detections(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    grid: GridDescription,
    *,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.3,
    candidates: int = 5000,
    keep: int = 750,
    image_sizes: Sequence[tuple[int, int]] | None = None,
    variances: tuple[float, float] = (0.1, 0.2),
    box_weights: tuple[float, float, float, float] | None = None,
    padded: bool = False,
    activation: Literal["softmax", "sigmoid"] = "softmax",
    classes: int | None = None,
    return_indices: bool = False,
) -> tuple[Tensor, ...]:
    """Does all that stands between a head and its detections.

    Max-out background (S3FD, section 3.3), softmax, threshold, box decoding, clipping, top-k and
    non-maximum suppression. The maps are read as the network left them, once: nothing is joined
    or transposed, no anchor is listed. The score ``sigmoid(face - max(backgrounds))`` passes where
    that margin is at least ``log(t / (1 - t))``, so that all but a few cells are rejected by one
    comparison, and only the others meet an exponential, an anchor or a box.

    With ``classes`` it serves SSD and RetinaNet too: an anchor may be several detections, one of
    each class whose score passes, and boxes of different classes do not suppress each other.

    Args:
        logits (list of Tensor[B, S_l * (k_l + C), H_l, W_l]): class maps of every level: of each of
            the ``S_l`` shapes of a cell, as many backgrounds ``k_l`` as the grid says, and then the
            classes: the face alone, unless told. float16, bfloat16, float32 or float64 (computed in
            float32), in any memory layout.
        deltas (list of Tensor[B, S_l * 4, H_l, W_l]): ``(dx, dy, dw, dh)`` of each shape.
        grid: the anchors of the maps, and how many backgrounds each level has.
        score_threshold: lowest score, in [0, 1]; a NaN never passes.
        iou_threshold: of two boxes with a larger IoU, in [0, 1], the better one stays.
        candidates: boxes of an image that go into the suppression, at most.
        keep: boxes of an image that come out, at most; below 2^31 with ``padded``.
        image_sizes: height and width of each image in pixels, to which its boxes are clipped; None
            for no clipping. Smaller than the maps cover where images were padded.
        variances: those that the deltas were encoded with.
        box_weights: the same as torchvision has it, such as ``(10, 10, 5, 5)``: inverse variances
            of x, y, width and height. None for ``variances``; of the two, pass one.
        padded: whether to return tensors whose sizes do not depend on what is found. Then the host
            never waits for a GPU, and a whole detector can be captured in a CUDA graph.
        activation: how logits become scores. ``"softmax"``: over the strongest background and the
            classes. ``"sigmoid"``: each class for itself. Then maps have no background, whatever
            the grid says: ``S_l * C`` channels.
        classes: how many there are, ``C``; None for one that needs no label.
        return_indices: whether to say which anchor a detection comes from.

    Returns:
        ``(boxes, scores, splits)``: float32 ``[N, 4]`` (``(x1, y1, x2, y2)`` in pixels), float32
        ``[N]``, int64 ``[B + 1]``. Image ``b`` has rows ``splits[b]`` to ``splits[b + 1]``, by
        falling margin, which tells apart what the scores round to 1; equals by the lower anchor.
        Boxes without a positive, finite area (after the clipping) are dropped before candidates
        are chosen. No image, no cell, nothing above the threshold: no rows. Not differentiable.

        With ``padded``, ``(boxes, scores, counts)``: float32 ``[B, keep, 4]``, float32
        ``[B, keep]`` and int64 ``[B]``. The first ``counts[b]`` rows of image ``b`` are its
        detections, the others 0.

        Then, with ``classes``, ``labels``: int64 from 0 to ``C - 1``, backgrounds not counted. And
        then, with ``return_indices``, ``indices``: int64, of the anchors in the order of
        :meth:`s3fd.ops.AnchorGrid.anchors`, by which landmarks, masks or embeddings of the same
        anchors can be gathered. Both are ``[N]``, or padded ``[B, keep]`` with -1 behind the
        detections.

        ``candidates`` and ``keep`` count the detections of all classes of an image together, by
        falling score; equals go by the lower anchor, then the lower class. A NaN among an anchor's
        logits drops all of its classes, under a sigmoid its own.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: maps that do not fit the grid or each other (the message names the level),
            numbers out of range, or ``box_weights`` beside other ``variances`` than the default.
        RuntimeError: meta tensors without ``padded``, as with any operator whose output's size
            depends on data.

    On CUDA an image takes 24 bytes of memory for each of its anchors, 8 more for every further
    class, and some for each of its ``candidates``, whatever is found. On devices without a kernel
    (all but the CPU and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import AnchorGrid, decode_detections
        >>> grid = AnchorGrid(strides=(16,), sizes=(16,))
        >>> logits = torch.tensor([4.0, 0.0, 0.0, 4.0]).view(1, 2, 1, 2)  # background, face
        >>> boxes, scores, splits = decode_detections([logits], [torch.zeros(1, 4, 1, 2)], grid)
        >>> boxes, splits
        (tensor([[16.,  0., 32., 16.]]), tensor([0, 1]))
        >>> *_, labels, indices = decode_detections(
        ...     [logits], [torch.zeros(1, 4, 1, 2)], grid,
        ...     activation="sigmoid", score_threshold=0.9, classes=2, return_indices=True)
        >>> labels, indices
        (tensor([0, 1]), tensor([0, 1]))
    """
    _check_kinds(activation, classes)
    check_number("score_threshold", score_threshold, minimum=0, maximum=1)
    check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)
    candidates = check_most("candidates", candidates)
    keep = check_most("keep", keep, padded=padded)
    if box_weights is not None:
        variances = check_box_weights(box_weights, variances)
    check_variances(variances)
    kinds = (1 if classes is None else int(classes), activation == "sigmoid")
    is_plain = classes is None and activation == "softmax" and not return_indices
    try:
        if not is_checked_by_kernel(*logits, *deltas):
            _check_maps(logits, deltas, grid, *kinds)
        results: tuple[Tensor, ...] = _operator(is_plain, padded)(
            _without_history(logits),
            _without_history(deltas),
            grid.packed,
            score_to_margin(float(score_threshold)),
            float(iou_threshold),
            candidates,
            keep,
            _flat_sizes(image_sizes, logits[0].shape[0]),
            float(variances[0]),
            float(variances[1]),
            *(() if is_plain else kinds),
        )
    except Exception:
        explain(_check_maps, logits, deltas, grid, *kinds)
        raise
    return results if is_plain else wanted_results(results, classes is not None, return_indices)


def _operator(is_plain: bool, padded: bool) -> Callable[..., Any]:
    operators = torch.ops.s3fd
    if is_plain:
        return operators.decode_detections_padded if padded else operators.decode_detections
    if padded:
        return operators.decode_detections_labelled_padded
    return operators.decode_detections_labelled


def _without_history(maps: Sequence[Tensor]) -> list[Tensor]:
    return [level.detach() if level.requires_grad else level for level in maps]


def _check_kinds(activation: object, classes: object) -> None:
    if activation not in ("softmax", "sigmoid"):
        raise ValueError(
            f"activation: expected 'softmax' or 'sigmoid', got {reprlib.repr(activation)}"
        )
    if classes is not None:
        check_integer("classes", classes, minimum=1)


def _check_maps(
    logits: object, deltas: object, grid: object, classes: int, has_sigmoid: bool
) -> None:
    if not isinstance(grid, GridDescription):
        raise TypeError(f"grid: expected an AnchorGrid, got {describe(grid)}")
    for name, maps in (("logits", logits), ("deltas", deltas)):
        if not isinstance(maps, Sequence):
            raise TypeError(
                f"{name}: expected a list with the map of each level, got {type(maps).__name__}"
            )
        if len(maps) != grid.num_levels:
            raise ValueError(
                f"{name}: expected the maps of the grid's {grid.num_levels} levels, got {len(maps)}"
            )
    assert isinstance(logits, Sequence)
    assert isinstance(deltas, Sequence)
    for level, (shapes, backgrounds) in enumerate(
        zip(grid.num_shapes, grid.num_backgrounds, strict=True)
    ):
        name = f"logits[{level}]"
        check_tensor(name, logits[level], ("B", "C", "H", "W"))
        check_tensor(f"deltas[{level}]", deltas[level], ("B", 4 * shapes, "H", "W"))
        batch, channels, height, width = logits[level].shape
        of_anchor = classes if has_sigmoid else backgrounds + classes
        if channels != shapes * of_anchor:
            raise ShapeError(_channels_expected(name, logits[level], shapes, of_anchor, classes))
        if deltas[level].shape != (batch, 4 * shapes, height, width):
            raise ShapeError(
                f"deltas[{level}]: expected [{batch}, {4 * shapes}, {height}, {width}] like "
                f"{name}, got {describe(deltas[level])}"
            )
        for other in (logits[level], deltas[level]):
            first = logits[0]
            if (batch, other.dtype, other.device) != (first.shape[0], first.dtype, first.device):
                raise ValueError(
                    f"{name}, deltas[{level}]: expected the batch size, dtype and device of "
                    f"logits[0] ({describe(first)}), got {describe(other)}"
                )


def _channels_expected(name: str, level: Tensor, shapes: int, of_anchor: int, classes: int) -> str:
    foreground = "the face's" if classes == 1 else f"those of {classes} classes"
    return (
        f"{name}: expected {shapes * of_anchor} channels, of each of {shapes} shapes "
        f"{of_anchor - classes} background logits and {foreground}, got {describe(level)}; "
        "if the head has others, tell the grid: AnchorGrid(..., backgrounds=...), "
        "or this function: classes=..., activation='sigmoid' for no background"
    )


def _flat_sizes(image_sizes: object, batch: int) -> list[int] | None:
    if image_sizes is None:
        return None
    if not isinstance(image_sizes, Sequence) or len(image_sizes) != batch:
        raise ValueError(
            f"image_sizes: expected (height, width) of each of {batch} images, "
            f"got {describe(image_sizes)}"
        )
    return [
        length
        for index, size in enumerate(image_sizes)
        for length in check_size(f"image_sizes[{index}]", size)
    ]


@_registration.fake("s3fd::decode_detections")
def _fake(logits: list[Tensor], *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _fake_labelled(logits)[:3]


@_registration.fake("s3fd::decode_detections_labelled")
def _fake_labelled(logits: list[Tensor], *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    like = logits[0]
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        like.new_empty((found, 4), dtype=torch.float32),
        like.new_empty((found,), dtype=torch.float32),
        like.new_empty((like.shape[0] + 1,), dtype=torch.int64),
        like.new_empty((found,), dtype=torch.int64),
        like.new_empty((found,), dtype=torch.int64),
    )


@_registration.fake("s3fd::decode_detections_padded")
def _fake_padded(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _fake_labelled_padded(*arguments)[:3]


@_registration.fake("s3fd::decode_detections_labelled_padded")
def _fake_labelled_padded(
    logits: list[Tensor], *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    like, keep = logits[0], others[5]
    rows = (like.shape[0], keep)
    return (
        like.new_empty((*rows, 4), dtype=torch.float32),
        like.new_empty(rows, dtype=torch.float32),
        like.new_empty(rows[:1], dtype=torch.int64),
        like.new_empty(rows, dtype=torch.int64),
        like.new_empty(rows, dtype=torch.int64),
    )
