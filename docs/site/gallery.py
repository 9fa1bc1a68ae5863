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
        "by the bundled weights with the default settings, when this site was built. The last",
        "three show where it ends: turned, out of focus, hidden.",
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
    yield "Turned by 30 degrees and more", side_by_side(turned(photo), columns=4), 12
    yield "Out of focus", side_by_side(out_of_focus(photo), columns=4), 8
    yield "Half hidden", side_by_side(half_hidden(photo), columns=4), 8


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


def turned(photo: Image.Image) -> Iterator[Image.Image]:
    """The face in steps of 30 degrees against the clock, all around."""
    x, y = (FACE[0] + FACE[2]) // 2, 120
    for degrees in range(0, 360, 30):
        picture = photo.rotate(degrees, Image.Resampling.BICUBIC, center=(x, y), fillcolor=GREY)
        yield picture.crop((x - 110, y - 110, x + 110, y + 110))


def out_of_focus(photo: Image.Image) -> Iterator[Image.Image]:
    """The face with the detail of 64 pixels, and less and less."""
    face = photo.crop(FACE)
    for height in (64, 40, 28, 20, 16, 12, 10, 8):
        small = face.resize((round(0.8 * height), height), Image.Resampling.BOX)
        yield small.resize(face.size, Image.Resampling.BICUBIC)


def half_hidden(photo: Image.Image) -> Iterator[Image.Image]:
    """The face behind something: a third and a half of it, from each side."""
    left, top, right, bottom = 30, 55, 125, 185  # of the face in the cut
    for share in (1 / 3, 1 / 2):
        x, y = round(share * (right - left)), round(share * (bottom - top))
        for cover in (
            (0, 0, left + x, 200),
            (right - x, 0, 160, 200),
            (0, 0, 160, top + y),
            (0, bottom - y, 160, 200),
        ):
            face = photo.crop(FACE)
            face.paste((70, 60, 50), cover)
            yield face


def side_by_side(pictures: Iterator[Image.Image], *, columns: int) -> UInt8Array:
    """Pictures of one size in rows."""
    tiles = list(pictures)
    width, height = tiles[0].width + 20, tiles[0].height + 20
    ground = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), GREY)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        ground.paste(tile, (column * width + 10, row * height + 10))
    return np.asarray(ground)


def in_the_dark(photo: Image.Image) -> UInt8Array:
    """An eighth of the light, and the noise that comes with it."""
    noise = np.random.default_rng(0).normal(0, 6, (photo.height, photo.width, 3))
    return np.clip(np.asarray(photo) / 8 + noise, 0, 255).astype(np.uint8)
