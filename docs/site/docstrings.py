"""Reads docstrings as they are written here: ``Example:`` with doctests, names in `backticks`."""

import re
import sys
from importlib import import_module
from typing import Any

import griffe

MODULES = [
    *("s3fd", "s3fd.images", "s3fd.ray", "s3fd.export", "s3fd.ops", "s3fd.models", "s3fd.data"),
    *("s3fd.training", "s3fd.evaluation", "s3fd.analysis"),
    *("s3fd.images.video_copy", "s3fd.data.shards", "s3fd.evaluation.plots"),
    *("s3fd.evaluation.tables", "s3fd.evaluation.gallery", "s3fd.evaluation.wider_face.published"),
]


def _path(module: str, name: str) -> str:
    """Of a public name; a function whose module is called like it has both in it."""
    return f"{module}.{name}.{name}" if f"{module}.{name}" in sys.modules else f"{module}.{name}"


PATHS = {name: _path(module, name) for module in MODULES for name in import_module(module).__all__}
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
