"""Non-maximum suppression of candidates around faces, and of boxes anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks._case import Case
from benchmarks._inputs import Inputs
from benchmarks._peers import NMS
from s3fd import ops
from s3fd.ops import reference

_IOU_THRESHOLD = 0.3
_GROUPS = 8


def cases(inputs: Inputs) -> Iterator[Case]:
    counts = (1000,) if inputs.quick else (1000, 10_000, 34_125)
    for count in counts:
        for series, make in (("clustered", inputs.clustered), ("uniform", inputs.uniform)):
            yield Case.of_boxes(
                "nms",
                series,
                (*make(count), _IOU_THRESHOLD),
                ours=ops.nms,
                twin=reference.nms,
                torchvision="nms",
                peers=NMS,
            )
    for count in counts[:2]:
        groups = torch.arange(count, device=inputs.device) % _GROUPS
        yield Case.of_boxes(
            "nms",
            f"{_GROUPS} groups",
            (*inputs.clustered(count), groups, _IOU_THRESHOLD),
            ours=ops.batched_nms,
            twin=reference.batched_nms,
            torchvision="batched_nms",
        )
