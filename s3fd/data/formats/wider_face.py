"""WIDER FACE (Yang et al., CVPR 2016) in the form that people download it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.matlab import read_mat

_NUMBERS = re.compile(r"[-+]?[.\d]+(\s+[-+]?[.\d]+)*")
_INVALID = 7  # the column of the attribute: x y w h blur expression illumination invalid ...


def wider_face_labels(root: Path, split: str) -> Path | None:
    """The file of the labels of a split, or None: the text form if both are there."""
    for folder in (root / "wider_face_split", root):
        for name in (f"wider_face_{split}_bbx_gt.txt", f"wider_face_{split}.mat"):
            if (folder / name).is_file():
                return folder / name
    return None


def read_wider_face(labels: Path) -> list[AnnotatedImage]:
    """Reads the photos of one split.

    Faces that the annotators marked as invalid, and those without area, become ignore boxes. A
    photo without any face is listed with no boxes: the file has a count of 0 for it, and then a
    line of zeros (which some copies lack).

    Args:
        labels: ``wider_face_split/wider_face_train_bbx_gt.txt``, or ``…_train.mat`` (needs scipy).
            The photos lie in ``WIDER_train/images`` beside that folder, or beside the file.

    Raises:
        FileNotFoundError: there is no such file, or no folder of photos.
        ValueError: it is malformed; the message names file and line, or the photo.
    """
    match = re.fullmatch(r"wider_face_(\w+?)(_bbx_gt\.txt|\.mat)", labels.name)
    if match is None:
        raise ValueError(f"{labels}: expected a name such as wider_face_train_bbx_gt.txt")
    folders = [parent / f"WIDER_{match[1]}" / "images" for parent in labels.absolute().parents[:2]]
    photos = next((folder for folder in folders if folder.is_dir()), None)
    if photos is None:
        raise FileNotFoundError(
            f"data: neither {folders[1]} nor {folders[0]} is a folder; the photos of {labels} "
            "belong there"
        )
    return _read_text(labels, photos) if labels.suffix == ".txt" else _read_mat(labels, photos)


def _read_text(labels: Path, photos: Path) -> list[AnnotatedImage]:
    images: dict[str, AnnotatedImage] = {}
    lines = _Lines(labels)
    for name in lines:
        if name in images:
            raise ValueError(f"{lines.where}: {name} comes twice")
        if _NUMBERS.fullmatch(name):
            raise ValueError(
                f"{lines.where}: expected the name of a photo, got {name!r}; is the number of "
                "faces above wrong?"
            )
        count = lines.take(f"the number of faces in {name}")
        if not re.fullmatch(r"\d{1,6}", count):
            raise ValueError(f"{lines.where}: expected the number of faces in {name}, got {count}")
        if count == "0":
            lines.skip_zeros()
        rows = [_row(lines, f"face {i + 1} of {count} in {name}") for i in range(int(count))]
        images[name] = _image(photos / name.replace("\\", "/"), np.array(rows).reshape(-1, 5))
    return list(images.values())


def _row(lines: _Lines, what: str) -> list[float]:
    """The box of a line, ``x y w h``, and whether it is invalid."""
    line = lines.take(what)
    try:
        values = [float(value) for value in line.split()]
    except ValueError:
        values = []
    if len(values) < 4 or not np.isfinite(values).all():
        raise ValueError(f"{lines.where}: expected {what}, x y w h and attributes, got {line}")
    return [*values[:4], values[_INVALID] if len(values) > _INVALID else 0]


def _image(path: Path, rows: np.ndarray) -> AnnotatedImage:
    x, y, width, height, invalid = rows.T
    boxes = np.stack([x, y, x + width, y + height], axis=1)
    return annotated_image(path, boxes, ignored=(invalid != 0).tolist())


class _Lines(Iterator[str]):
    """The lines of a text file that are not empty, without the white space around them."""

    def __init__(self, file: Path) -> None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file}: not a text file ({error})") from error
        self._file = file
        self._lines = [
            (number, line.strip())
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
        self._next = 0

    @property
    def where(self) -> str:
        """The file, and the number of the line that was taken last."""
        number = self._lines[self._next - 1][0] if self._next else 1
        return f"{self._file}:{number}"

    def __next__(self) -> str:
        if self._next == len(self._lines):
            raise StopIteration
        self._next += 1
        return self._lines[self._next - 1][1]

    def take(self, what: str) -> str:
        line = next(self, None)
        if line is None:
            raise ValueError(f"{self.where}: expected {what}, but the file ends here")
        return line

    def skip_zeros(self) -> None:
        """Passes over the line of zeros that stands for no face."""
        if self._next < len(self._lines) and re.fullmatch(
            r"0(\s+0){3,}", self._lines[self._next][1]
        ):
            self._next += 1


def _read_mat(labels: Path, photos: Path) -> list[AnnotatedImage]:
    variables = read_mat(labels)
    needed = ["event_list", "file_list", "face_bbx_list"]
    if missing := [name for name in needed if name not in variables]:
        raise ValueError(f"{labels}: it has no variable {missing[0]}; is it one of the labels?")
    events, files, boxes = (variables[name].ravel() for name in needed)
    invalid = variables.get("invalid_label_list")
    images = []
    for event, names, event_boxes, number in zip(events, files, boxes, range(len(events)),
                                                 strict=True):  # fmt: skip
        flags = None if invalid is None else invalid.ravel()[number].ravel()
        for index, (name, rows) in enumerate(zip(names.ravel(), event_boxes.ravel(), strict=True)):
            rows = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
            flag = np.zeros(len(rows)) if flags is None else np.asarray(flags[index]).ravel()
            if flag.shape != rows.shape[:1]:
                raise ValueError(f"{labels}: {event}/{name} has {len(rows)} boxes, but "
                                 f"{len(flag)} invalid labels")  # fmt: skip
            if not rows.any():  # a photo without a face has one box of zeros
                rows, flag = rows[:0], flag[:0]
            rows = np.concatenate([rows, flag[:, None]], axis=1)
            images.append(_image(photos / event / f"{name}.jpg", rows))
    return images
