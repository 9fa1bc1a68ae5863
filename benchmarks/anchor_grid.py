"""Anchors of square images."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks._case import Case
from benchmarks._inputs import Inputs
from s3fd.ops import AnchorGrid, reference


def cases(inputs: Inputs) -> Iterator[Case]:
    for size in (320, 640) if inputs.quick else (320, 640, 1024, 2048):
        feature_sizes, anchors = inputs.anchors(size)
        yield Case(
            operator="anchor_grid",
            series="anchors",
            name=f"{size} px",
            size=len(anchors),
            unit="anchors",
            arguments=(inputs.grid, feature_sizes, inputs.device),
            ours=AnchorGrid.anchors,
            twin=reference.anchors,
            bytes_moved=anchors.nbytes,
        )
