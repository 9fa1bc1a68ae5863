"""Kinds of files, by the ends of their names."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

JPEG_SUFFIXES = frozenset([".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"])
JPEG_LONGEST = 65_500
"""Pixels of a side that a JPEG has at most, as libjpeg writes it."""
RAW_SUFFIXES = frozenset(
    [
        *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".nef", ".nrw", ".orf"),
        *(".pef", ".raf", ".raw", ".rw2", ".sr2", ".srw", ".x3f"),
    ]
)
"""What cameras write before they make a picture of it. Pillow would read a small preview."""
VIDEO_SUFFIXES = frozenset(
    [
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".ogv", ".ts", ".webm", ".wmv"),
    ]
)
VIDEO_FORMATS = {
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mp4",
    ".webm": "webm",
}
"""Those that are written, and what FFmpeg calls them. In an .avi, frames have no own times."""
_PILLOW_SUFFIXES = JPEG_SUFFIXES | {
    *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jp2", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tga", ".tif", ".tiff", ".webp"),
}


class Plugin(NamedTuple):
    """What makes Pillow read another kind of file: its name, module, package, and suffixes."""

    kind: str
    module: str
    package: str
    suffixes: tuple[str, ...]

    @property
    def installed(self) -> bool:
        """Whether it is there."""
        return find_spec(self.module) is not None


PLUGINS = (
    Plugin("HEIC", "pillow_heif", "pillow-heif", (".heic", ".heif", ".hif")),
    Plugin("JPEG XL", "pillow_jxl", "pillow-jxl-plugin", (".jxl",)),
)
PHOTO_SUFFIXES = _PILLOW_SUFFIXES.union(*(plugin.suffixes for plugin in PLUGINS))
"""Of all photos that can be read, here or where the plugins are."""


def photo_suffixes() -> frozenset[str]:
    """Of the photos that can be read here."""
    installed = [suffix for plugin in PLUGINS if plugin.installed for suffix in plugin.suffixes]
    return _PILLOW_SUFFIXES.union(installed)


def why_passed_over(suffix: str) -> str | None:
    """Why a file that shows something is no photo that can be read here, if it is one of these."""
    for plugin in PLUGINS:
        if suffix in plugin.suffixes and not plugin.installed:
            return f"{suffix} (pip install {plugin.package})"
    if suffix in RAW_SUFFIXES:
        return f"{suffix} (a camera's raw files)"
    if suffix in VIDEO_SUFFIXES:
        return f"{suffix} (videos, which are searched where they are named)"
    return None
