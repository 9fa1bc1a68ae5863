"""Readers and writers of more kinds of files than Pillow's own, where they are installed."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from PIL import Image

from s3fd.file_kinds import PLUGINS, Plugin

_HEIC, _JPEG_XL = PLUGINS
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@cache
def register() -> None:
    """Makes Pillow know the plugins that are installed here."""
    if _HEIC.installed:
        import_module(_HEIC.module).register_heif_opener()
    if _JPEG_XL.installed:
        import_module(_JPEG_XL.module)  # registers itself


def written_kind(suffix: str) -> str | None:
    """What Pillow calls the kind of pictures that it writes with a suffix; None: it writes none."""
    if suffix not in Image.registered_extensions():
        register()
    kind = Image.registered_extensions().get(suffix)
    return kind if kind in Image.SAVE else None  # some are only read


def plugin_for(start: bytes) -> Plugin | None:
    """What would read a file, by its first 12 bytes."""
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return _HEIC
    if start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return _JPEG_XL
    return None
