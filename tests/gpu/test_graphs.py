"""Public functions, and a whole step of training, captured in a CUDA graph and replayed."""

import copy
from collections.abc import Callable

import pytest
import torch
from operator_calls import OperatorCalls
from torch import Tensor

from s3fd.models import S3FD
from s3fd.ops import max_out_background, multibox_loss
from s3fd.training.loss import flatten_maps

# The size of their answers depends on data, for which the host has to wait.
WAITING = {
    *("nms", "batched_nms", "soft_suppression", "vote_boxes"),
    *("decode_detections", "decode_detections_of_one", "decode_all_detections"),
    "decode_detections_labelled",
}
NAMES = sorted(set(OperatorCalls(4).calls) - WAITING)


def captured(
    function: Callable[[], tuple[Tensor, ...]],
) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
    """A graph of a function, which runs once before, and what a replay of it fills."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answers = function()
    return graph, answers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [700, 9000, 40_000])
def test_public_functions_replay_the_same_answers(name: str, size: int) -> None:
    call = OperatorCalls(size, place=lambda tensor: tensor.cuda()).calls[name]
    expected = call()
    graph, answers = captured(call)
    for _ in range(3):
        for answer in answers:
            answer.fill_(7)
        graph.replay()
        assert all(map(torch.equal, answers, expected))


def test_a_training_step_replays_as_it_runs() -> None:
    torch.manual_seed(0)
    eager = S3FD("light").cuda()
    replayed = copy.deepcopy(eager)
    images = torch.randint(0, 256, (2, 3, 256, 320), device="cuda", dtype=torch.uint8)
    corner = torch.rand(12, 2, device="cuda") * 200
    boxes = list(
        torch.cat([corner, corner + 12 + torch.rand(12, 2, device="cuda") * 60], 1).chunk(2)
    )

    def step_of(model: S3FD) -> Callable[[], tuple[Tensor, ...]]:
        pixels = model.preprocess(images)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

        def step() -> tuple[Tensor, ...]:
            logits, deltas = model(pixels)
            sizes = [(level.shape[2], level.shape[3]) for level in logits]
            anchors = model.grid.anchors(sizes, device=images.device)
            matched = model.grid.match(sizes, boxes)
            classes = flatten_maps([max_out_background(level) for level in logits], 2)
            losses = multibox_loss(classes, flatten_maps(deltas, 4), anchors, boxes, matched)
            optimizer.zero_grad(set_to_none=False)
            (losses[0] + 4 * losses[1]).backward()
            optimizer.step()
            return losses

        return step

    run = step_of(eager)
    graph, losses = captured(step_of(replayed))
    run()  # as the capture has run once before
    for _ in range(5):
        graph.replay()
        expected = run()
        torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-4)
