"""Public functions, and a training step made of them, are captured in CUDA graphs."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from s3fd.models import S3FD
from s3fd.ops import AnchorGrid, match_anchors, multibox_loss
from s3fd.training.loss import DetectionLoss

GRID = AnchorGrid.s3fd()
SIZES = GRID.feature_sizes((128, 160))


def boxes_of(seed: int, images: int = 3) -> list[Tensor]:
    """Seven boxes of each image, the last two of them padding: degenerate boxes match nothing."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, 7, 2, generator=generator) * 100
    side = 6 + 60 * torch.rand(images, 7, 1, generator=generator).square()
    boxes = torch.cat([corner, corner + side], dim=2)
    boxes[:, 5:] = 0
    return list(boxes)


def captured(function: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """A graph of the function, which has run before on a stream of its own, as torch advises."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph


MATCHES: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "grid.match": lambda boxes: GRID.match(SIZES, boxes, top_n=6),
    "match_anchors": lambda boxes: match_anchors(
        GRID.anchors(SIZES, device=boxes[0].device), boxes, ignore=boxes
    ),
}


@pytest.mark.skipif("kernel_bridge" in sys.modules, reason="the bridge itself copies")
def test_no_number_of_the_host_is_copied_to_the_device() -> None:
    """A graph would copy again at each replay, from memory that is long gone."""
    anchors, boxes = GRID.anchors(SIZES), boxes_of(0)
    logits, deltas = (torch.zeros(3, len(anchors), n).requires_grad_() for n in (2, 4))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        matched = match_anchors(anchors, boxes, ignore=boxes)
        matched = GRID.match(SIZES, boxes)
        class_loss, box_loss = multibox_loss(logits, deltas, anchors, boxes, matched)
        (class_loss + box_loss).backward()
    names = {event.name for event in profile.events()}
    assert {"s3fd::match_anchors", "s3fd::match_grid", "s3fd::multibox_loss_backward"} <= names
    copies = {"aten::copy_", "aten::lift_fresh", "aten::pin_memory", "aten::_to_copy"}
    assert names.isdisjoint(copies)


@pytest.mark.parametrize("images", [3, 500])
@pytest.mark.parametrize("name", sorted(MATCHES))
@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_matching_is_replayed_on_other_boxes(name: str, images: int) -> None:
    match, results = MATCHES[name], {}
    boxes = [of_image.cuda() for of_image in boxes_of(0, images)]

    def step() -> None:
        results["matched"] = match(boxes)

    graph = captured(step)
    for seed in (0, 1):
        others = boxes_of(seed, images)
        for of_image, other in zip(boxes, others, strict=True):
            of_image.copy_(other)
        graph.replay()
        assert torch.equal(results["matched"].cpu(), match(others))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_loss_and_its_gradient_are_replayed_on_other_boxes() -> None:
    anchors = GRID.anchors(SIZES)
    generator = torch.Generator().manual_seed(0)
    logits, deltas = (torch.randn(3, len(anchors), n, generator=generator) for n in (2, 4))
    leaves = [logits.cuda().requires_grad_(), deltas.cuda().requires_grad_()]
    boxes, on_cuda = [of_image.cuda() for of_image in boxes_of(0)], anchors.cuda()
    results: dict[str, tuple[Tensor, ...]] = {}

    def step() -> None:
        losses = multibox_loss(*leaves, on_cuda, boxes, GRID.match(SIZES, boxes))
        results["all"] = *losses, *torch.autograd.grad(sum(losses), leaves)

    graph = captured(step)
    for seed in (0, 1):
        others = boxes_of(seed)
        for of_image, other in zip(boxes, others, strict=True):
            of_image.copy_(other)
        graph.replay()
        on_cpu = [logits.clone().requires_grad_(), deltas.clone().requires_grad_()]
        losses = multibox_loss(*on_cpu, anchors, others, GRID.match(SIZES, others))
        expected = *losses, *torch.autograd.grad(sum(losses), on_cpu)
        for found, wanted in zip(results["all"], expected, strict=True):
            torch.testing.assert_close(found.cpu(), wanted.detach())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_whole_training_step_is_captured() -> None:
    torch.manual_seed(0)
    model = S3FD("light").cuda().train()
    photos = torch.randint(256, (3, 3, 128, 160), dtype=torch.uint8, device="cuda")
    images = model.preprocess(photos)
    boxes = [of_image.cuda() for of_image in boxes_of(0)]
    nothing = [of_image[:0] for of_image in boxes]
    loss = DetectionLoss(GRID, top_n=6)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    results: dict[str, Tensor] = {}

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            logits, deltas = model(images)
        sizes = [(level.shape[-2], level.shape[-1]) for level in logits]
        losses = loss(logits, deltas, boxes, loss.match(sizes, boxes, nothing))
        optimizer.zero_grad(set_to_none=False)
        losses.sum().backward()
        optimizer.step()
        results["losses"] = losses.detach()

    graph = captured(step)
    first = None
    for _ in range(20):
        graph.replay()
        first = results["losses"].clone() if first is None else first
    assert results["losses"].isfinite().all()
    assert results["losses"].sum() < first.sum()
