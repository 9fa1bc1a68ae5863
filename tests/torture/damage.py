"""Ways to damage what a file holds."""

import copy
import json
from random import Random
from typing import Any

_WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_START = 256  # bytes in which a file says what it is


def damaged(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """The bytes after one to three accidents.

    Args:
        data: what a file holds.
        rng: decides on everything.
        other: what another file holds, whose end may be put in place of this one's.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_ACCIDENTS)(data, rng, other)
    return data


def _place(data: bytes, rng: Random) -> int:
    """Where to: the start, which says what all the rest means, as often as anywhere."""
    end = min(len(data), _START) if rng.random() < 0.5 else len(data)
    return rng.randrange(max(1, end))


def _flipped(data: bytes, rng: Random, other: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        result[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(result)


def _cut(data: bytes, rng: Random, other: bytes) -> bytes:
    return data[: _place(data, rng)]


def _without_a_part(data: bytes, rng: Random, other: bytes) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 7, 64, 1000)) :]


def _with_a_part_twice(data: bytes, rng: Random, other: bytes) -> bytes:
    at, length = _place(data, rng), rng.choice((1, 4, 64, 1000))
    return data[: at + length] + data[at:]


def _with_noise(data: bytes, rng: Random, other: bytes) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.randbytes(rng.choice((1, 4, 30, 500))) + data[at:]


def _overwritten(data: bytes, rng: Random, other: bytes) -> bytes:
    at, length = _place(data, rng), rng.choice((1, 4, 16, 512))
    filler = rng.choice((b"\0", b"\xff", b" ", b"9")) * len(data[at : at + length])
    return data[:at] + filler + data[at + length :]


def _with_a_number(data: bytes, rng: Random, other: bytes) -> bytes:
    """An integer that readers trip over: for a size, a count or an offset."""
    at, length = _place(data, rng), rng.choice((1, 2, 4, 8))
    value = rng.choice(_WORDS) % (1 << 8 * length)
    return data[:at] + value.to_bytes(length, rng.choice(("big", "little"))) + data[at + length :]


def _with_another_end(data: bytes, rng: Random, other: bytes) -> bytes:
    return data[: _place(data, rng)] + other[_place(other, rng) :]


_ACCIDENTS = (
    _flipped,
    _flipped,
    _cut,
    _without_a_part,
    _with_a_part_twice,
    _with_noise,
    _overwritten,
    _with_a_number,
    _with_another_end,
)

ODD_TEXTS = (
    *("", " ", "0", "-1", "1", "2", "7", "1e39", "-1e39", "1e400", "nan", "inf", "-inf", "0x10"),
    *(
        "9" * 400,
        "9" * 5000,
        "1.5",
        "١٢",
        "1_0",
        "true",
        "null",
        "~",
        "[]",
        "{}",
        "face",
        "../..",
        "/",
    ),
    *(".", "a" * 300, "x" * 5000, "photo\0.jpg", "\ud800", "\u202e", "2001-99-99", "*", "%s"),
    *(
        "!!python/object:os.system",
        "&a [*a]",
        "a\nb",
        "\x1b[31mred",
        "C:\\photo.jpg",
        "'",
        '"',
        "<",
    ),
)
"""In place of a word or a number."""

_ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    10**9,
    10**400,
    -(10**400),
    1e39,
    1e308,
    -0.0,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "0",
    "a" * 300,
    "x" * 5000,
    "\ud800",
    "\0",
    "face",
    "..",
    [],
    [[]],
    [1],
    [1, 2, 3, 4],
    [1, 2, 3, "4"],
    [[1, 2], [3, 4]],
    [None],
    {},
    {"id": 1},
    [{}],
    {"a": {"a": {"a": 1}}},
)


def odd_json(text: str, rng: Random) -> str:
    """JSON with some of its values made odd, left out, or put in twice."""
    content = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = [place for place in _places(content) if place]
        if not places:
            break
        _change(content, rng.choice(places), rng)
    if rng.random() < 0.03:
        content = rng.choice(_ODD_VALUES)
    return json.dumps(content)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [at, *(place for key in keys for place in _places(value[key], (*at, key)))]


def _change(content: Any, place: tuple[Any, ...], rng: Random) -> None:
    *outer, key = place
    for step in outer:
        content = content[step]
    what = rng.random()
    if what < 0.2:
        del content[key]
    elif what < 0.3 and isinstance(content, list):
        content.append(content[key])
    elif what < 0.4 and isinstance(content[key], list | dict):
        content[key] = list(content[key].values()) if isinstance(content[key], dict) else {}
    else:
        content[key] = copy.deepcopy(rng.choice(_ODD_VALUES))


def odd_words(text: str, rng: Random, pattern: str = " ") -> str:
    """Text with some of its words made odd, which any of the characters of `pattern` part."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        ends = [-1, *(at for at, char in enumerate(text) if char in pattern + "\n"), len(text)]
        index = rng.randrange(len(ends) - 1)
        text = text[: ends[index] + 1] + rng.choice(ODD_TEXTS) + text[ends[index + 1] :]
    return text
