"""Batches for the multi-box loss, and its rule written out."""

import math

import torch
from torch import Tensor

ANCHOR = [0.0, 0, 16, 16]


def replay(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: list[Tensor],
    matched: Tensor,
    negative_ratio: float = 3,
    variances: tuple[float, float] = (0.1, 0.2),
) -> tuple[float, float, set[tuple[int, int]]]:
    """Both losses and the kept anchors ``(image, index)``, with loops and Python's numbers."""
    kept: set[tuple[int, int]] = set()
    box_sum, positives = 0.0, 0
    for b, row in enumerate(matched.tolist()):
        positive = [a for a, box in enumerate(row) if box >= 0]
        background = [a for a, box in enumerate(row) if box == -1]
        margin = (logits[b, :, 1] - logits[b, :, 0]).tolist()
        background.sort(key=lambda a: (-margin[a], a))
        kept |= {(b, a) for a in positive + background[: int(negative_ratio * len(positive))]}
        positives += len(positive)
        for a in positive:
            wanted = encode(boxes[b][row[a]].tolist(), anchors[a].tolist(), variances)
            for predicted, target in zip(deltas[b, a].tolist(), wanted, strict=True):
                error = abs(predicted - target)
                box_sum += error**2 / 2 if error < 1 else error - 0.5
    class_sum = 0.0
    for b, a in kept:
        background_logit, face_logit = logits[b, a].tolist()
        margin_against = background_logit - face_logit
        if matched[b, a] < 0:
            margin_against = -margin_against
        class_sum += max(margin_against, 0) + math.log1p(math.exp(-abs(margin_against)))
    return class_sum / max(len(kept), 1), box_sum / max(positives, 1), kept


def encode(box: list[float], anchor: list[float], variances: tuple[float, float]) -> list[float]:
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    return [
        (box[0] + box[2] - anchor[0] - anchor[2]) / 2 / width / variances[0],
        (box[1] + box[3] - anchor[1] - anchor[3]) / 2 / height / variances[0],
        math.log((box[2] - box[0]) / width) / variances[1],
        math.log((box[3] - box[1]) / height) / variances[1],
    ]


def kept_anchors(gradient: Tensor) -> set[tuple[int, int]]:
    """The anchors that the class loss has a gradient for."""
    return {(b, a) for b, a in gradient.abs().sum(dim=2).nonzero().tolist()}


def batch_of(
    num_images: int, num_anchors: int, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], Tensor]:
    """Logits that tie often, boxes and anchors of integers, and matches of every kind."""
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    corner = integers(0, 9, num_anchors, 2)
    anchors = torch.cat([corner, corner + integers(1, 9, num_anchors, 2)], dim=1).to(dtype)
    boxes = []
    matched = torch.empty(num_images, num_anchors, dtype=torch.int64)
    for image in range(num_images):
        count = int(integers(0, 4, 1))
        corner = integers(0, 9, count, 2)
        boxes.append(torch.cat([corner, corner + integers(1, 9, count, 2)], dim=1).to(dtype))
        matched[image] = integers(-9, 3, num_anchors).clamp(-1, count - 1)
        matched[image, integers(0, 9, num_anchors) == 0] = -2
    logits = integers(-2, 3, num_images, num_anchors, 2).to(dtype)
    deltas = integers(-3, 4, num_images, num_anchors, 4).to(dtype) / 2
    return logits, deltas, anchors, boxes, matched


def one_image(margins: list[float], matched: list[int]) -> tuple[Tensor, ...]:
    logits = torch.tensor([[[0.0, margin] for margin in margins]], requires_grad=True)
    anchors = torch.tensor([ANCHOR] * len(margins))
    return logits, torch.zeros(1, len(margins), 4), anchors, torch.tensor([matched])


def results_of(
    function,
    logits: Tensor,
    deltas: Tensor,
    *others,
    negative_ratio: float = 3,
) -> tuple[Tensor, ...]:
    """Both losses, and the gradients of logits and deltas."""
    logits, deltas = (t.detach().requires_grad_() for t in (logits, deltas))
    losses = function(logits, deltas, *others, negative_ratio=negative_ratio)
    (losses[0].double() + 4 * losses[1].double()).backward()
    return losses[0].detach(), losses[1].detach(), logits.grad, deltas.grad
