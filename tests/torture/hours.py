"""Ten hours of one detector, at a photo a second: as many steps, in memory that does not grow."""

import ctypes
import io
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch
from commands import ASSET
from judge import REFUSED, RIGHT, attempt, expect
from PIL import Image

from s3fd import FaceDetector
from s3fd.images import ImageError

# 36 000 steps. Between two photos of a service, or of a camera at a door, a detector has nothing to
# do, so they may follow each other; and small photos leave no less behind than large ones.
CASES, QUICK = 36, 1
SECONDS = 300
_STEPS = 1000  # of a case, and before the first
_GROWTH = 24  # MiB, of all cases together: 700 bytes a step

Step = Callable[[np.ndarray], object]


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    torch.set_num_threads(1)
    detector = FaceDetector.from_pretrained("light", device="cpu")
    with Image.open(ASSET) as opened:
        face = opened.convert("RGB")
    steps = _ways(detector, folder)

    def walk(rng: Random) -> None:
        for _ in range(_STEPS):
            size = rng.randrange(33, 200), rng.randrange(33, 200)
            step = rng.choices(list(steps), weights=list(steps.values()))[0]
            step(np.asarray(face.resize(size)))

    expected = _answer(detector, face)
    walk(Random(seed))
    start = _resident()

    def case(index: int) -> str:
        walk(Random(f"{seed} {index}"))
        grown = _resident() - start
        expect(grown < _GROWTH, f"memory grows by more than {_GROWTH} MiB")
        expect(np.array_equal(_answer(detector, face), expected), "other faces than at first")
        return RIGHT

    return case


def _ways(detector: FaceDetector, folder: Path) -> dict[Step, int]:
    """What is done with a photo, and how often of a hundred times."""
    file = folder / "photo.jpg"

    def read(photo: np.ndarray) -> object:
        Image.fromarray(photo).save(file)
        return detector(file)

    def draw(photo: np.ndarray) -> object:
        faces = detector(photo)
        return faces.draw(photo), faces.crops(photo), faces.to_dict()

    def fail(photo: np.ndarray) -> None:
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, "jpeg")
        data = stream.getvalue()[: stream.tell() // 8]
        outcome, _ = attempt(lambda: detector(data), "image", errors=(ImageError,))
        expect(outcome == REFUSED, "an eighth of a photo is one")

    def leave(photo: np.ndarray) -> None:
        next(detector.stream([photo] * 4))

    return {
        detector: 60,
        read: 20,
        lambda photo: detector([photo, photo[::2], photo[:, ::2]]): 5,
        draw: 5,
        fail: 5,
        leave: 3,
        lambda photo: detector.detect_multiscale(photo, max_pixels=100_000): 2,
    }


def _answer(detector: FaceDetector, face: Image.Image) -> np.ndarray:
    faces = detector(np.asarray(face.resize((224, 224))))
    return np.concatenate([faces.boxes.numpy(), faces.scores.numpy()[:, None]], axis=1)


def _resident() -> int:
    """Memory that is held, in MiB, without what the C library keeps to be used again."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
