"""Grids that no call has seen before, under torch.compile and torch.export."""

import pytest
import torch
from torch import Tensor

from s3fd.models.s3fd import S3FD
from s3fd.ops import AnchorGrid, decode_detections


def fresh_grid() -> AnchorGrid:
    return AnchorGrid(strides=(8, 16), sizes=(16, (32, (32, 64))))


def in_one_graph(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def test_the_anchors_of_a_fresh_grid() -> None:
    grid, image = fresh_grid(), torch.empty(1, 3, 64, 96)
    found = in_one_graph(lambda x: grid.anchors(grid.feature_sizes(x.shape[-2:])))(image)
    assert torch.equal(found, grid.anchors(grid.feature_sizes((64, 96))))


def test_a_grid_made_within_the_graph() -> None:
    found = in_one_graph(lambda x: AnchorGrid((8,), (16,)).anchors([(2, len(x))]))(torch.empty(3))
    assert torch.equal(found, AnchorGrid((8,), (16,)).anchors([(2, 3)]))


def test_matching_on_a_fresh_grid() -> None:
    grid, sizes = fresh_grid(), [(8, 12), (4, 6)]
    boxes = torch.tensor([[3.0, 4, 20, 19], [10, 10, 40, 80]])
    found = in_one_graph(lambda boxes: grid.match(sizes, [boxes]))(boxes)
    assert torch.equal(found, grid.match(sizes, [boxes]))


@pytest.mark.parametrize("padded", [False, True])
def test_detections_of_a_fresh_grid(padded: bool) -> None:
    grid = fresh_grid()
    sizes = list(zip(grid.num_shapes, grid.feature_sizes((64, 96)), strict=True))
    logits = [torch.randn(1, 2 * shapes, *size) for shapes, size in sizes]
    deltas = [torch.randn(1, 4 * shapes, *size) for shapes, size in sizes]

    def detect(logits: list[Tensor], deltas: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        return decode_detections(logits, deltas, grid, keep=9, padded=padded)

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        found = in_one_graph(detect)(logits, deltas)
    for result, expected in zip(found, detect(logits, deltas), strict=True):
        assert torch.equal(result, expected)


@pytest.mark.parametrize("strict", [True, False])
def test_a_fresh_detector_network_is_exported_with_its_decoding(strict: bool) -> None:
    class Detector(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = S3FD("light").eval()

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            logits, deltas = self.network(images)
            sizes = [images.shape[-2:]]
            return decode_detections(
                logits,
                deltas,
                self.network.grid,
                score_threshold=0.0,
                image_sizes=sizes,
                keep=5,
                padded=True,
            )

    images, detector = torch.rand(1, 3, 64, 64), Detector()
    with torch.no_grad():
        found = torch.export.export(detector, (images,), strict=strict).module()(images)
        for result, expected in zip(found, detector(images), strict=True):
            torch.testing.assert_close(result, expected)
