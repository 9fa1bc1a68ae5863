"""S3FD's channel norms of the feature maps of a 640 px image."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks._case import Case, close, forward_and_backward
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference


def cases(inputs: Inputs) -> Iterator[Case]:
    contiguous, channels_last = torch.contiguous_format, torch.channels_last
    chosen = [((1, 512, 40, 40), contiguous)]
    if not inputs.quick:
        chosen += [
            ((1, 512, 80, 80), contiguous),
            ((1, 256, 160, 160), contiguous),
            ((1, 256, 160, 160), channels_last),
            ((4, 256, 160, 160), contiguous),
        ]
    for shape, memory_format in chosen:
        features = torch.randn(shape, generator=inputs.generator()).relu().to(inputs.device)
        features = features.contiguous(memory_format=memory_format)
        weight = torch.full(shape[1:2], 10.0, device=inputs.device)
        yield Case(
            operator="l2_normalize",
            series="channels_last" if memory_format is channels_last else "forward + backward",
            name=" x ".join(map(str, shape)),
            size=features.numel(),
            unit="elements",
            arguments=(features.requires_grad_(), weight.requires_grad_()),
            ours=ops.l2_normalize,
            twin=reference.l2_normalize,
            # Forward reads and writes once; backward reads features and gradient, writes one.
            bytes_moved=5 * features.nbytes,
            agree=close,
            around=forward_and_backward,
        )
