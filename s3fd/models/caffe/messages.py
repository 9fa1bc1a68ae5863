"""Protocol Buffers, in their binary and in their text form, by a schema of what is wanted of them.

Both forms are described on protobuf.dev: "Encoding" and "Text Format Language Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

Message: TypeAlias = dict[str, list[Any]]
"""The fields of a message by name, each with all its values: any field may be repeated."""

Schema: TypeAlias = Mapping[int, tuple[str, Any]]
"""Name and kind of fields by number. A kind is int, float, bool or str; the names of an enumeration
in a tuple; the schema of a message; or a function that makes something of the bytes of one."""

_TOKEN = re.compile(
    r"""\s+ | \#[^\n]*                                     # white space and comments
    | (?P<mark>[{}:;,])
    | (?P<value>"[^"\n]*" | '[^'\n]*' | [^\s{}[\]:;,"'\#]+)""",
    re.VERBOSE,
)


def from_bytes(data: memoryview, schema: Schema) -> Message:
    """The fields of a binary message that the schema knows.

    Raises:
        ValueError: the message is truncated or damaged.
    """
    message: Message = {}
    for number, value in binary_fields(data):
        if number in schema:
            name, kind = schema[number]
            message.setdefault(name, []).extend(_values(name, kind, value))
    return message


def from_text(text: str, schema: Schema) -> Message:
    """The fields of a message in text form that the schema knows.

    Raises:
        ValueError: it is none, is truncated, or has a value that its field can't have.
    """
    return _typed(_parsed(text), schema)


def binary_fields(
    data: memoryview, *, whole: bool = True
) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: an integer, or the bytes of anything else.

    Args:
        data: the message.
        whole: whether to refuse a message that ends within a field.

    Raises:
        ValueError: the message is truncated or damaged.
    """
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == 2:
            size, position = _varint(data, position)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise ValueError("damaged: it has a field of a kind that doesn't exist")
        if whole and position + size > len(data):
            raise ValueError("truncated or damaged: it ends within a field")
        yield number, data[position : position + size]
        position += size


def integers(data: memoryview) -> list[int]:
    """The integers of a packed field."""
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The integer at a position, seven bits a byte and the lowest first, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + 10]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    raise ValueError("truncated or damaged: it ends within a number")


def _values(name: str, kind: Any, value: int | memoryview) -> list[Any]:
    """The values in a field; numbers may be packed, many in one."""
    if isinstance(value, int):
        if kind in (int, bool):
            return [kind(value)]
        if isinstance(kind, tuple) and value < len(kind):
            return [kind[value]]
    elif kind is int:
        return integers(value)
    elif kind is float and len(value) % 4 == 0:
        return [float(number) for number in np.frombuffer(value, "<f4")]
    elif kind is str:
        return [bytes(value).decode("utf-8", "replace")]
    elif isinstance(kind, Mapping):
        return [from_bytes(value, kind)]
    elif kind not in (float, bool) and callable(kind):
        return [kind(value)]
    raise ValueError(f"damaged: its field {name!r} holds something else than it should")


def _parsed(text: str) -> Message:
    """All fields of a message in text form, with values as they are written."""
    message: Message = {}
    outer: list[Message] = []
    name: str | None = None
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        mark, value = (token["mark"], token["value"]) if token else ("?", None)
        if value is not None and name is None:
            name = value
        elif name is not None and value is not None:
            message.setdefault(name, []).append(value)
            name = None
        elif name is not None and mark == "{":
            outer.append(message)
            message = {}
            outer[-1].setdefault(name, []).append(message)
            name = None
        elif name is None and mark == "}" and outer:
            message = outer.pop()
        elif token is None or mark in ("{", "}") or (mark == ":" and name is None):
            line = text.count("\n", 0, position) + 1
            raise ValueError(f"damaged: its line {line} is not understood")
        position = token.end() if token else position
    if outer or name is not None:
        raise ValueError("truncated: it ends within a field")
    return message


def _typed(message: Message, schema: Schema) -> Message:
    """The fields that the schema knows, with values of their kinds."""
    return {
        name: [_typed_value(name, kind, value) for value in message[name]]
        for name, kind in schema.values()
        if name in message
    }


def _typed_value(name: str, kind: Any, value: str | Message) -> Any:
    if isinstance(kind, Mapping) and isinstance(value, dict):
        return _typed(value, kind)
    try:
        if kind in (int, float):
            return kind(value)
        if kind is bool and isinstance(value, str):
            return {"true": True, "false": False}[value]
        if kind is str and isinstance(value, str):
            return value.strip("\"'")
        if isinstance(kind, tuple) and value in kind:
            return value
    except (KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"damaged: its field {name!r} can't have the value {str(value)[:40]!r}")
