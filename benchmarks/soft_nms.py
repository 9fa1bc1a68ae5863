"""Suppression that lowers scores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks._case import Case, close
from benchmarks._inputs import Inputs
from s3fd import ops
from s3fd.ops import reference


def cases(inputs: Inputs) -> Iterator[Case]:
    for decay in ("gaussian", "linear"):
        for count in (300,) if inputs.quick else (300, 1000, 5000):
            yield Case.of_boxes(
                "soft_nms",
                decay,
                inputs.clustered(count),
                ours=partial(ops.soft_nms, decay=decay),
                twin=partial(reference.soft_nms, decay=decay),
                agree=close,
            )
