"""Where an image comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Where an image comes from.

    Attributes:
        index: its place among all images of the call, from 0; those that can't be read count.
        path: of its file, or of the video; None for arrays and the like, and for a camera.
        frame: its number in a video or of a camera, from 0; None for photos.
        time: of that frame, in seconds from the beginning; None where the video does not tell.

    Example:
        >>> print(Source(7, Path("clip.mp4"), frame=25, time=1.0))
        clip.mp4, frame 25 (1.000 s)
        >>> print(Source(7))
        images[7]
    """

    index: int
    path: Path | None = None
    frame: int | None = None
    time: float | None = None

    def __str__(self) -> str:
        if self.frame is None:
            return f"images[{self.index}]" if self.path is None else str(self.path)
        name = "camera" if self.path is None else str(self.path)
        return f"{name}, frame {self.frame}" + (
            "" if self.time is None else f" ({self.time:.3f} s)"
        )
