"""The training loss with its mining, and its gradients."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks._case import Case, close, forward_and_backward
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference


def cases(inputs: Inputs) -> Iterator[Case]:
    for batch in (1,) if inputs.quick else (1, 8, 32):
        boxes = inputs.batch(batch, 640)
        logits, deltas, anchors, matched = inputs.head_outputs(boxes, 640)
        yield Case(
            operator="multibox_loss",
            series="forward + backward",
            name=f"640 px, batch {batch}",
            size=matched.numel(),
            unit="anchors",
            arguments=(
                logits.requires_grad_(),
                deltas.requires_grad_(),
                anchors,
                boxes,
                matched,
            ),
            ours=ops.multibox_loss,
            twin=reference.multibox_loss,
            # Reads logits and matched, writes both gradients.
            bytes_moved=2 * logits.nbytes + matched.nbytes + deltas.nbytes,
            agree=close,
            around=forward_and_backward,
        )
