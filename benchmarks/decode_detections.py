"""From the raw maps of a detection head to detections."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmarks._case import DATA_DEPENDENT, Case, close
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference


def cases(inputs: Inputs) -> Iterator[Case]:
    for size, batch in ((640, 1),) if inputs.quick else ((640, 1), (640, 8), (1024, 1)):
        logits, deltas = _head_maps(inputs, size, batch)
        survivors = sum(int((_margin(level) >= 0).sum()) for level in logits)
        yield Case(
            operator="decode_detections",
            series="decode_detections",
            name=f"{size} px, batch {batch}, {survivors // batch} survivors an image",
            size=sum(level.shape[2] * level.shape[3] for level in logits) * batch,
            unit="anchors",
            arguments=(logits, deltas, inputs.grid),
            ours=ops.decode_detections,
            twin=reference.decode_detections,
            bytes_moved=sum(level.nbytes for level in logits) + survivors * 16,
            agree=close,
            not_compiled=DATA_DEPENDENT,
        )
    for batch in (1,) if inputs.quick else (1, 8):
        yield _of_classes(inputs, batch)


def _of_classes(inputs: Inputs, batch: int) -> Case:
    """SSD's head for 300 pixels and the 90 classes of COCO: most anchors see background."""
    random = inputs.generator()
    logits, deltas = [], []
    for shapes, (rows, columns) in zip(_SSD.num_shapes, _SSD_MAPS, strict=True):
        classes = torch.randn(batch, shapes, 91, rows, columns, generator=random)
        classes[:, :, 0] += 9  # the background
        objects = torch.rand(batch, shapes, rows, columns, generator=random) < 0.02
        classes[:, :, 17] += 9 * objects
        logits.append(classes.flatten(1, 2).to(inputs.device))
        delta = torch.randn(batch, shapes * 4, rows, columns, generator=random)
        deltas.append(delta.to(inputs.device))
    options: dict[str, Any] = {"classes": 90, "score_threshold": 0.2, "return_indices": True}
    return Case(
        operator="decode_detections",
        series="90 classes",
        name=f"SSD300, batch {batch}",
        size=8732 * batch,
        unit="anchors",
        arguments=(logits, deltas, _SSD),
        ours=partial(ops.decode_detections, **options),
        twin=partial(reference.decode_detections, **options),
        bytes_moved=sum(level.nbytes for level in logits),
        agree=close,
        not_compiled=DATA_DEPENDENT,
    )


_SSD_MAPS = [(side, side) for side in (38, 19, 10, 5, 3, 1)]
_SSD_SIDES = (21, 45, 99, 153, 207, 261, 315)


def _ssd_shapes(side: float, next_side: float, ratios: tuple[int, ...]) -> tuple[Any, ...]:
    wide = [(side * ratio**0.5, side / ratio**0.5) for ratio in ratios]
    return side, (side * next_side) ** 0.5, *wide, *((height, width) for width, height in wide)


_SSD = ops.AnchorGrid(
    (8, 16, 32, 64, 100, 300),
    tuple(
        _ssd_shapes(side, next_side, (2, 3) if 0 < level < 4 else (2,))
        for level, (side, next_side) in enumerate(pairwise(_SSD_SIDES))
    ),
)


def _head_maps(inputs: Inputs, size: int, batch: int) -> tuple[list[Tensor], list[Tensor]]:
    """Maps ``[B, k + 1, H, W]`` and ``[B, 4, H, W]`` of each level; the finest has k = 3."""
    boxes = inputs.batch(batch, size, least=100, most=400)
    logits, deltas, _, _ = inputs.head_outputs(boxes, size)
    feature_sizes = inputs.grid.feature_sizes((size, size))
    ends = torch.tensor([0, *(rows * columns for rows, columns in feature_sizes)]).cumsum(0)
    logit_maps, delta_maps = [], []
    for (start, end), (rows, columns) in zip(pairwise(ends.tolist()), feature_sizes, strict=True):
        two, four = (
            values[:, start:end].reshape(batch, rows, columns, -1).permute(0, 3, 1, 2)
            for values in (logits, deltas)
        )
        if start == 0:
            two = torch.cat([two[:, :1] - 1, two[:, :1] - 2, two], 1)
        logit_maps.append(two.contiguous())
        delta_maps.append(four.contiguous())
    return logit_maps, delta_maps


def _margin(logits: Tensor) -> Tensor:  # [B, k + 1, H, W] -> [B, H, W]
    return logits[:, -1] - logits[:, :-1].amax(1)
