"""The merge of detections of several scales."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks._case import Case, close
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference

_IOU_THRESHOLD = 0.3


def cases(inputs: Inputs) -> Iterator[Case]:
    for count in (750,) if inputs.quick else (750, 5000, 20_000):
        yield Case.of_boxes(
            "vote_boxes",
            "clustered",
            (*inputs.clustered(count), _IOU_THRESHOLD),
            ours=ops.vote_boxes,
            twin=reference.vote_boxes,
            agree=close,
        )
