"""The training loss of SSD and S3FD with hard negative mining, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from s3fd.ops._checks import VARIANCES
from s3fd.ops.reference.box_coding import encode_boxes


class Targets(NamedTuple):
    """What both losses and their gradients compare the maps with."""

    anchors: Tensor  # [A, 4]
    boxes: Sequence[Tensor]  # B tensors [G_i, 4]
    matched: Tensor  # int64 [B, A]
    kept: Tensor  # uint8 [B, A], of mine()
    variances: tuple[float, float]


def multibox_loss(
    logits: Tensor,  # [B, A, 2]: background, face; with labels [B, A, 1 + C]
    deltas: Tensor,  # [B, A, 4]
    anchors: Tensor,  # [A, 4]
    boxes: Sequence[Tensor],  # B tensors [G_i, 4]
    matched: Tensor,  # int64 [B, A]: box index, -1 background, -2 ignored
    *,
    negative_ratio: float = 3,
    variances: tuple[float, float] = VARIANCES,
    labels: Sequence[Tensor] | None = None,  # B tensors, int64 [G_i]
    normalize_by: Literal["kept", "positives"] = "kept",
) -> tuple[Tensor, Tensor]:  # scalars
    """Twin of :func:`s3fd.ops.multibox_loss`: mining by the k-th value, not by sorting."""
    batch, num_anchors = matched.shape
    if labels is not None:
        logits = own_class_against_others(logits, classes_of_anchors(matched, labels))
    assert logits.shape == (batch, num_anchors, 2)
    assert deltas.shape == (batch, num_anchors, 4)
    assert anchors.shape == (num_anchors, 4)
    assert len(boxes) == batch

    kept = mine(logits, matched, negative_ratio)
    class_loss, box_loss = kept_losses(
        logits, deltas, Targets(anchors, boxes, matched, kept, variances)
    )
    if normalize_by == "positives":
        class_loss = class_loss * kept_per_positive((kept > 0).sum(), (kept == 2).sum(), class_loss)
    return class_loss, box_loss


def kept_per_positive(kept: Tensor, positives: Tensor, like: Tensor) -> Tensor:  # scalars
    """What makes a mean over all anchors that are kept one over the positives."""
    return kept.to(like.dtype) / positives.clamp(min=1).to(like.dtype)


@torch.no_grad()
def classes_of_anchors(
    matched: Tensor,  # int64 [B, A]
    labels: Sequence[Tensor],  # B tensors, int64 [G_i]
) -> Tensor:  # int64 [B, A]: 0 without a box, and one more than the label of the box
    """What an anchor shall be taken for."""
    counts = [0, *map(len, labels)]
    if sum(counts) == 0:
        return torch.zeros_like(matched)
    first = torch.tensor(counts[:-1], device=matched.device).cumsum(0)  # [B]
    box = (first[:, None] + matched).clamp(0, sum(counts) - 1)  # [B, A]
    return (torch.cat([*labels])[box] + 1).where(matched >= 0, 0)


def own_class_against_others(
    logits: Tensor,  # [B, A, 1 + C]
    classes: Tensor,  # int64 [B, A], 0 for background
) -> Tensor:  # [B, A, 2]
    """Two logits with the same cross-entropy: a softmax of many is one of its class and the rest.

    The rest is the logarithm of its summed exponentials. The class stands second, but background
    first, so that two logits stay what they are.
    """
    logits = _at_least_float32(logits)
    own = logits.gather(2, classes[..., None])  # [B, A, 1]
    others = logits.scatter(2, classes[..., None], -torch.inf).logsumexp(2, keepdim=True)
    is_background = classes[..., None] == 0  # [B, A, 1]
    return torch.cat([own.where(is_background, others), others.where(is_background, own)], dim=2)


@torch.no_grad()
def mine(
    logits: Tensor,  # [B, A, 2]
    matched: Tensor,  # [B, A]
    negative_ratio: float,
) -> Tensor:  # uint8 [B, A]: 2 positive, 1 mined background, 0 neither
    """Which anchors the class loss keeps."""
    positive = (matched >= 0).byte()
    return 2 * positive + _hard_negatives(_at_least_float32(logits), matched, negative_ratio)


def kept_losses(
    logits: Tensor,  # [B, A, 2]
    deltas: Tensor,  # [B, A, 4]
    targets: Targets,
) -> tuple[Tensor, Tensor]:  # scalars
    """Both losses of the anchors that were kept."""
    logits, kept = _at_least_float32(logits), targets.kept
    target = (kept[kept > 0] == 2).long()  # [K]: 1 face, 0 background
    class_loss = F.cross_entropy(logits[kept > 0], target, reduction="sum") / max(len(target), 1)
    predicted, wanted = _deltas_of_positives(deltas, targets)
    box_loss = F.smooth_l1_loss(predicted, wanted, reduction="sum") / max(len(wanted), 1)
    return class_loss, box_loss


def multibox_loss_backward(
    class_gradient: Tensor,  # scalar
    box_gradient: Tensor,  # scalar
    logits: Tensor,  # [B, A, 2]
    deltas: Tensor,  # [B, A, 4]
    targets: Targets,
) -> tuple[Tensor, Tensor]:  # [B, A, 2], [B, A, 4]
    """Gradients of both losses with respect to logits and deltas."""
    kept = targets.kept
    of_logits = torch.zeros_like(logits, memory_format=torch.contiguous_format)
    target = F.one_hot((kept[kept > 0] == 2).long(), 2)  # [K, 2]
    error = _at_least_float32(logits[kept > 0]).softmax(dim=1) - target  # [K, 2]
    of_logits[kept > 0] = (error * (class_gradient / max(len(error), 1))).to(logits.dtype)

    of_deltas = torch.zeros_like(deltas, memory_format=torch.contiguous_format)
    predicted, wanted = _deltas_of_positives(deltas, targets)
    slope = (predicted - wanted).clamp(-1, 1)  # [P, 4]
    of_deltas[kept == 2] = (slope * (box_gradient / max(len(slope), 1))).to(deltas.dtype)
    return of_logits, of_deltas


def _deltas_of_positives(
    deltas: Tensor,
    targets: Targets,
) -> tuple[Tensor, Tensor]:  # [P, 4], [P, 4]
    """What was predicted for the positives, and what it should have been."""
    deltas = _at_least_float32(deltas)
    anchors, boxes, matched, kept, variances = targets
    image, anchor = (kept == 2).nonzero(as_tuple=True)  # [P], [P]
    first = torch.tensor([0, *(len(b) for b in boxes)], device=matched.device).cumsum(0)  # [B + 1]
    all_boxes = torch.cat([anchors.new_zeros(0, 4), *boxes]).to(deltas.dtype)  # [T, 4]
    face = all_boxes[first[image] + matched[image, anchor]]  # [P, 4]
    wanted = encode_boxes(face, anchors[anchor].to(deltas.dtype), variances)  # [P, 4]
    return deltas[image, anchor], wanted


def mined_counts(matched: Tensor, negative_ratio: float) -> Tensor:  # [B, A] -> int64 [B]
    """How many backgrounds of each image are kept: for each positive the ratio, as far as any are.

    No ratio wants more than all anchors, so that infinity times nothing stays nothing.
    """
    positives = (matched >= 0).sum(dim=1).cpu()  # [B]; not every device has float64
    wanted = positives.double() * min(negative_ratio, matched.shape[1])  # [B]
    return wanted.long().to(matched.device).minimum((matched == -1).sum(dim=1))


@torch.no_grad()
def _hard_negatives(
    logits: Tensor,  # [B, A, 2]
    matched: Tensor,  # [B, A]
    negative_ratio: float,
) -> Tensor:  # bool [B, A]
    """Per image the ``negative_ratio * positives`` backgrounds of largest loss, lower index first.

    A background's cross-entropy ``log(1 + exp(face - background))`` grows with its margin, so the
    margins are compared: they order as the losses do, and do not depend on how exp rounds.
    """
    background = matched == -1  # [B, A]
    wanted = mined_counts(matched, negative_ratio)  # [B]
    most = int(wanted.amax()) if wanted.numel() > 0 else 0
    if most == 0:
        return torch.zeros_like(background)

    margin = logits[..., 1] - logits[..., 0]  # [B, A]
    margin = margin.where(~margin.isnan(), torch.inf).where(background, -torch.inf)  # [B, A]
    largest = margin.topk(most, dim=1).values  # [B, most], falling
    last = largest.gather(1, (wanted - 1).clamp(min=0)[:, None])  # [B, 1]: the last one wanted
    above = margin > last  # [B, A]
    tied = (margin == last) & background  # [B, A]
    vacant = wanted - above.sum(dim=1)  # [B]: how many of the tied ones are taken
    return (above | (tied & (tied.cumsum(dim=1) <= vacant[:, None]))) & (wanted > 0)[:, None]


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
