"""Matching of anchors to faces: of a grid, and of anchors that are only a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from benchmarks._case import Case, Function
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference

_GRID, _LIST = "AnchorGrid.match", "match_anchors"


def cases(inputs: Inputs) -> Iterator[Case]:
    for size, counts in _sizes(inputs.quick):
        for count in counts:
            boxes = [inputs.scaled(inputs.image_with(count), size)]
            yield _case(inputs, _GRID, size, boxes, f"{size} px, {len(boxes[0])} boxes")
    for count in (10,) if inputs.quick else (10, 200, 1968):
        boxes = [inputs.scaled(inputs.image_with(count), 640)]
        yield _case(inputs, _LIST, 640, boxes, f"640 px, {len(boxes[0])} boxes")
    for series in (_GRID, _LIST):
        images = 4 if inputs.quick else 32
        boxes = inputs.batch(images, 640)
        faces = sum(map(len, boxes))
        yield _case(inputs, series, 640, boxes, f"640 px, {images} images, {faces} boxes")


def _sizes(quick: bool) -> list[tuple[int, tuple[int, ...]]]:
    if quick:
        return [(640, (10, 200))]
    # 2 048 px with 1 968 boxes is left out: each matrix of the twin would have 2.7 GB.
    return [(640, (10, 200, 1968)), (1024, (10, 200, 1968)), (2048, (10, 200))]


def _case(inputs: Inputs, series: str, size: int, boxes: list[Tensor], name: str) -> Case:
    feature_sizes, anchors = inputs.anchors(size)

    def match_grid(anchors: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        return inputs.grid.match(feature_sizes, boxes)

    ours: Function = match_grid if series == _GRID else ops.match_anchors
    read = sum(b.nbytes for b in boxes) + (anchors.nbytes if series == _LIST else 0)
    return Case(
        operator="match_anchors",
        series=series,
        name=name,
        size=len(anchors) * sum(map(len, boxes)),
        unit="anchors x boxes",
        arguments=(anchors, boxes),
        ours=ours,
        twin=reference.match_anchors,
        not_compiled=""
        if len(boxes) == 1
        else "one copy of the code an image, a minute to compile",
        bytes_moved=read + 8 * len(anchors) * len(boxes),
    )
