"""Calls of all operators, on inputs of some size: for answers that two devices have to agree on."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from s3fd import ops

Call = Callable[[], tuple[Tensor, ...]]


def shifted(tensor: Tensor) -> Tensor:
    """The same, one element behind where memory is aligned to more than an element."""
    moved = torch.empty(tensor.numel() + 1, dtype=tensor.dtype, device=tensor.device)[1:]
    return moved.view(tensor.shape).copy_(tensor)


def in_channels_last(tensor: Tensor) -> Tensor:
    """Maps with their channels side by side; other tensors as they are."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


class OperatorCalls:
    """``calls``: by name, each on inputs of its own.

    Args:
        size: how many boxes, anchors, or pixels of maps there are, about.
        dtype: of everything but boxes to match.
        place: where and how an input lies in memory.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        place: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> None:
        self._size, self._dtype, self._place = size, dtype, place
        self._generator = torch.Generator().manual_seed(seed)
        self._grid = ops.AnchorGrid(strides=(8, 16), sizes=(16, [32, (24, 48)]), backgrounds=(3, 1))
        side = max(2, math.isqrt(size))
        self._levels = [(side, side), (side // 2 + 1, side // 2)]
        self.calls: dict[str, Call] = {
            **self._of_maps(), **self._of_boxes(), **self._of_matching(), **self._of_heads()
        }  # fmt: skip

    def _random(self, *shape: int) -> Tensor:
        return self._place(torch.randn(shape, generator=self._generator).to(self._dtype))

    def _steps(self, *shape: int) -> Tensor:
        """The same in steps, so that many are equal."""
        numbers = torch.randn(shape, generator=self._generator)
        return self._place(((8 * numbers).round() / 8).to(self._dtype))

    def _boxes(self, count: int, *, dtype: torch.dtype | None = None) -> Tensor:
        """Boxes of integers, so that many are alike, ten deep all over the plane."""
        extent = max(32, int(6 * math.sqrt(count)))
        corner = torch.randint(0, extent, (count, 2), generator=self._generator)
        size = torch.randint(8, 32, (count, 2), generator=self._generator)
        boxes = torch.cat([corner, corner + size], dim=1)
        return self._place(boxes.to(dtype or self._dtype))

    def _of_maps(self) -> dict[str, Call]:
        rows = max(1, self._size // 61)
        features, maps = self._random(2, 12, rows, 61), self._random(2, 4, rows, 61)
        weight = self._place(torch.rand(12, generator=self._generator) + 0.5)
        return {
            "l2_normalize": lambda: with_gradients(ops.l2_normalize, features, weight),
            "max_out_background": lambda: with_gradients(ops.max_out_background, maps),
        }

    def _of_boxes(self) -> dict[str, Call]:
        size = self._size
        boxes, anchors, deltas = self._boxes(size), self._boxes(size), self._random(size, 4)
        scores = torch.randint(0, 99, (size,), generator=self._generator) / 100
        scores = self._place(scores.to(self._dtype))
        groups = self._place(torch.randint(0, 5, (size,), generator=self._generator))
        odd = scores.clone()  # with those that can't weigh a box, and neighbours of others
        odd[3::7] *= 1 + torch.finfo(self._dtype).eps
        odd[::37], odd[5::91] = math.nan, -math.inf
        odd = self._place(odd)
        few = min(size, 150)  # a round each, for all threads
        extent = (int(math.sqrt(size)) + 20, int(math.sqrt(size)) + 30)
        return {
            "encode_boxes": lambda: with_gradients(ops.encode_boxes, boxes, anchors),
            "decode_boxes": lambda: with_gradients(
                lambda d, a: ops.decode_boxes(d, a, image_size=extent), deltas, anchors
            ),
            "nms": lambda: (ops.nms(boxes, odd, 0.4),),
            "nms_padded": lambda: ops.nms(boxes, scores, 0.4, padded=True, keep=size // 3 + 1),
            "batched_nms": lambda: (ops.batched_nms(boxes, scores, groups, 0.4),),
            "soft_suppression": lambda: ops.soft_nms(
                boxes[:few], scores[:few], score_threshold=0.01
            ),
            "vote_boxes": lambda: ops.vote_boxes(boxes, scores, 0.4),
        }

    def _of_matching(self) -> dict[str, Call]:
        few = min(max(3, self._size // 50), 500)
        lists = [self._boxes(count, dtype=torch.float32) for count in (few, 0, few // 2)]
        regions = [self._boxes(count, dtype=torch.float32) for count in (1, 2, 0)]
        grid, levels = self._grid, self._levels
        anchors = self._place(grid.anchors(levels))
        lists[0][0], lists[0][-1] = anchors[0], anchors[-1]  # whose best anchor is at an end
        matched = self._place(grid.match(levels, [b.cpu() for b in lists]))
        # Margins of one image are close together, of the next apart, and many of the last equal.
        logits = torch.randn(3, len(anchors), 2, generator=self._generator)
        logits[0] = 1e-3 * logits[0] + torch.tensor([4.6, 0])
        logits[2] = (4 * logits[2]).round() / 4
        logits, deltas = self._place(logits.to(self._dtype)), self._random(3, len(anchors), 4)
        like = lists[0]
        return {
            "anchors": lambda: (grid.anchors(levels, device=like.device),),
            "match_grid": lambda: (grid.match(levels, lists, ignore=regions),),
            "match_anchors": lambda: (ops.match_anchors(anchors, lists, ignore=regions),),
            "multibox_loss": lambda: with_gradients(
                lambda *maps: ops.multibox_loss(*maps, anchors, lists, matched), logits, deltas
            ),
        }

    def _of_heads(self) -> dict[str, Call]:
        grid, levels = self._grid, self._levels
        channels = [(4, 4), (4, 8)]
        logits = [self._steps(2, c[0], *s) for c, s in zip(channels, levels, strict=True)]
        deltas = [self._random(2, c[1], *s) for c, s in zip(channels, levels, strict=True)]
        sizes = [(8 * levels[0][0], 6 * levels[0][1])] * 2
        few = max(2, self._size // 9)

        def decode(images: int = 2, **options: Any) -> tuple[Tensor, ...]:
            maps = [[level[:images] for level in part] for part in (logits, deltas)]
            return ops.decode_detections(
                *maps, grid, score_threshold=0.1, image_sizes=sizes[:images], **options
            )

        return {
            "decode_detections": lambda: decode(candidates=few, keep=few),
            "decode_detections_of_one": lambda: decode(1, candidates=few, keep=few),
            "decode_all_detections": decode,
            "decode_detections_padded": lambda: decode(candidates=few, keep=few // 2, padded=True),
            "decode_detections_labelled": lambda: decode(candidates=few, return_indices=True),
            "decode_detections_labelled_padded": lambda: decode(
                candidates=few, keep=few // 2, return_indices=True, padded=True
            ),
        }


def with_gradients(function: Callable[..., object], *inputs: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a function, and the gradients of its inputs for some gradients of them."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    outputs = function(*leaves)
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(_tensors(outputs))
    gradients = [torch.empty_like(out).copy_(_cotangent(out)) for out in outputs]
    return (*(o.detach() for o in outputs), *torch.autograd.grad(outputs, leaves, gradients))


def _cotangent(output: Tensor) -> Tensor:
    numbers = torch.arange(output.numel(), device=output.device) % 7 - 2
    return numbers.view(output.shape)


def _tensors(values: object) -> Iterable[Tensor]:
    assert isinstance(values, tuple)
    return values


# To which a sum of many numbers is the same, whatever the order that they are added in.
PRECISION = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


def assert_same(answers: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Decisions are the same, and numbers to within the rounding of sums."""
    assert len(answers) == len(expected)
    for answer, wanted in zip(answers, expected, strict=True):
        assert answer.shape == wanted.shape
        precision = PRECISION.get(wanted.dtype, 0.0)
        largest = float(wanted.abs().max()) if wanted.numel() > 0 else 0.0
        torch.testing.assert_close(
            answer.cpu(), wanted.cpu(), rtol=precision, atol=0.1 * precision * largest
        )
