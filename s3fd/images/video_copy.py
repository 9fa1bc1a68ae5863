"""A video written again with other pictures: at the same times, and with its sound. Needs PyAV."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from s3fd.file_kinds import VIDEO_FORMATS
from s3fd.files import whole_file
from s3fd.images.errors import ImageError, ImageWarning, reason
from s3fd.images.types import UInt8Array
from s3fd.images.video import colour_matrix, open_video, pyav, start_time

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import InputContainer, OutputContainer

__all__ = ["copied_video"]

# Of a second: divides the frames of most rates. MPEG-4, the codec of an .mp4 where FFmpeg has no
# encoder of H.264, takes none below 1 / 65 535.
_TICK = Fraction(1, 60_000)
_BITS_PER_PIXEL = 0.15  # of each frame: faces stay as sharp as they were
_TAGS = {"ITU709": 1, "ITU601": 6}  # of colour matrices, in files: BT.709, SMPTE 170M


@contextmanager
def copied_video(
    source: str | os.PathLike[str], target: str | os.PathLike[str]
) -> Iterator[Callable[[UInt8Array | Image.Image, float | None], None]]:
    """A copy of a video whose pictures are given one after the other.

    ::

        with copied_video(clip, drawn) as write:
            for faces in detector.stream(clip, keep_images=True):
                write(faces.draw(), faces.source.time)

    Args:
        source: the video that sound, frame rate and the shape of the pixels are taken from.
        target: appears when it is complete; its suffix is one of
            `s3fd.file_kinds.VIDEO_FORMATS`.

    Yields:
        What takes a picture, a PIL image or uint8 ``[H, W, 3]`` in RGB, upright and all of one
        size, and its time in seconds, as the source's `s3fd.images.Source` has it; None for one
        frame after the last. What is no such picture is a ValueError. Where the source's pixels are
        no squares, those of the copy are not, either; a .webm, which can't say so, is stretched.

    Raises:
        FileNotFoundError: there is no such video, or no folder for the copy.
        ImageError: it can't be read, or a file of this kind not be written.

    Warns:
        ImageWarning: files of this kind can't hold its sound, which is left out.
    """
    source, target = Path(source), Path(target)
    name = str(target)
    kind = VIDEO_FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ImageError(f"{name}: expected a name with one of the ends {sorted(VIDEO_FORMATS)}")
    av = pyav(name)

    @contextmanager
    def one_error() -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            raise ImageError(f"{name}: can't be written ({reason(error)})") from error

    with (
        open_video(source) as original,
        whole_file(target) as file,
        one_error(),
        av.open(file, "w", format=kind) as container,
    ):
        copy = _Copy(original, container, name)
        yield one_error()(copy.write)  # so that what is thrown back in comes out as the same error
        copy.finish()


class _Copy:
    """The streams of a copy.

    Args:
        original: gives the sound, and the shape and the kind of colours of the pixels.
        container: of the copy.
        name: of the copy, for warnings.
    """

    def __init__(self, original: InputContainer, container: OutputContainer, name: str) -> None:
        self._container = container
        self._original = original.streams.video[0]
        self._rate = self._original.average_rate or Fraction(25)
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        self._last = -1  # the time of the last picture, in ticks
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None
        self._start = start_time(self._original)
        if not original.streams.audio:
            return
        sound = original.streams.audio[0]
        if sound.codec_context.name in container.supported_codecs:
            self._audio = container.add_stream_from_template(sound)
            self._packets = original.demux(sound)
        else:
            text = f"{name}: without its sound, which such a file can't hold; an .mkv could"
            warnings.warn(text, ImageWarning, stacklevel=2)

    def write(self, picture: UInt8Array | Image.Image, seconds: float | None) -> None:
        """Adds a picture, and the sound up to it."""
        from av import VideoFrame

        pixels = np.asarray(picture)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(
                f"picture: expected uint8 [H, W, 3] in RGB, got {pixels.dtype} {list(pixels.shape)}"
            )
        even = [(0, length % 2) for length in pixels.shape[:2]]  # as encoders want it
        frame = VideoFrame.from_ndarray(np.pad(pixels, (*even, (0, 0)), mode="edge"), "rgb24")
        if self._video is None:
            self._video = self._encoder(frame.width, frame.height)
        matrix = colour_matrix(self._video.height)
        size = self._video.width, self._video.height
        frame = frame.reformat(*size, "yuv420p", dst_colorspace=matrix)
        after = 0 if self._last < 0 else self._last + round(1 / (self._rate * _TICK))
        frame.pts = after if seconds is None else max(self._last + 1, round(seconds / _TICK))
        frame.time_base, self._last = _TICK, frame.pts
        self._copy_sound(self._last * _TICK)
        self._container.mux(self._video.encode(frame))

    def finish(self) -> None:
        """Adds what is left."""
        if self._video is not None:
            self._container.mux(self._video.encode())
        self._copy_sound(None)

    def _encoder(self, width: int, height: int) -> VideoStream:
        video: VideoStream = self._container.add_stream(  # type: ignore[assignment]
            self._container.default_video_codec, rate=self._rate
        )
        aspect = self._pixel_aspect(upright=height > width)
        if self._container.format.name == "webm":  # neither its codec nor PyAV can tell a player
            width, height = _stretched(width, height, aspect)
            aspect = Fraction(1)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        context, original = video.codec_context, self._original.codec_context
        context.time_base, context.sample_aspect_ratio = _TICK, aspect
        context.colorspace = _TAGS[colour_matrix(height)]
        context.color_primaries, context.color_trc = original.color_primaries, original.color_trc
        video.bit_rate = round(_BITS_PER_PIXEL * width * height * self._rate)
        return video

    def _pixel_aspect(self, *, upright: bool) -> Fraction:
        """Width by height of the pixels, of pictures that are higher than wide, or not.

        Those of the original lie on their side if its frames do, and are to be turned.
        """
        original = self._original
        aspect = original.sample_aspect_ratio or Fraction(1)  # 0 or None: unknown
        return aspect if upright == (original.height > original.width) else 1 / aspect

    def _copy_sound(self, until: Fraction | None) -> None:
        """Copies the packets of sound that begin before a time, or all that are left."""
        while self._audio is not None:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if packet.dts is None:  # the empty one at the end
                continue
            offset = round(self._start / packet.time_base)
            if until is not None and (packet.dts - offset) * packet.time_base > until:
                self._waiting = packet
                return
            packet.dts, packet.pts = packet.dts - offset, (packet.pts or packet.dts) - offset
            packet.stream = self._audio
            self._container.mux(packet)


def _stretched(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """An even size in which square pixels show the same shape: wider or higher."""
    if aspect > 1:
        return 2 * round(width * aspect / 2), height
    return width, 2 * round(height / aspect / 2)
