"""Many threads, forks and spawned processes around one detector."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import torch
from commands import ASSET
from judge import RIGHT, expect, patient
from PIL import Image

from s3fd import FaceDetector

CASES, QUICK = 24, 4
SECONDS = 900

_detector: FaceDetector | None = None


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    global _detector
    torch.set_num_threads(2)
    _detector = FaceDetector.from_pretrained("light", device="cpu")
    with Image.open(ASSET) as opened:
        face = opened.convert("RGB")
    photos = [np.asarray(face.resize((side, side))) for side in (64, 96, 100, 128, 160, 224)]
    expected = [_faces(photo) for photo in photos]
    ways = (_threads, _forks, _spawns, _streams)

    def case(index: int) -> str:
        ways[index % len(ways)](photos, expected, Random(f"{seed} {index}"))
        return RIGHT

    return case


def _faces(photo: np.ndarray) -> np.ndarray:
    assert _detector is not None
    found = _detector(photo)
    return np.concatenate([found.boxes.numpy(), found.scores.numpy()[:, None]], axis=1)


def _same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        expect(ours.shape == theirs.shape and np.allclose(ours, theirs, atol=1e-3), "other faces")


def _threads(photos: list[np.ndarray], expected: list[np.ndarray], rng: Random) -> None:
    """Sixty-four at once."""
    order = [rng.randrange(len(photos)) for _ in range(128)]
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(lambda index: _faces(photos[index]), order))
    _same(found, [expected[index] for index in order])


def _streams(photos: list[np.ndarray], expected: list[np.ndarray], rng: Random) -> None:
    """Streams that are begun in several threads, and left in the middle."""
    assert _detector is not None
    before = threading.active_count()
    for _ in range(12):
        for count, _ in enumerate(_detector.stream(photos * 3)):
            if count == rng.randrange(10):
                break
    _same([_faces(photos[0])], expected[:1])
    expect(threading.active_count() <= before + 8, "threads of streams stay behind")


def _forks(photos: list[np.ndarray], expected: list[np.ndarray], rng: Random) -> None:
    """Children that were forked after the detector was used."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(_faces, photos, timeout=patient(300)))
    _same(found, expected)


def _spawns(photos: list[np.ndarray], expected: list[np.ndarray], rng: Random) -> None:
    """Children that are handed the detector."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=_take, initargs=(_detector,)
    ) as pool:
        found = list(pool.map(_faces, photos, timeout=patient(300)))
    _same(found, expected)


def _take(detector: FaceDetector) -> None:
    global _detector
    torch.set_num_threads(1)
    _detector = detector
