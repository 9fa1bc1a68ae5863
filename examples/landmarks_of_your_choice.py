"""Hands faces to a network that finds landmarks, and brings its points back into the photo.

`landmarks` stands for yours: it takes squares ``[N, 3, 128, 128]`` in 0 .. 1 and gives points
``[N, 5, 2]``, in 0 .. 1 of the square. Here it answers with the five points of a mean face.

    python landmarks_of_your_choice.py PHOTO
"""

import sys

import numpy as np
import torch

from s3fd import Detections, FaceDetector

SIDE, MARGIN = 128, 0.2
MEAN_FACE = [[0.34, 0.42], [0.66, 0.42], [0.50, 0.58], [0.37, 0.72], [0.63, 0.72]]


def landmarks(squares: torch.Tensor) -> torch.Tensor:
    return torch.tensor(MEAN_FACE).expand(len(squares), 5, 2)


def points_in_photo(faces: Detections) -> torch.Tensor:
    """The landmarks of every face, ``[N, 5, 2]`` in pixels of the photo."""
    crops = [crop.resize((SIDE, SIDE)) for crop in faces.crops(margin=MARGIN, square=True)]
    if not crops:
        return torch.zeros(0, 5, 2)
    squares = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255
    left, top, width, height = faces.xywh.unbind(dim=1)
    side = (1 + 2 * MARGIN) * torch.maximum(width, height)  # of each square, around its box
    corner = torch.stack([left + (width - side) / 2, top + (height - side) / 2], dim=1)
    return corner[:, None] + side[:, None, None] * landmarks(squares)


def main(photo: str) -> None:
    faces = FaceDetector.from_pretrained()(photo)
    for face, points in zip(faces, points_in_photo(faces), strict=True):
        first, last = torch.tensor(face.box[:2]), torch.tensor(face.box[2:])
        reach = (last - first).max() / 2  # an edge of the photo may cut the box, not the square
        inside = (points - (first + last) / 2).abs() <= reach
        assert inside.all(), "the points of a mean face lie in the square around its box"
        print([[round(x) for x in point] for point in points.tolist()])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
