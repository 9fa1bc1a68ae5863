"""The gallery of the site: what the bundled weights find in the one photo that may be shipped.

It is drawn whenever the site is built, by the weights as they are.
"""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from s3fd import FaceDetector
from s3fd.images import UInt8Array, read_image

PHOTO = "s3fd/assets/astronaut.jpg"
FACE = (150, 0, 310, 200)  # its box in that photo, and some hair
GREY = (112, 118, 124)


def files() -> Iterator[tuple[str, str | bytes]]:
    """Names and contents of the page and of its pictures."""
    detector = FaceDetector.from_pretrained()
    text = [
        "# Gallery",
        "",
        "Eileen Collins (NASA, in the public domain), as she is and as photos make it hard: found",
        "by the bundled weights with the default settings, when this site was built.",
    ]
    for title, picture, faces in scenes():
        found = detector(picture)
        name = f"images/gallery/{title.lower().replace(' ', '-')}.jpg"
        content = io.BytesIO()
        found.draw(picture).save(content, "JPEG", quality=90)
        yield name, content.getvalue()
        text += ["", f"## {title}", "", f"{len(found)} found, {faces} there.", ""]
        text += [f"![{title}: {len(found)} boxes]({name})"]
    yield "gallery.md", "\n".join([*text, ""])


def scenes() -> Iterator[tuple[str, UInt8Array, int]]:
    """Titles, pictures, and the number of faces in them."""
    photo = Image.fromarray(read_image(PHOTO))
    yield "One face", np.asarray(photo), 1
    yield "All sizes", all_sizes(photo), 12
    yield "A crowd", crowd(photo, rows=8, columns=14, side=44), 112
    yield "In the dark", in_the_dark(photo), 1
    yield "Tilted", np.asarray(photo.rotate(25, Image.Resampling.BICUBIC, fillcolor=GREY)), 1
    yield "A thumbnail", np.asarray(photo.resize((48, 48))), 1


def all_sizes(photo: Image.Image) -> UInt8Array:
    """Faces side by side, each a fifth smaller than the one before."""
    face = photo.crop(FACE)
    sizes = [(round(160 * 0.8**step), round(200 * 0.8**step)) for step in range(12)]
    ground = Image.new("RGB", (sum(width + 10 for width, _ in sizes), 200), GREY)
    left = 0
    for width, height in sizes:
        ground.paste(face.resize((width, height), Image.Resampling.LANCZOS), (left, 200 - height))
        left += width + 10
    return np.asarray(ground)


def crowd(photo: Image.Image, *, rows: int, columns: int, side: int) -> UInt8Array:
    """Faces in rows, every second one mirrored."""
    face = photo.crop(FACE).resize((side * 4 // 5, side), Image.Resampling.LANCZOS)
    mirrored = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    ground = Image.new("RGB", (columns * (side + 6), rows * (side + 6)), GREY)
    for row in range(rows):
        for column in range(columns):
            place = (column * (side + 6) + 6, row * (side + 6) + 3)
            ground.paste((face, mirrored)[(row + column) % 2], place)
    return np.asarray(ground)


def in_the_dark(photo: Image.Image) -> UInt8Array:
    """An eighth of the light, and the noise that comes with it."""
    noise = np.random.default_rng(0).normal(0, 6, (photo.height, photo.width, 3))
    return np.clip(np.asarray(photo) / 8 + noise, 0, 255).astype(np.uint8)
