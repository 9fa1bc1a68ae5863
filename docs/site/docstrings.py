"""Reads docstrings as they are written here: ``Example:`` with doctests, names in `backticks`."""

import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import griffe

MODULES = [
    f"s3fd{name}"
    for name in (
        "",
        ".images",
        ".ray",
        ".ops",
        ".models",
        ".data",
        ".training",
        ".evaluation",
        ".analysis",
    )
]
# A function whose module is called like it has the path of both.
PATHS = {
    name: f"{module}.{name}" + f".{name}" * (find_spec(f"{module}.{name}") is not None)
    for module in MODULES
    for name in import_module(module).__all__
}
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_NAME = re.compile(r"(?::\w+:)?(?<!`)`([A-Za-z_][\w.]*)`(?!`)")


class OwnStyle(griffe.Extension):
    """Makes sections of examples, and links of names that have a place in the reference."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _EXAMPLE.sub("Examples:", obj.docstring.value)
            obj.docstring.value = _NAME.sub(_linked, text)


def _linked(match: re.Match[str]) -> str:
    name = match[1]
    first, _, rest = name.partition(".")
    path = f"{PATHS[first]}.{rest}".rstrip(".") if first in PATHS else name
    return f'<autoref optional identifier="{path}"><code>{name}</code></autoref>'
