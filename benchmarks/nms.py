"""Non-maximum suppression of candidates around faces, and of boxes anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks._case import DATA_DEPENDENT, Case
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
            boxes, scores = make(count)
            yield Case(
                operator="nms",
                series=series,
                name=f"{count} boxes",
                size=count,
                unit="boxes",
                arguments=(boxes, scores, _IOU_THRESHOLD),
                ours=ops.nms,
                twin=reference.nms,
                torchvision="nms",
                peers=NMS,
                bytes_moved=boxes.nbytes + scores.nbytes,
                not_compiled=DATA_DEPENDENT,
            )
    for count in counts[:2]:
        boxes, scores = inputs.clustered(count)
        groups = torch.arange(count, device=inputs.device) % _GROUPS
        yield Case(
            operator="nms",
            series=f"{_GROUPS} groups",
            name=f"{count} boxes",
            size=count,
            unit="boxes",
            arguments=(boxes, scores, groups, _IOU_THRESHOLD),
            ours=ops.batched_nms,
            twin=reference.batched_nms,
            torchvision="batched_nms",
            bytes_moved=boxes.nbytes + scores.nbytes + groups.nbytes,
            not_compiled=DATA_DEPENDENT,
        )
