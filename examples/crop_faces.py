"""Cuts the faces out of photos: python crop_faces.py PHOTOS FACES. PHOTOS is a folder or a glob."""

import sys
from pathlib import Path

from s3fd import FaceDetector


def main(photos: str, folder: Path) -> None:
    detector = FaceDetector.from_pretrained()
    folder.mkdir(parents=True, exist_ok=True)
    for faces in detector.stream(photos, min_face=40, on_error="skip", keep_images=True):
        for number, crop in enumerate(faces.crops(margin=0.2)):
            crop.save(folder / f"{faces.source.index}-{faces.source.path.stem}-{number}.jpg")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
