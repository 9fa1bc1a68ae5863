"""The training objective: match, max out the background, mine, and add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from s3fd.ops import AnchorGrid, max_out_background, multibox_loss
from s3fd.ops.reference.multibox_loss import mined_counts
from s3fd.training.box_fit import iou_loss, positive_boxes
from s3fd.training.config import BoxLoss, TrainingConfig


def flatten_maps(maps: Sequence[Tensor], channels: int) -> Tensor:
    """Joins the maps of all levels in the order of the anchors.

    Args:
        maps: ``[B, S_l * channels, H_l, W_l]`` of every level.
        channels: 2 for logits, 4 for deltas.

    Returns:
        ``[B, A, channels]``.
    """
    return torch.cat(
        [level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels) for level in maps], dim=1
    )


@dataclass(frozen=True)
class DetectionLoss:
    """The loss of raw head maps against ragged boxes, image by image.

    Which anchors count is decided within an image; only the means are over a batch. What they are
    taken over, `counts`, is known from the matching alone: the parts of a batch can be weighted
    before the network has seen any of them.

    Attributes:
        grid: the model's anchors.
        positive_iou: threshold of the first stage of matching (section 3.2).
        candidate_iou: threshold of its second stage.
        top_n: anchors that the second stage gives a face; None takes the mean of the first stage,
            0 leaves the second stage out.
        negative_ratio: mined backgrounds for each positive (section 3.4).
        empty_negatives: mined backgrounds of an image without positives, in which the ratio mines
            none: the hardest, as elsewhere.
        box_loss: smooth L1 of the four deltas as in the paper, or a loss of the whole box, see
            `s3fd.training.box_fit`.
    """

    grid: AnchorGrid
    positive_iou: float = 0.35
    candidate_iou: float = 0.1
    top_n: int | None = None
    negative_ratio: float = 3.0
    empty_negatives: int = 0
    box_loss: BoxLoss = "smooth_l1"

    @classmethod
    def from_config(cls, config: TrainingConfig, grid: AnchorGrid) -> DetectionLoss:
        """The loss that a run asks for, on the anchors of its model."""
        names = (field.name for field in fields(cls) if field.name != "grid")
        return cls(grid, **{name: getattr(config, name) for name in names})

    def match(
        self,
        feature_sizes: Sequence[tuple[int, int]],
        boxes: Sequence[Tensor],
        ignore: Sequence[Tensor],
    ) -> Tensor:
        """Which face each anchor shall learn: scale compensation anchor matching (section 3.2).

        Args:
            feature_sizes: height and width of every level.
            boxes: ``[G_i, 4]`` of every image, in pixels of the network's input.
            ignore: ``[I_i, 4]`` of every image.

        Returns:
            int64 ``[B, A]``, see `s3fd.ops.match_anchors`.
        """
        return self.grid.match(
            feature_sizes,
            boxes,
            positive_iou=self.positive_iou,
            candidate_iou=self.candidate_iou,
            top_n=self.top_n,
            ignore=ignore,
        )

    def counts(self, matched: Tensor) -> Tensor:
        """How many anchors the two losses are means over.

        Args:
            matched: of `match`, ``[B, A]``.

        Returns:
            int64 ``[2]``: those kept for the class loss, positives and mined backgrounds, and the
            positives.
        """
        positives = (matched >= 0).sum(dim=1)  # [B]
        kept = positives + mined_counts(matched, self.negative_ratio)
        kept += self._mined_of_empty(matched)
        return torch.stack([kept.sum(), positives.sum()])

    def __call__(
        self,
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        boxes: Sequence[Tensor],
        matched: Tensor,
    ) -> Tensor:
        """Class and box loss, each a mean over its anchors.

        Max-out background (section 3.3), then the multi-box loss with hard negatives
        (section 3.4).

        Args:
            logits: class maps, as the model returned them.
            deltas: delta maps, likewise.
            boxes: as for `match`.
            matched: what that gave.

        Returns:
            ``[2]``, differentiable; float32, or float64 for float64 maps.
        """
        feature_sizes = [(level.shape[-2], level.shape[-1]) for level in logits]
        anchors = self.grid.anchors(feature_sizes, device=logits[0].device)
        # Half precision stays as it is: the loss computes in float32 whatever it reads.
        joined = flatten_maps([max_out_background(level) for level in logits], channels=2)
        offsets = flatten_maps(deltas, channels=4)
        class_loss, box_loss = multibox_loss(
            joined, offsets, anchors, boxes, matched, negative_ratio=self.negative_ratio
        )
        if self.empty_negatives > 0:
            class_loss = self._with_empty(class_loss, joined, matched)
        if self.box_loss != "smooth_l1":
            predicted, faces = positive_boxes(offsets, anchors, boxes, matched)
            box_loss = iou_loss(predicted, faces, self.box_loss).sum() / max(1, len(faces))
        return torch.stack([class_loss, box_loss])

    def _mined_of_empty(self, matched: Tensor) -> Tensor:  # [B, A] -> int64 [B]
        """How many backgrounds are mined of each image because it has no positive."""
        backgrounds = (matched == -1).sum(dim=1).clamp(max=self.empty_negatives)
        return backgrounds.where((matched < 0).all(dim=1), 0)

    def _with_empty(
        self,
        class_loss: Tensor,  # the mean over the images with positives
        logits: Tensor,  # [B, A, 2]
        matched: Tensor,  # [B, A]
    ) -> Tensor:
        """The mean over all images, those without positives among them."""
        mined = self._mined_of_empty(matched)  # [B]
        logits = logits.to(class_loss.dtype)
        margin = logits[..., 1] - logits[..., 0]  # [B, A]
        margin = margin.where(matched == -1, -torch.inf)
        hardest = margin.topk(min(self.empty_negatives, margin.shape[1]), dim=1).values  # [B, K]
        rank = torch.arange(hardest.shape[1], device=hardest.device)  # [K]
        losses = F.softplus(hardest).where(rank < mined[:, None], 0)  # of a face that is none
        total = self.counts(matched)[0]
        others = total - mined.sum()
        return (class_loss * others + losses.sum()) / total.clamp(min=1)
