"""Cuts the faces out of all photos of a folder: python crop_faces.py PHOTOS FACES."""

import sys
from pathlib import Path

from s3fd import FaceDetector


def main(photos: Path, faces: Path) -> None:
    detector = FaceDetector.from_pretrained()
    paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    faces.mkdir(parents=True, exist_ok=True)
    for path, detections in zip(paths, detector(paths, min_face=40), strict=True):
        for number, crop in enumerate(detections.crops(path, margin=0.2)):
            crop.save(faces / f"{path.stem}-{number}.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
