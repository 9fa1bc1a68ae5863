"""Reads MATLAB's `.mat` files, of version 5 and of version 7.3, into plain objects."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from s3fd.data.formats.matlab5 import objects, read_mat_5
from s3fd.messages import one_line


def read_mat(file: Path, *names: str) -> dict[str, Any]:
    """Reads variables of a file.

    Cell arrays become object arrays, struct arrays object arrays of dicts, text becomes str, and
    numbers stay arrays; all with MATLAB's shapes, so that a vector has two dimensions.

    Args:
        file: a file of either version.
        names: of the variables that are wanted, if they are there; none for all of them.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: it is of version 7.3, and h5py is not installed.
        ValueError: it is not such a file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"data: {file} does not exist")
    with file.open("rb") as stream:
        is_7_3 = stream.read(10) == b"MATLAB 7.3" or file.suffix == ".h5"
    try:
        return _read_7_3(file, names) if is_7_3 else read_mat_5(file.read_bytes(), names)
    except ImportError as error:
        raise ImportError(
            f"{file}: h5py is needed to read it: pip install 's3fd[eval]'", name="h5py"
        ) from error
    except Exception as error:  # the readers fail in many ways on a damaged file
        raise ValueError(f"{file}: can't be read as a MATLAB file ({one_line(error)})") from error


def _read_7_3(file: Path, names: Collection[str]) -> dict[str, Any]:
    import h5py

    with h5py.File(file, "r") as content:
        wanted = [name for name in content if name[0] != "#" and (not names or name in names)]
        return {name: _node(content, content[name]) for name in wanted}


def _node(content: Any, node: Any) -> Any:
    """One dataset or group of an HDF5 file that MATLAB wrote; it stores columns first."""
    if hasattr(node, "keys"):
        return _struct(content, node)
    kind = node.attrs.get("MATLAB_class", b"")
    if node.attrs.get("MATLAB_empty", 0):
        return "" if kind == b"char" else np.zeros(tuple(int(n) for n in node[()]))
    values = np.asarray(node[()]).T
    if kind == b"char":
        return "".join(map(chr, values.ravel()))
    if values.dtype.kind == "O":
        cells = [_node(content, content[reference]) for reference in values.ravel()]
        return objects(cells).reshape(values.shape)
    return values


def _struct(content: Any, group: Any) -> np.ndarray:
    fields = {name: group[name] for name in group}
    # The fields of a struct array are references, one for each element; those of a single struct
    # are the values themselves.
    several = all(
        not hasattr(field, "keys") and field.dtype.kind == "O" and "MATLAB_class" not in field.attrs
        for field in fields.values()
    )
    if not several or not fields:
        single = {name: _node(content, field) for name, field in fields.items()}
        return objects([single]).reshape(1, 1)
    columns = {name: _node(content, field) for name, field in fields.items()}
    shape: tuple[int, ...] = next(iter(columns.values())).shape
    count = int(np.prod(shape))
    rows = [{name: column.ravel()[i] for name, column in columns.items()} for i in range(count)]
    return objects(rows).reshape(shape)
