"""Faces in millions of photos with Ray Data: `DetectFaces` is what ``map_batches`` takes.

Needs Ray (``pip install 's3fd[ray]'``); importing this module does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s3fd.defaults import Precision
from s3fd.detections import Detections
from s3fd.detector import FaceDetector
from s3fd.devices import Device
from s3fd.images import ImageLike, Source
from s3fd.images.errors import reason
from s3fd.images.types import AnyArray
from s3fd.messages import shown
from s3fd.search import chosen_search

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Unpack

    from s3fd.search import StreamSettings

__all__ = ["DetectFaces"]

_PHOTO = ("image", "bytes", "path")  # the first of these columns with a value is the photo
_RESULTS = ("boxes", "scores", "width", "height", "error")


class DetectFaces:
    """Finds the faces of each row, for ``ray.data.Dataset.map_batches``.

    An actor loads the model once. A batch of Ray goes through the network in batches of one padded
    size. A photo that can't be read is a row that says why: no row is lost, and none comes twice.

    Args:
        model: as for `FaceDetector.from_pretrained`; a file has to be there on every machine.
        device: as there. An actor with ``num_gpus=1`` sees its GPU alone.
        precision: as there.
        multi_scale: whether to search as `FaceDetector.detect_multiscale` does.
        settings: those of calling the detector, or of `FaceDetector.detect_multiscale`.

    Raises:
        ImportError: pyarrow, which Ray Data brings, is not there.
        FileNotFoundError, ValueError: as `FaceDetector.from_pretrained`; or a setting is wrong.

    Example:
        >>> import numpy as np
        >>> find = DetectFaces(device="cpu", score_threshold=0.8)
        >>> grey = np.full((2, 48, 64, 3), 128, dtype=np.uint8)
        >>> find({"image": grey, "id": np.array([7, 8])}).num_rows
        2
    """

    def __init__(
        self,
        model: str = "light",
        *,
        device: Device = None,
        precision: Precision = "auto",
        multi_scale: bool = False,
        **settings: Unpack[StreamSettings],
    ) -> None:
        _arrow()
        chosen_search(settings, multi_scale=multi_scale)  # finds mistakes before the model is read
        self._detector = FaceDetector.from_pretrained(model, device, precision=precision)
        self._multi_scale = multi_scale
        self._settings = settings

    def __call__(self, batch: Mapping[str, Any]) -> pa.Table:
        """Finds the faces of the rows of a batch.

        Args:
            batch: columns, as ``map_batches`` gives them, or of pyarrow, which keep their types.
                The photo of a row is in ``image`` (uint8 ``[H, W, 3]``, RGB), in ``bytes`` (of a
                file), or in ``path``: the first of these that has a value.

        Returns:
            A row for each, in their order: the columns that were given but the pixels (``image``
            and ``bytes``), and

            - ``boxes``: lists of ``[x1, y1, x2, y2]`` in pixels, by falling score;
            - ``scores``: as many, in 0 .. 1;
            - ``width`` and ``height`` of the photo, null where it can't be read;
            - ``error``: why it can't be read, or null.

        Raises:
            TypeError: the batch is no mapping of columns.
            ValueError: it has no photos, or a column that is called like one of the results.
        """
        rows = _check(batch)
        photos = [column for column in _PHOTO if column in batch]
        readable: list[int] = []  # rows whose photo is at hand
        found: dict[int, Detections] = {}
        errors: dict[int, str] = {}

        def images() -> Iterator[ImageLike]:
            for row in range(rows):
                try:
                    image = _image(batch, photos, row)
                except Exception as error:
                    errors[row] = reason(error)
                else:
                    readable.append(row)
                    yield image

        def fail(source: Source, error: Exception) -> None:
            errors[readable[source.index]] = reason(error).removeprefix(f"source[{source.index}]: ")

        for faces in self._detector.stream(
            images(), on_error=fail, multi_scale=self._multi_scale, **self._settings
        ):
            assert faces.source is not None
            found[readable[faces.source.index]] = faces
        return _table(batch, [found.get(row) for row in range(rows)], errors)


def _check(batch: Mapping[str, Any]) -> int:
    """Looks at the columns, and gives the number of rows."""
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"batch: expected columns by name, got {type(batch).__name__}; "
            'use map_batches(…, batch_format="numpy")'
        )
    check_columns(batch, "batch")
    return len(next(iter(batch.values())))


def check_columns(columns: Collection[str], where: str) -> None:
    """Looks for photos among the columns, and for what the results would replace."""
    if not any(column in columns for column in _PHOTO):
        raise ValueError(
            f"{where}: expected a column {', '.join(map(repr, _PHOTO))}, got {sorted(columns)}; "
            "rename yours (Dataset.rename_columns)"
        )
    if taken := [column for column in _RESULTS if column in columns]:
        raise ValueError(
            f"{where}: {', '.join(map(repr, taken))} would be replaced by the results; rename "
            "or drop it (Dataset.rename_columns, Dataset.drop_columns)"
        )


def _image(batch: Mapping[str, Any], columns: list[str], row: int) -> ImageLike:
    """The photo of a row."""
    for column in columns:
        value = _value(batch[column], row)
        if value is None:
            continue
        if column == "path":
            if not Path(value).exists():
                raise FileNotFoundError("there is no such file")
            return Path(value).read_bytes()
        return np.asarray(value) if column == "image" else bytes(memoryview(value))
    raise ValueError(f"no photo: {', '.join(columns)} without a value")


def _value(column: Any, row: int) -> Any:
    """A value of a column, of any kind; lists of pyarrow as an array of their own number type."""
    value, pa = column[row], _arrow()
    if not isinstance(value, pa.Scalar):
        return value
    if isinstance(value, pa.ListScalar) and value.is_valid:
        return _array(value.values)
    return value.as_py()


def _array(values: Any) -> AnyArray:
    """Lists of lists of numbers as an array."""
    import pyarrow.compute as compute

    shape = [len(values)]
    while hasattr(values.type, "value_type"):
        lengths = compute.list_value_length(values).unique().to_pylist()
        if len(lengths) != 1 or None in lengths:
            raise ValueError(f"expected rows of one length, got {shown(lengths)}")
        shape += lengths
        values = values.flatten()
    array: AnyArray = values.to_numpy(zero_copy_only=False).reshape(shape)
    return array


def _table(
    batch: Mapping[str, Any], found: list[Detections | None], errors: Mapping[int, str]
) -> pa.Table:
    pa = _arrow()
    columns = {
        name: values if isinstance(values, pa.Array) else pa.array(_plain(values))
        for name, values in batch.items()
        if name not in ("image", "bytes")
    }
    boxes = [[] if faces is None else faces.boxes.tolist() for faces in found]
    scores = [[] if faces is None else faces.scores.tolist() for faces in found]
    sizes = [(None, None) if faces is None else faces.image_size for faces in found]
    columns["boxes"] = pa.array(boxes, pa.list_(pa.list_(pa.float32())))
    columns["scores"] = pa.array(scores, pa.list_(pa.float32()))
    columns["width"] = pa.array([width for _, width in sizes], pa.int32())
    columns["height"] = pa.array([height for height, _ in sizes], pa.int32())
    columns["error"] = pa.array([errors.get(row) for row in range(len(found))], pa.string())
    return pa.table(columns)


def _plain(values: Any) -> Any:
    """A column as pyarrow takes it: tensors become lists of lists, and names of files text."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind not in "OU":
        return values
    return [_plain_value(value) for value in values]


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):  # the bytes of a name that are no text
        return value.encode(errors="backslashreplace").decode()
    return value.tolist() if isinstance(value, np.ndarray) else value


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportError("s3fd.ray needs Ray Data: pip install 's3fd[ray]'") from None
    return pyarrow
