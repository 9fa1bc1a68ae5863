"""Readers of more kinds of files than Pillow's own, where they are installed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

_HEIC = (".heic", ".heif", ".hif")
_JXL = (".jxl",)
_MODULES = {"pillow_heif": _HEIC, "pillow_jxl": _JXL}
_PACKAGES = {"pillow_heif": "pillow-heif", "pillow_jxl": "pillow-jxl-plugin"}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def suffixes() -> frozenset[str]:
    """Of the files that the plugins which are installed here can read."""
    return frozenset(s for module, known in _MODULES.items() if find_spec(module) for s in known)


def needed_package(suffix: str) -> str | None:
    """What to install for files of this suffix, if a plugin reads them."""
    module = next((name for name, known in _MODULES.items() if suffix in known), None)
    return None if module is None else _PACKAGES[module]


@cache
def register() -> None:
    """Makes Pillow know the plugins that are installed here."""
    if find_spec("pillow_heif"):
        import_module("pillow_heif").register_heif_opener()
    if find_spec("pillow_jxl"):
        import_module("pillow_jxl")  # registers itself


def kind_of(start: bytes) -> tuple[str, str] | None:
    """The kind of a file that a plugin would read, by its first 12 bytes, and what to install."""
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return "HEIC", _PACKAGES["pillow_heif"]
    if start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL", _PACKAGES["pillow_jxl"]
    return None
