"""A head like RetinaFace's, with five landmarks an anchor, which follow the boxes that are kept.

python retinaface_head.py
"""

import torch
from torch import Tensor

from s3fd.ops import AnchorGrid, decode_boxes, decode_detections, nms

GRID = AnchorGrid(strides=(8, 16, 32), sizes=((16, 32), (64, 128), (256, 512)))
SIZE = (128, 160)
POINTS = 5


class Head(torch.nn.Module):
    """Background and face, box and landmarks of each of two anchors a cell, on every level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits, self.deltas, self.landmarks = (
            torch.nn.ModuleList(torch.nn.Conv2d(channels, 2 * n, 1) for _ in GRID.strides)
            for n in (2, 4, 2 * POINTS)
        )

    def forward(self, features: list[Tensor]) -> list[list[Tensor]]:
        parts = (self.logits, self.deltas, self.landmarks)
        return [[layer(x) for layer, x in zip(part, features, strict=True)] for part in parts]


def by_anchor(maps: list[Tensor]) -> Tensor:
    """``[B, A, C]``: the channels of each anchor, in the order of ``GRID.anchors``."""
    rows = [level.unflatten(1, (2, -1)).permute(0, 3, 4, 1, 2).flatten(1, 3) for level in maps]
    return torch.cat(rows, dim=1)


def decode_landmarks(deltas: Tensor, anchors: Tensor) -> Tensor:
    """``[N, 5, 2]`` in pixels, of deltas ``[N, 10]``: from the centres, by sizes and a tenth."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    sides = anchors[:, 2:] - anchors[:, :2]
    return centres[:, None] + 0.1 * sides[:, None] * deltas.unflatten(1, (POINTS, 2))


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    sizes = GRID.feature_sizes(SIZE)
    logits, deltas, landmarks = Head(8)([torch.randn(1, 8, *size) for size in sizes])
    anchors = GRID.anchors(sizes)

    boxes, scores, _, indices = decode_detections(
        logits, deltas, GRID, score_threshold=0.6, iou_threshold=0.4, return_indices=True
    )
    # Landmarks of the anchors that are kept, and of no others.
    points = decode_landmarks(by_anchor(landmarks)[0, indices], anchors[indices])

    # The same step by step, for all anchors.
    all_scores = by_anchor(logits)[0].softmax(dim=1)[:, 1]
    passing = (all_scores >= 0.6).nonzero()[:, 0]
    all_boxes = decode_boxes(by_anchor(deltas)[0], anchors)
    kept = passing[nms(all_boxes[passing], all_scores[passing], 0.4)]
    assert len(kept) > 0
    assert torch.equal(indices, kept)
    torch.testing.assert_close(boxes, all_boxes[kept])
    torch.testing.assert_close(scores, all_scores[kept])
    torch.testing.assert_close(points, decode_landmarks(by_anchor(landmarks)[0], anchors)[kept])
    print(f"{len(boxes)} faces with {POINTS} landmarks each are those of the long way")


if __name__ == "__main__":
    main()
