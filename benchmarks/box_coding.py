"""Boxes to deltas and back, for all anchors of a 640 px image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks._case import Case, close, forward, forward_and_backward
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference


def cases(inputs: Inputs) -> Iterator[Case]:
    _, anchors = inputs.anchors(640)
    for batch in (1,) if inputs.quick else (1, 8, 32):
        random = inputs.generator()
        deltas = torch.randn(batch, len(anchors), 4, generator=random).to(inputs.device)
        boxes = reference.decode_boxes(deltas, anchors)
        yield _case("encode", boxes, anchors)
        yield _case("decode", deltas, anchors)
        yield _case("encode", boxes.clone().requires_grad_(), anchors)
        yield _case("decode", deltas.clone().requires_grad_(), anchors)


def _case(name: str, argument: Tensor, anchors: Tensor) -> Case:
    encodes, backward = name == "encode", argument.requires_grad
    moved = 2 * argument.nbytes + anchors.nbytes
    return Case(
        operator="box_coding",
        series=f"{name}, backward" if backward else name,
        name=f"{argument.shape[0]} x {len(anchors)} boxes",
        size=argument.shape[0] * len(anchors),
        unit="boxes",
        arguments=(argument, anchors),
        ours=ops.encode_boxes if encodes else ops.decode_boxes,
        twin=reference.encode_boxes if encodes else reference.decode_boxes,
        # Backward reads the gradient and the inputs, and writes a gradient.
        bytes_moved=moved + (moved + argument.nbytes if backward else 0),
        agree=close,
        around=forward_and_backward if backward else forward,
    )
