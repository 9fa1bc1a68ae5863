"""Networks that say exactly where the pixels of a kind are: known answers from any image."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from s3fd.ops import AnchorGrid, encode_boxes


class FindsMarks(nn.Module, ABC):
    """Each mark that `marks` sees in an image becomes the one face of the anchor nearest to it.

    Attributes:
        batches: the shapes of the inputs so far.
    """

    def __init__(self):
        super().__init__()
        self.grid = AnchorGrid.s3fd(backgrounds=1)
        self.weight = nn.Parameter(torch.zeros(1))
        self.batches = []

    @abstractmethod
    def marks(self, image):
        """Pairs of a mask ``[H, W]`` and the margin of the face's logit."""

    def fuse(self):
        return self

    def preprocess(self, images):
        return images.float()

    def forward(self, x):
        self.batches.append(tuple(x.shape))
        sizes = self.grid.feature_sizes(x.shape[-2:])
        anchors = self.grid.anchors(sizes)
        margins = torch.full((len(x), len(anchors)), -20.0)
        deltas = torch.zeros(len(x), len(anchors), 4)
        for image, margin, delta in zip(x, margins, deltas, strict=True):
            for mask, value in self.marks(image):
                rows, columns = torch.where(mask)
                if len(rows):
                    corners = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                    box = torch.tensor([[float(v) for v in corners]])
                    cell = self.grid.match(sizes, [box])[0].argmax()
                    margin[cell] = value
                    delta[cell] = encode_boxes(box, anchors[cell][None])[0]
        logits, maps, start = [], [], 0
        for height, width in sizes:
            rows = slice(start, start + height * width)
            face = margins[:, rows].reshape(-1, 1, height, width)
            logits.append(torch.cat([torch.zeros_like(face), face], dim=1))
            maps.append(deltas[:, rows].transpose(1, 2).reshape(-1, 4, height, width))
            start += height * width
        return logits, maps
