"""Compiled functions for evaluation and training data: numpy in, numpy out, no torch.

Called through ctypes, so that one library serves every Python. The checks here guard its memory;
what the arguments mean is checked where the functions are called. Import this in functions: where
the library can't be loaded, that is an `ImportError` that says what to do.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd._libraries import library_path

try:
    _library = ctypes.CDLL(str(library_path("_C_arrays")))
except OSError as error:
    raise ImportError(
        f"s3fd: the library of s3fd._arrays can't be loaded: {error}\n"
        "Install the package so that it is built: `pip install .` in the source folder.",
        name="s3fd._arrays",
    ) from error


class _RaggedArray(ctypes.Structure):
    """Rows of several images, as csrc/arrays/library.h has them."""

    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("splits", ctypes.c_void_p),
        ("images", ctypes.c_int64),
    )


class _Rows:
    """Rows of several images: those of image i are ``rows[splits[i]:splits[i + 1]]``.

    Raises:
        ValueError: the splits do not fit the rows, or these are no table of so many columns.
    """

    def __init__(self, rows: ArrayLike, splits: ArrayLike, dtype: Any, columns: int = 1) -> None:
        self.rows = np.ascontiguousarray(rows, dtype)
        self.splits = np.ascontiguousarray(splits, np.int64)
        if columns == 1 and self.rows.ndim != 1:
            raise ValueError(f"expected values [N], got {list(self.rows.shape)}")
        if columns > 1 and (self.rows.ndim != 2 or self.rows.shape[1] != columns):
            raise ValueError(f"expected rows [N, {columns}], got {list(self.rows.shape)}")
        if self.splits.ndim != 1 or not len(self.splits):
            raise ValueError(f"splits: expected [B + 1], got {list(self.splits.shape)}")
        if self.splits[0] != 0 or self.splits[-1] != len(self.rows):
            raise ValueError("splits: expected to start at 0 and to end at the number of rows")
        self.counts = np.diff(self.splits)
        if (self.counts < 0).any():
            raise ValueError("splits: expected to rise")

    def argument(self) -> _RaggedArray:
        """What the library takes; no longer than this object lives."""
        return _RaggedArray(self.rows.ctypes.data, self.splits.ctypes.data, len(self.counts))


def _check_images(*several: _Rows) -> None:
    if len({len(rows.counts) for rows in several}) > 1:
        raise ValueError("splits: expected the same number of images")


def _call(name: str, *arguments: Any) -> None:
    """Calls a function of the library; arrays go as pointers, whole numbers as 64 bits."""
    _check_images(*(value for value in arguments if isinstance(value, _Rows)))
    function = getattr(_library, f"s3fd_{name}")
    function.restype = ctypes.c_char_p
    failure = function(*map(_argument, arguments))
    if failure is not None:
        raise RuntimeError(f"s3fd._arrays.{name}: {failure.decode()}")


def _argument(value: Any) -> Any:
    if isinstance(value, _Rows):
        return value.argument()
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, bool):
        return ctypes.c_bool(value)
    return ctypes.c_int64(value) if isinstance(value, int) else ctypes.c_double(value)


def match_detections(
    detections: ArrayLike,
    detection_splits: ArrayLike,
    ground_truths: ArrayLike,
    ground_truth_splits: ArrayLike,
    ignore: ArrayLike,
    ignore_splits: ArrayLike,
    *,
    iou_threshold: float,
) -> NDArray[np.int64]:
    """Of each detection: its ground truth's index in the image, -1 for a false positive.

    -2 where it counts neither way. Boxes are ``(x1, y1, x2, y2)``, float32.
    """
    found = _Rows(detections, detection_splits, np.float32, 4)
    wanted = _Rows(ground_truths, ground_truth_splits, np.float32, 4)
    ignored = _Rows(ignore, ignore_splits, np.float32, 4)
    matched = np.empty(len(found.rows), np.int64)
    _call("match_detections", found, wanted, ignored, float(iou_threshold), matched)
    return matched


def best_overlaps(
    detections: ArrayLike,
    detection_splits: ArrayLike,
    faces: ArrayLike,
    face_splits: ArrayLike,
    *,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each detection: the face of its image that it overlaps most, and their IoU."""
    found = _Rows(detections, detection_splits, np.float64, 4)
    wanted = _Rows(faces, face_splits, np.float64, 4)
    best, overlap = np.empty(len(found.rows), np.int64), np.empty(len(found.rows))
    _call("best_overlaps", found, wanted, int(threads), best, overlap)
    return best, overlap


