"""What is said about pictures that can't be read, or not as they should be."""

from __future__ import annotations

from PIL import Image

from s3fd.messages import one_line


class ImageError(ValueError):
    """A picture that can't be read; the message says which and why."""


class ImageWarning(UserWarning):
    """A picture that was read in part, read with a doubt, or passed over; the message says why."""


def unreadable(error: Exception, name: str) -> ImageError:
    """What to raise for an error of Pillow's."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{name}: too many pixels to be opened safely ({reason(error)}); if you trust it, "
            "shrink it first, or set PIL.Image.MAX_IMAGE_PIXELS"
        )
    if isinstance(error, PermissionError):
        return ImageError(f"{name}: can't be opened ({reason(error)})")
    if isinstance(error, MemoryError):
        return ImageError(f"{name}: too large for the memory of this machine")
    return ImageError(f"{name}: damaged, or of a kind that Pillow can't read ({reason(error)})")


def reason(error: Exception) -> str:
    """What an error says, in short."""
    strerror = getattr(error, "strerror", None)
    return one_line(strerror or error) or type(error).__name__
