"""The maximum of the three background logits of S3FD's finest level."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks._case import Case, forward_and_backward
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference


def cases(inputs: Inputs) -> Iterator[Case]:
    for batch in (1,) if inputs.quick else (1, 8, 32):
        logits = torch.randn(batch, 4, 160, 160, generator=inputs.generator()).to(inputs.device)
        half = logits.nbytes // 2  # the output, and its gradient
        yield Case(
            operator="max_out_background",
            series="forward + backward",
            name=f"4 x 160 x 160, batch {batch}",
            size=batch * 160 * 160,
            unit="cells",
            arguments=(logits.requires_grad_(),),
            ours=ops.max_out_background,
            twin=reference.max_out_background,
            # Forward reads the logits and writes half; backward reads three quarters of the logits
            # and the gradient, and writes the logits' gradient.
            bytes_moved=logits.nbytes + half + (3 * logits.nbytes // 4 + half) + logits.nbytes,
            around=forward_and_backward,
        )
