"""Damaged photos of every container, and bombs: pixels, or a refusal that names the file."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from damage import damaged
from judge import REFUSED, RIGHT, Fault, attempt, expect
from photo_files import bombs, whole_photos
from PIL import Image

from s3fd.data.annotations import annotated_image
from s3fd.data.photo import open_photo
from s3fd.images import ImageError, plugins, read_image, read_scaled

CASES, QUICK = 10_000, 600
SECONDS = 60
_MEMORY = 2000  # MiB that one file may take: the pixels that are opened, a few times over
_PHOTO = Path(__file__).parents[2] / "s3fd" / "assets" / "astronaut.jpg"


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    plugins.register()
    with Image.open(_PHOTO) as opened:
        photo = opened.convert("RGB")
    whole, huge = whole_photos(photo), bombs(photo)
    names = list(whole)
    ends = list(whole.values())

    def case(index: int) -> str:
        rng = Random(f"{seed} {index}")
        if index < len(names):
            name, data = names[index], whole[names[index]]
            outcome = _read(folder / name, data)
            expect(outcome == RIGHT or name.endswith(".eps"), f"refuses a whole {name}")
            return outcome
        if index < len(names) + len(huge):
            name = list(huge)[index - len(names)]
            return _read(folder / name, huge[name])
        name = names[index % len(names)]
        return _read(folder / name, damaged(whole[name], rng, rng.choice(ends)))

    return case


def _read(path: Path, data: bytes) -> str:
    """Reads a file in all ways that there are, which have to agree."""
    path.write_bytes(data)
    before = _peak()
    outcome, pixels = attempt(lambda: read_image(path), path, errors=(ImageError,))
    again, same = attempt(lambda: read_image(data), "image", errors=(ImageError,))
    expect(outcome == again, f"the file is {outcome}, its bytes are {again}")
    scaled, small = attempt(lambda: read_scaled(path, _half), path, errors=(ImageError,))
    expect(scaled == outcome, f"whole it is {outcome}, at half its size {scaled}")
    trained, part = attempt(lambda: _for_training(path), path, errors=(ImageError,))
    expect(trained == outcome, f"for detection it is {outcome}, for training {trained}")
    if _peak() - before > _MEMORY:
        raise Fault(f"a file of {path.suffix} took gigabytes")
    if outcome == REFUSED:
        return REFUSED
    expect(pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, "no picture")
    expect(pixels.size > 0 and pixels.flags.c_contiguous, "no pixels")
    expect(np.array_equal(pixels, same), "the file and its bytes differ")
    expect(small.original_size == pixels.shape[:2], "its size at half its size is another")
    expect(part[1] == pixels.shape[:2], "its size for training is another")
    return RIGHT


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return max(1, size[0] // 2), max(1, size[1] // 2)


def _for_training(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    with open_photo(annotated_image(path, [])) as photo:
        return photo.decode(0.3), (photo.height, photo.width)


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
