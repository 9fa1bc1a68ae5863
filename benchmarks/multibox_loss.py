"""The training loss with its mining, and its gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks._case import Case, close, forward_and_backward
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference
from s3fd.ops.reference.multibox_loss import Targets, kept_losses


def cases(inputs: Inputs) -> Iterator[Case]:
    for batch in (1,) if inputs.quick else (1, 8, 32):
        boxes = inputs.batch(batch, 640)
        logits, deltas, anchors, matched = inputs.head_outputs(boxes, 640)
        logits.requires_grad_()
        deltas.requires_grad_()
        for series, twin in (
            ("forward + backward", reference.multibox_loss),
            ("against mining by two sorts", _mined_by_two_sorts),
        ):
            yield Case(
                operator="multibox_loss",
                series=series,
                name=f"640 px, batch {batch}",
                size=matched.numel(),
                unit="anchors",
                arguments=(logits, deltas, anchors, boxes, matched),
                ours=ops.multibox_loss,
                twin=twin,
                # Reads logits and matched, writes both gradients.
                bytes_moved=2 * logits.nbytes + matched.nbytes + deltas.nbytes,
                agree=close,
                around=forward_and_backward,
            )


def _mined_by_two_sorts(
    logits: Tensor,  # [B, A, 2]
    deltas: Tensor,  # [B, A, 4]
    anchors: Tensor,  # [A, 4]
    boxes: Sequence[Tensor],  # B tensors [G_i, 4]
    matched: Tensor,  # [B, A]
) -> tuple[Tensor, Tensor]:  # scalars
    """The loss as SSD is usually trained in PyTorch: an anchor's rank by a sort of a sort."""
    with torch.no_grad():
        positive = matched >= 0  # [B, A]
        background = matched == -1  # [B, A]
        margin = (logits[..., 1] - logits[..., 0]).where(background, -torch.inf)  # [B, A]
        order = margin.sort(dim=1, descending=True, stable=True).indices  # [B, A]
        rank = order.sort(dim=1).indices  # [B, A]
        mined = (rank < 3 * positive.sum(dim=1, keepdim=True)) & background  # [B, A]
        kept = 2 * positive.byte() + mined  # [B, A]
    return kept_losses(logits, deltas, Targets(anchors, boxes, matched, kept, (0.1, 0.2)))
