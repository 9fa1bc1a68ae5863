"""The operators behind a detection head of your own, here one level with three shapes a cell."""

import torch

from s3fd.ops import AnchorGrid, decode_detections, multibox_loss

grid = AnchorGrid(strides=(16,), sizes=((32, (32, 64), (64, 32)),))
head = torch.nn.Conv2d(8, 3 * 2 + 3 * 4, kernel_size=3, padding=1)
optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
features = torch.randn(1, 8, 12, 12)  # of a 192 x 192 image
boxes = [torch.tensor([[40.0, 60.0, 75.0, 130.0], [110.0, 30.0, 140.0, 65.0]])]

sizes = grid.feature_sizes((192, 192))
anchors = grid.anchors(sizes)
matched = grid.match(sizes, boxes)
for _ in range(300):
    logits, deltas = head(features).split([6, 12], dim=1)
    class_loss, box_loss = multibox_loss(
        logits.permute(0, 2, 3, 1).reshape(1, -1, 2),
        deltas.permute(0, 2, 3, 1).reshape(1, -1, 4),
        anchors,
        boxes,
        matched,
    )
    optimizer.zero_grad()
    (class_loss + 4 * box_loss).backward()
    optimizer.step()

found, scores, splits = decode_detections([logits], [deltas], grid, score_threshold=0.5)
for box, score in zip(found.round().tolist(), scores.tolist(), strict=True):
    print(box, round(score, 2))
