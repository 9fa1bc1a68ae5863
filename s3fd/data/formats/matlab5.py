"""MATLAB's files of version 5 to 7, as "MAT-File Format" of The MathWorks describes them.

Readers in C crash on damaged files, and these come from other people.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

_HEADER = 128
_MOST = 1 << 30  # bytes that a compressed variable may have
_MATRIX, _COMPRESSED, _UTF8 = 14, 15, 16
_Order: TypeAlias = Literal["<", ">"]
_ORDERS: dict[bytes, _Order] = {b"IM": "<", b"MI": ">"}
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
    16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
"""Of elements, by number; from 16 on the units of text in UTF-8, 16 and 32."""
_CELL, _STRUCT, _OBJECT, _TEXT = 1, 2, 3, 4
_NUMBERS = range(6, 16)
_COMPLEX = 0x800


def read_mat_5(data: bytes, names: Collection[str] = ()) -> dict[str, Any]:
    """Variables in what a file holds; see `s3fd.data.formats.matlab.read_mat`.

    Raises:
        ValueError: it is damaged, or has an array of a kind that labels have not.
    """
    order = _ORDERS.get(data[126:128])
    if order is None:
        raise ValueError("it does not begin as one")
    variables = {}
    elements = _Elements(memoryview(data)[_HEADER:], order)
    while elements.left:
        number, content = elements.next()
        if number == _COMPRESSED:
            number, content = _Elements(_unpacked(content), order).next()
        if number == _MATRIX:
            array = _Elements(content, order)
            head = _head(array)
            if not names or head.name in names:
                variables[head.name] = _content(array, head, order)
    return variables


def _unpacked(content: memoryview) -> memoryview:
    packer = zlib.decompressobj()
    data = packer.decompress(content, _MOST)
    if packer.unconsumed_tail:
        raise ValueError("a variable of more than a gigabyte")
    if not packer.eof:
        raise ValueError("a compressed variable is cut short")
    return memoryview(data)


class _Elements:
    """The elements of a file or of an array, one after the other."""

    def __init__(self, data: memoryview, order: _Order) -> None:
        self._data = data
        self._at = 0
        self._order = order
        self._tag = struct.Struct(f"{order}II")

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._data) - self._at

    def next(self) -> tuple[int, memoryview]:
        """Number of the type, and content, of the next one."""
        if self.left < 8:
            raise ValueError("it ends within an element")
        number, size = self._tag.unpack_from(self._data, self._at)
        if number >> 16:  # type and size are packed into four bytes, and the content follows
            number, size, begin, end = number & 0xFFFF, number >> 16, self._at + 4, self._at + 8
        else:
            begin = self._at + 8
            end = begin + size + (0 if number == _COMPRESSED else -size % 8)
        if begin + size > min(end, len(self._data)):
            raise ValueError("it ends within an element")
        self._at = min(end, len(self._data))
        return number, self._data[begin : begin + size]

    def array(self) -> np.ndarray[Any, Any]:
        """The next one, of numbers."""
        return self.numbers(*self.next())

    def numbers(self, number: int, content: memoryview) -> np.ndarray[Any, Any]:
        """The content of one of numbers."""
        if number not in _TYPES:
            raise ValueError(f"expected numbers, got an element of type {number}")
        kind = np.dtype(_TYPES[number])
        return np.frombuffer(content, kind.newbyteorder(self._order)).astype(kind)


class _Array(NamedTuple):
    """What stands before the content of every array."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def _head(elements: _Elements) -> _Array:
    flags, shape = elements.array().tolist(), tuple(elements.array().tolist())
    name = bytes(elements.next()[1]).decode("latin-1")
    integers = all(isinstance(n, int) for n in (*flags, *shape))
    if not flags or len(shape) < 2 or not integers or min(shape) < 0:
        raise ValueError("an array without kind or shape")
    return _Array(flags[0] & 0xFF, bool(flags[0] & _COMPLEX), shape, name)


def _content(elements: _Elements, head: _Array, order: _Order) -> Any:
    if head.kind == _CELL:
        return _shaped(objects(_several(elements, head.size, order)), head.shape)
    if head.kind in (_STRUCT, _OBJECT):
        return _struct(elements, head, order)
    if head.kind == _TEXT:
        return _text(elements, head)
    if head.kind not in _NUMBERS:
        raise ValueError(f"an array of kind {head.kind}: neither cells, a struct, text nor numbers")
    values = elements.array()
    if head.is_complex:
        values = values + 1j * elements.array()
    return _shaped(values, head.shape)


def _several(elements: _Elements, count: int, order: _Order) -> list[Any]:
    if count > elements.left:  # each has several bytes
        raise ValueError("it says more cells than it has")
    values = []
    for _ in range(count):
        number, content = elements.next()
        if number != _MATRIX:
            raise ValueError(f"expected an array in a cell, got an element of type {number}")
        if content:
            array = _Elements(content, order)
            values.append(_content(array, _head(array), order))
        else:  # a cell that was never filled
            values.append(np.zeros((0, 0)))
    return values


def _struct(elements: _Elements, head: _Array, order: _Order) -> np.ndarray[Any, Any]:
    if head.kind == _OBJECT:
        elements.next()  # the name of its class
    lengths = elements.array()
    length = int(lengths[0]) if len(lengths) else 0
    if length < 1:
        raise ValueError("a struct whose fields have no names")
    text = bytes(elements.next()[1])
    names = [text[i : i + length].split(b"\0")[0].decode("latin-1")
             for i in range(0, len(text), length)]  # fmt: skip
    values = _several(elements, head.size * len(names), order)
    width = len(names)
    rows = [dict(zip(names, values[i * width : (i + 1) * width], strict=True))
            for i in range(head.size)]  # fmt: skip
    return _shaped(objects(rows), head.shape)


def _text(elements: _Elements, head: _Array) -> str:
    number, content = elements.next()
    if number == _UTF8:
        units = list(bytes(content).decode())
    else:
        units = list(map(chr, elements.numbers(number, content).tolist()))
    return "".join(_shaped(objects(units), head.shape).ravel().tolist())


def objects(values: list[Any]) -> np.ndarray[Any, Any]:
    """An object array; numpy alone would look into arrays among the values."""
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def _shaped(values: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """In MATLAB's shape; it stores columns first."""
    if values.size != math.prod(shape):
        raise ValueError(f"{values.size} values in an array of shape {list(shape)}")
    return values.reshape(shape, order="F")
