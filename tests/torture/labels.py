"""Damaged labels, detections and settings of every form: an answer, or a named refusal."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
from damage import damaged, odd_json, odd_words
from judge import REFUSED, RIGHT, attempt, expect
from label_files import NAMES, all_forms, detections, write

from s3fd.commands.json_lines import JsonLines
from s3fd.commands.options import UsageError
from s3fd.data import PhotoSet, read_photos
from s3fd.evaluation.fddb import read_fddb_predictions
from s3fd.evaluation.pascal_voc import read_pascal_voc_predictions
from s3fd.evaluation.wider_face import read_wider_face_predictions
from s3fd.evaluation.wider_face.published import read_published_curve
from s3fd.training.config_file import read_config

CASES, QUICK = 10_000, 800
SECONDS = 30

_FORMS = {
    "wider-face-mat": "wider-face",
    "yolo-yaml": "yolo",
    "afw-pascal-fixed": "afw-pascal",
    "afw-pascal-7.3": "afw-pascal",
}
_BOMBS = {
    "cvat": b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % (*[98 + i], *[97 + i] * 8)
        for i in range(12)
    )
    + b"]><annotations>&m;</annotations>",
    "yolo-yaml": b"a: &a [x, x, x, x, x, x, x, x]\n"
    + b"".join(
        b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (98 + i, 98 + i, *[97 + i] * 8)
        for i in range(12)
    )
    + b"names: *m\n",
    "annotations": b'{"images": ' + b"[" * 100_000,
    "coco": b'{"annotations": ' + b'{"a":' * 100_000,
    "labelme": b'{"shapes": ' + b"[" * 100_000,
    "predictions": b'{"photo": ' + b"[" * 100_000 + b"\n{}\n",
    "resume": b'{"photo": ' + b"[" * 100_000 + b"\n{}\n",
    "config": b"a = " + b"[" * 100_000,
    "wider-face": b"0--Parade/a.jpg\n999999999\n" + b"1 1 9 9\n" * 100,
}


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    forms = {**all_forms(), **detections()}
    names, ends = list(forms), [labels.content for labels in forms.values()]

    def case(index: int) -> str:
        name = names[index % len(names)]
        labels, rng = forms[name], Random(f"{seed} {index}")
        kind, content = labels.kind, labels.content
        if index < len(names):
            pass
        elif index < 2 * len(names):
            content = _BOMBS.get(name, b"")
        elif not kind or rng.random() < 0.4:
            content = damaged(content, rng, rng.choice(ends))
        elif kind == "json":
            content = odd_json(content.decode(), rng).encode(errors="surrogatepass")
        elif kind == "lines":
            first, rest = content.decode().split("\n", 1)
            content = f"{odd_json(first, rng)}\n{rest}".encode(errors="surrogatepass")
        else:
            content = odd_words(content.decode(), rng, kind).encode(errors="surrogatepass")
        place = folder / "set"
        shutil.rmtree(place, ignore_errors=True)
        write(place, labels, content)
        outcome = _READERS.get(name, _photos)(place, place / labels.file, name)
        expect(index >= len(names) or outcome == RIGHT, f"refuses whole {name}")
        return outcome

    return case


def _read(
    root: Path, file: Path, function: Callable[[], Any], *more: type[Exception]
) -> tuple[str, Any]:
    """Reads a file, which a refusal has to name, or the photo or the folder that it speaks of."""
    return attempt(function, file.name, root, errors=(ValueError, FileNotFoundError, *more))


def _photos(root: Path, file: Path, name: str) -> str:
    form = _FORMS.get(name, name)
    outcome, found = _read(root, file, lambda: read_photos(root, "train", form))
    if outcome == REFUSED:
        return outcome
    assert isinstance(found, PhotoSet)
    expect(found.photos, "no photo, and no word of it")
    found.summary()
    for photo in found.photos:
        for boxes in (photo.boxes, photo.ignore):
            expect(boxes.dtype == np.float32 and boxes.shape[1:] == (4,), "boxes of another shape")
            expect(np.isfinite(boxes).all(), "boxes that are not finite")
        expect((photo.boxes[:, 2:] > photo.boxes[:, :2]).all(), "a face without area")
        expect((photo.width is None) == (photo.height is None), "half a size")
        expect(photo.width is None or min(photo.width, photo.height) > 0, "a size of none")
    return outcome


def _predictions(root: Path, file: Path, function: Callable[[], Any]) -> str:
    outcome, found = _read(root, file, function)
    if outcome == RIGHT:
        values = found.detections if hasattr(found, "detections") else found[0]
        for boxes, scores in values:
            expect(boxes.ndim == 2 and len(boxes) == len(scores), "boxes without scores")
            expect(np.isfinite(boxes).all() and np.isfinite(scores).all(), "numbers that are none")
    return outcome


def _resume(root: Path, file: Path, name: str) -> str:
    """Goes on with lines, and leaves nothing but whole ones."""
    before = file.read_bytes()

    def go_on() -> None:
        with JsonLines(str(file), resume=True) as lines:
            lines.write('{"photo": "new.jpg", "faces": []}')

    outcome, _ = _read(root, file, go_on, UsageError)
    if outcome == REFUSED:
        expect(file.read_bytes() == before, "a file that it refuses is changed")
    else:
        expect(
            file.read_bytes().endswith(b'\n{"photo": "new.jpg", "faces": []}\n')
            or file.read_bytes().count(b"\n") == 1,
            "lines run into one another",
        )
    return outcome


def _curve(root: Path, file: Path, name: str) -> str:
    outcome, curve = _read(root, file, lambda: read_published_curve(file))
    if outcome == RIGHT:
        expect(np.isfinite(curve.average_precision), "no average precision")
    return outcome


_WIDER = SimpleNamespace(
    images=("0--Parade/a", "0--Parade/b", "0--Parade/c"), events=("0--Parade",)
)
_STEMS = [Path(name).stem for name in NAMES]
_READERS = {
    "predictions": lambda root, file, name: _predictions(
        root, file, lambda: read_wider_face_predictions(file, _WIDER)
    ),
    "predictions-wider": lambda root, file, name: _predictions(
        root, file, lambda: read_wider_face_predictions(root / "found", _WIDER)
    ),
    "predictions-fddb": lambda root, file, name: _predictions(
        root, file, lambda: read_fddb_predictions(file, _STEMS)
    ),
    "predictions-voc": lambda root, file, name: _predictions(
        root, file, lambda: read_pascal_voc_predictions(file, _STEMS)
    ),
    "resume": _resume,
    "config": lambda root, file, name: _read(root, file, lambda: read_config(file))[0],
    "published": _curve,
}
