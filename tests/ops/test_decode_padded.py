"""Detections of raw head maps in tensors whose sizes do not depend on what is found."""

from typing import Any

import pytest
import torch
from head_maps import GRIDS, S3FD_GRID, make_maps
from hypothesis import given
from hypothesis import strategies as st

from s3fd.ops import decode_detections, reference


@given(
    st.sampled_from(sorted(GRIDS)),
    st.tuples(st.integers(0, 48), st.integers(0, 48)),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([1, 5, 750]),
    st.integers(0, 2**32 - 1),
)
def test_padded_detections_are_the_same_ones_and_then_zeros(
    grid: str,
    image_size: tuple[int, int],
    batch: int,
    score_threshold: float,
    keep: int,
    seed: int,
) -> None:
    maps = make_maps(GRIDS[grid], image_size, batch, seed=seed)
    arguments: dict[str, Any] = {"score_threshold": score_threshold, "keep": keep}
    boxes, scores, splits = decode_detections(*maps, GRIDS[grid], **arguments)
    for function in (decode_detections, reference.decode_detections):
        result = function(*maps, GRIDS[grid], **arguments, padded=True)
        padded_boxes, padded_scores, counts = result
        assert padded_boxes.shape == (batch, keep, 4)
        assert padded_scores.shape == (batch, keep)
        assert counts.dtype == torch.int64
        assert torch.equal(counts, splits.diff())
        found = torch.arange(keep) < counts[:, None]
        torch.testing.assert_close(padded_boxes[found], boxes)
        torch.testing.assert_close(padded_scores[found], scores)
        assert (padded_boxes[~found] == 0).all()
        assert (padded_scores[~found] == 0).all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_padded_detections_are_captured_in_a_cuda_graph() -> None:
    maps = make_maps(S3FD_GRID, (96, 128)), make_maps(S3FD_GRID, (96, 128), seed=1)
    logits, deltas = ([level.cuda() for level in levels] for levels in maps[0])
    decode_detections(logits, deltas, S3FD_GRID, padded=True)  # loads what a graph can't
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = decode_detections(logits, deltas, S3FD_GRID, padded=True)
    for level, other in zip([*logits, *deltas], [*maps[1][0], *maps[1][1]], strict=True):
        level.copy_(other)
    graph.replay()
    expected = decode_detections(*maps[1], S3FD_GRID, padded=True)
    assert torch.equal(result[2].cpu(), expected[2])
    assert torch.equal(result[0].cpu(), expected[0])
