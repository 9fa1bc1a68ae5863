"""Frames of videos and cameras, upright and with their times. Needs PyAV."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from s3fd.images.errors import ImageError, ImageWarning, reason
from s3fd.images.types import UInt8Array

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

# FFmpeg reads playlists, too, whatever they are called, and with them files that nobody has named.
_FORMATS = ("asf", "avi", "dv", "flv", "h264", "hevc", "m4v", "matroska", "mjpeg", "mov", "mpeg")
_ONE_FILE = {
    "format_whitelist": ",".join((*_FORMATS, "mpegts", "mpegvideo", "ogg")),
    "protocol_whitelist": "file",
}

# The seconds between the end of a frame and the next that are too many: some kinds pass over what
# is damaged without a word. Where frames come unevenly, theirs may say how long each stands.
_PAUSE = 0.25

_UNSAID = 2  # FFmpeg's number for a colour matrix of which a file does not tell
_HIGH_DEFINITION = 720  # rows


class Frame(NamedTuple):
    """A picture of a video.

    Attributes:
        number: from 0.
        time: in seconds from the beginning; None where the file does not tell.
        pixels: uint8 ``[H, W, 3]``, RGB, turned upright.
    """

    number: int
    time: float | None
    pixels: UInt8Array


def read_video(path: Path) -> Generator[Frame, None, None]:
    """The frames of a video, one after the other.

    Each has its own time, so that it does not matter whether they come at equal distances. They
    are turned as the file asks for. What is damaged is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: it can't be read, or PyAV is not installed.

    Warns:
        ImageWarning: a part of it is damaged, or it ends too early.
    """
    with open_video(path) as container:
        yield from _upright_frames(container, str(path))


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """A video whose frames are not decoded yet.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: it can't be read, or PyAV is not installed.
    """
    name = str(path)
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no such file")
    with _open(f"file:{name}", name, options=_ONE_FILE) as container:
        if not container.streams.video:
            raise ImageError(f"{name}: a file without pictures")
        yield container


def count_frames(path: Path) -> int | None:
    """How many frames a video has, as far as it says so, without decoding them."""
    try:
        with open_video(path) as container:
            stream = container.streams.video[0]
            rate, seconds = stream.average_rate, (container.duration or 0) / 1e6
            return stream.frames or (round(rate * seconds) if rate else 0) or None
    except (FileNotFoundError, ImageError):
        return None


def start_time(stream: VideoStream) -> Fraction:
    """The time of the first frame, in seconds."""
    return (stream.start_time or 0) * (stream.time_base or Fraction(0))


def colour_matrix(rows: int) -> str:
    """That of a video which tells of none, as players take it; the name is that of FFmpeg's scaler.

    BT.709 is the matrix of high definition, BT.601 that of before.
    """
    return "ITU709" if rows >= _HIGH_DEFINITION else "ITU601"


def read_camera(index: int) -> Generator[Frame, None, None]:
    """The frames of a camera, with the seconds since it was opened.

    Args:
        index: 0 for the first one.

    Raises:
        ImageError: there is no such camera, it can't be opened, it breaks off, or PyAV is not
            installed.
    """
    name = f"camera {index}"
    device, kind = _camera_device(index)
    av = pyav(name)
    with _open(device, name, format=kind) as container:
        start = time.monotonic()
        try:
            for number, frame in enumerate(container.decode(video=0)):
                yield Frame(number, time.monotonic() - start, _upright(frame))
        except av.FFmpegError as error:
            raise ImageError(f"{name}: it broke off ({reason(error)})") from None


def _open(file: str, name: str, **options: Any) -> InputContainer:
    av = pyav(name)
    try:
        return av.open(file, **options)  # type: ignore[no-any-return]
    except (av.FFmpegError, OSError) as error:
        raise ImageError(
            f"{name}: can't be opened, or is of a kind that FFmpeg can't read ({reason(error)})"
        ) from None


def pyav(name: str) -> Any:
    """The module, or an `ImageError` about this file that says how to get it."""
    try:
        import av
    except ImportError:
        raise ImageError(f"{name}: reading it needs PyAV: pip install 's3fd[video]'") from None
    av.logging.set_level(None)  # what is wrong with a file is said here, once
    return av


def _upright_frames(container: InputContainer, name: str) -> Generator[Frame, None, None]:
    from av import FFmpegError

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    start = float(start_time(stream))
    number, damaged, lost, end = 0, 0, 0.0, 0.0
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                damaged += 1
                continue
            damaged += packet.is_corrupt or any(frame.is_corrupt for frame in frames)
            for frame in frames:
                seconds = None if frame.time is None else frame.time - start
                if seconds is not None:
                    if frame.duration and seconds - end > _PAUSE:
                        lost += seconds - end
                    end = seconds + float((frame.duration or 0) * (frame.time_base or 0))
                matrix = colour_matrix(frame.height) if frame.colorspace == _UNSAID else None
                yield Frame(number, seconds, _upright(frame, matrix))
                number += 1
    except FFmpegError as error:
        raise ImageError(f"{name}: damaged after {number} frames ({reason(error)})") from None
    if number == 0:
        raise ImageError(f"{name}: damaged: not one frame can be decoded")
    _warn(name, damaged, lost, end, *_length(container, stream, start))


def _upright(frame: VideoFrame, matrix: str | None = None) -> UInt8Array:
    """The pixels of a frame, turned counterclockwise as it asks for, by right angles.

    Args:
        frame: of a video or a camera.
        matrix: of its colours; None for what it says, or else for BT.601, as cameras have it.
    """
    rgb = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    pixels: UInt8Array = np.asarray(rgb, dtype=np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _length(container: InputContainer, stream: VideoStream, start: float) -> tuple[float, float]:
    """The seconds that the frames should last, and how many of them may be missing.

    Not every container says it of the pictures alone, and sound may outlast them.
    """
    whole = (container.duration or 0) / 1e6  # in some kinds from zero on, not from the first frame
    if stream.duration is None or stream.time_base is None:
        return whole - start, 1 + whole / 10
    own = float(stream.duration * stream.time_base)
    return min(own, whole or own), 1.0


def _warn(
    name: str, damaged: int, lost: float, end: float, length: float, tolerance: float
) -> None:
    """Says what a reader of the frames does not see."""
    if damaged:
        text = f"{name}: {damaged} of its packets are damaged, and their frames left out or torn"
        warnings.warn(text, ImageWarning, stacklevel=2)
    if lost:
        text = (
            f"{name}: for {lost:.1f} seconds there are no frames where they should be: a part of "
            "it is damaged, or it was paused"
        )
        warnings.warn(text, ImageWarning, stacklevel=2)
    if end < length - tolerance:
        text = f"{name}: cut short: it ends after {end:.1f} of {length:.1f} seconds"
        warnings.warn(text, ImageWarning, stacklevel=2)


def _camera_device(index: int) -> tuple[str, str]:
    """The name of a camera, and of FFmpeg's reader for it."""
    if sys.platform == "darwin":
        return str(index), "avfoundation"
    if sys.platform == "win32":
        devices = pyav(f"camera {index}").device.enumerate_input_devices("dshow")
        cameras = [device.name for device in devices if "video" in device.media_types]
        if index >= len(cameras):
            raise ImageError(f"camera {index}: there is no such camera; there are {cameras}")
        return f"video={cameras[index]}", "dshow"
    device = Path(f"/dev/video{index}")
    if not device.exists():
        there = sorted(str(path) for path in Path("/dev").glob("video*"))
        raise ImageError(
            f"camera {index}: there is no such camera ({device}); there are {there or 'none'}"
        )
    return str(device), "v4l2"