def judge_detections(
    best: ArrayLike,
    overlap: ArrayLike,
    detection_splits: ArrayLike,
    counted: ArrayLike,
    face_splits: ArrayLike,
    *,
    iou_threshold: float,
) -> NDArray[np.int8]:
    """Of each detection: 1 if it finds its best face, 0 for a false positive.

    -1 where it counts neither way.
    """
    chosen = _Rows(best, detection_splits, np.int64)
    counts = _Rows(counted, face_splits, np.uint8)
    overlaps = np.ascontiguousarray(overlap, np.float64)
    if overlaps.shape != chosen.rows.shape:
        raise ValueError("overlap: expected one for each detection")
    _check_images(chosen, counts)
    if (chosen.rows >= np.repeat(counts.counts, chosen.counts)).any():
        raise ValueError("best: expected indices of faces of the same image")
    outcome = np.empty(len(chosen.rows), np.int8)
    _call("judge_detections", chosen, overlaps, counts, float(iou_threshold), outcome)
    return outcome


def region_overlaps(
    faces: ArrayLike,
    face_splits: ArrayLike,
    detections: ArrayLike,
    detection_splits: ArrayLike,
    sizes: ArrayLike,
    *,
    threads: int,
) -> NDArray[np.float64]:
    """IoUs of ellipses with ellipses or rectangles, counted in pixels of photos.

    Image after image a table, a row for each ellipse.
    """
    wanted = _Rows(faces, face_splits, np.float64, 5)
    ellipses = np.ndim(detections) == 2 and np.shape(detections)[1] == 5
    found = _Rows(detections, detection_splits, np.float64, 5 if ellipses else 4)
    photos = np.ascontiguousarray(sizes, np.int64)
    if photos.shape != (len(wanted.counts), 2):
        raise ValueError("expected sizes [B, 2] and splits of the same number of images")
    _check_images(wanted, found)
    table = np.empty(int((wanted.counts * found.counts).sum()))
    _call("region_overlaps", wanted, found, ellipses, photos, int(threads), table)
    return table


def read_number_lines(text: bytes, *, start: int, columns: int) -> tuple[NDArray[np.float64], int]:
    """The numbers of a text, and -1 or the first line that holds anything else.

    From byte ``start`` on, ``columns`` a line; blank lines are passed over.
    """
    start = min(start, len(text))
    table = np.empty((text.count(b"\n", start) + 1, columns))
    rows, wrong = np.empty(1, np.int64), np.empty(1, np.int64)
    whole = np.frombuffer(text, np.uint8)  # a view: a zero of Python's own stands behind it
    _call("read_number_lines", whole[start:], len(text) - start, int(columns), table, rows, wrong)
    return (table[: rows[0]] if wrong[0] < 0 else np.empty(0)), int(wrong[0])


def recolour(pixels: ArrayLike, colours: ArrayLike) -> NDArray[np.uint8]:
    """Colours ``c`` of ``[..., 3]`` as ``m[:, :3] @ c + m[:, 3]``, rounded and clipped to bytes.

    ``m`` is float32 ``[3, 4]``.
    """
    image = np.ascontiguousarray(pixels, np.uint8)
    matrix = np.ascontiguousarray(colours, np.float32)
    if image.shape[-1] != 3:
        raise ValueError(f"expected pixels [..., 3], got {list(image.shape)}")
    if matrix.shape != (3, 4):
        raise ValueError(f"expected colours [3, 4], got {list(matrix.shape)}")
    recoloured = np.empty(image.shape, np.uint8)
    _call("recolour", image, image.size // 3, matrix, recoloured)
    return recoloured
