"""Copies of videos with other pictures, the same times and the same sound."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from s3fd.file_kinds import VIDEO_FORMATS
from s3fd.images import ImageError, ImageWarning
from s3fd.images.video import read_video

av = pytest.importorskip("av", reason="the extra `video`, for which PyAV is needed")

from s3fd.images.video_copy import copied_video  # noqa: E402

GREEN = (39, 199, 58)
TIMES = [0, 40, 80, 200, 240, 900]  # in ms: not at equal distances


def encoder_is_there(kind):
    with av.open(io.BytesIO(), "w", format=kind) as container:
        name = container.default_video_codec
    try:
        return av.Codec(name, "w") is not None
    except ValueError:
        return False


def write_video(path, codec="aac", size=(64, 48), rotation=0):
    """A second of growing brightness, with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            video.set_display_rotation(rotation)
        sound = container.add_stream(codec, rate=16000, layout="mono")
        for number, milliseconds in enumerate(TIMES):
            pixels = np.full((size[1], size[0], 3), 30 * number, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture.pts, picture.time_base = milliseconds, Fraction(1, 1000)
            container.mux(video.encode(picture))
        tone = (8000 * np.sin(np.arange(16000) * 0.2)).astype(np.int16)[None]
        audio = av.AudioFrame.from_ndarray(tone, "s16", "mono")
        audio.sample_rate, audio.pts = 16000, 0
        container.mux(sound.encode(audio))
        container.mux(sound.encode())
        container.mux(video.encode())
    return path


def write_green(path, size=(64, 48), *, matrix="ITU601", tags=(2, 2, 2), aspect=1, rotation=0):
    """Three frames of one colour; of what nothing is told, the number is 2."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        context = video.codec_context
        context.sample_aspect_ratio = Fraction(aspect)
        context.colorspace, context.color_primaries, context.color_trc = tags
        if rotation:
            video.set_display_rotation(rotation)
        for number in range(3):
            pixels = np.full((size[1], size[0], 3), GREEN, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=matrix)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode())
    return path


def copy_as_it_is(source, target, stop=None):
    with copied_video(source, target) as write:
        for frame in read_video(source):
            write(frame.pixels, frame.time)
            if stop is not None:
                raise stop


def sound_of(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1).astype(float)


@pytest.mark.parametrize("suffix", sorted(VIDEO_FORMATS))
def test_pictures_change_while_times_and_sound_stay(tmp_path, suffix):
    if not encoder_is_there(VIDEO_FORMATS[suffix]):
        pytest.skip(f"PyAV has no encoder for {suffix}")
    sound = "libopus" if suffix == ".webm" else "aac"
    source = write_video(tmp_path / f"clip{suffix}".replace(".webm", ".mkv"), sound)
    target = tmp_path / f"drawn{suffix}"
    with copied_video(source, target) as write:
        for frame in read_video(source):
            write(255 - frame.pixels, frame.time)
    originals, copies = list(read_video(source)), list(read_video(target))
    assert [c.time for c in copies] == pytest.approx([o.time for o in originals], abs=0.002)
    for original, copy in zip(originals, copies, strict=True):
        np.testing.assert_allclose(copy.pixels, 255 - original.pixels, atol=16)
    np.testing.assert_array_equal(sound_of(target), sound_of(source))


def test_turned_videos_are_written_upright_and_odd_sizes_grow_by_a_pixel(tmp_path):
    source = write_video(tmp_path / "clip.mp4", rotation=90)
    with copied_video(source, tmp_path / "drawn.mp4") as write:
        for frame in read_video(source):
            assert frame.pixels.shape == (64, 48, 3)
            write(frame.pixels[1:], frame.time)
    copies = list(read_video(tmp_path / "drawn.mp4"))
    assert [copy.pixels.shape for copy in copies] == [(64, 48, 3)] * len(TIMES)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("rotation", "aspect"), [(0, Fraction(4, 3)), (180, Fraction(4, 3)), (90, Fraction(3, 4))]
)
def test_pixels_keep_their_shape(tmp_path, suffix, rotation, aspect):
    source = write_green(tmp_path / "clip.mp4", aspect="4/3", rotation=rotation)
    copy_as_it_is(source, tmp_path / f"drawn{suffix}")
    with av.open(str(tmp_path / f"drawn{suffix}")) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect


@pytest.mark.parametrize(("aspect", "shape"), [("4/3", (48, 86, 3)), ("3/4", (64, 64, 3))])
def test_a_webm_is_stretched_as_it_can_not_tell_the_shape_of_pixels(tmp_path, aspect, shape):
    if not encoder_is_there("webm"):
        pytest.skip("PyAV has no encoder for .webm")
    source = write_green(tmp_path / "clip.mp4", aspect=aspect)
    copy_as_it_is(source, tmp_path / "drawn.webm")
    assert {frame.pixels.shape for frame in read_video(tmp_path / "drawn.webm")} == {shape}


@pytest.mark.parametrize("suffix", sorted(VIDEO_FORMATS))
@pytest.mark.parametrize(
    ("size", "matrix", "tag"),
    [
        ((64, 720), "ITU709", 1),
        ((64, 720), "ITU601", 6),
        ((64, 720), "ITU709", 2),
        ((64, 48), "ITU709", 1),
        ((64, 48), "ITU601", 2),
    ],
)
def test_colours_are_those_that_players_show(tmp_path, suffix, size, matrix, tag):
    """Whether they read what the file tells, or go by its size."""
    if not encoder_is_there(VIDEO_FORMATS[suffix]):
        pytest.skip(f"PyAV has no encoder for {suffix}")
    source = write_green(tmp_path / "clip.mkv", size, matrix=matrix, tags=(tag, 9, 16))
    copy_as_it_is(source, tmp_path / f"drawn{suffix}")
    high = size[1] >= 720
    with av.open(str(tmp_path / f"drawn{suffix}")) as container:
        context = container.streams.video[0].codec_context
        assert context.colorspace in ((1,) if high else (5, 6))  # two names of one matrix
        assert (context.color_primaries, context.color_trc) == (9, 16)
        frame = next(container.decode(video=0))
        shown = frame.to_ndarray(format="rgb24", src_colorspace="ITU709" if high else "ITU601")
    np.testing.assert_allclose(shown[24, 32].astype(int), GREEN, atol=5)


def test_frames_without_a_time_follow_each_other_at_the_rate_of_the_video(tmp_path):
    source = write_video(tmp_path / "clip.mkv")
    with copied_video(source, tmp_path / "drawn.mkv") as write:
        for frame in read_video(source):
            write(frame.pixels, None)
    with av.open(str(tmp_path / "drawn.mkv")) as container:
        assert next(container.decode(video=0)).time == 0  # or the sound would come too early
    times = [frame.time for frame in read_video(tmp_path / "drawn.mkv")]
    assert np.ptp(np.diff(times)) < 0.002
    assert np.diff(times).min() > 0.01


def test_pictures_of_pil_and_names_in_text_are_taken(tmp_path):
    source, target = write_video(tmp_path / "clip.mp4"), tmp_path / "drawn.mp4"
    with copied_video(str(source), str(target)) as write:
        for seconds in (0, 0.5):
            write(Image.new("RGB", (64, 48)), seconds)
    assert [frame.pixels.shape for frame in read_video(target)] == [(48, 64, 3)] * 2


@pytest.mark.parametrize(
    "picture", [np.zeros((48, 64)), np.zeros((48, 64), np.uint8), Image.new("RGBA", (64, 48))]
)
def test_what_is_no_picture_in_rgb_is_named(tmp_path, picture):
    source, target = write_video(tmp_path / "clip.mp4"), tmp_path / "drawn.mp4"
    with (
        pytest.raises(ValueError, match=r"picture: expected uint8 \[H, W, 3\] in RGB"),
        copied_video(source, target) as write,
    ):
        write(picture, 0)
    assert not target.exists()


def test_sound_that_a_file_cannot_hold_is_left_out_with_a_warning(tmp_path):
    source = write_video(tmp_path / "clip.mkv", codec="pcm_s16le")
    with pytest.warns(ImageWarning, match=r"drawn\.webm: without its sound"):
        copy_as_it_is(source, tmp_path / "drawn.webm")
    assert len(list(read_video(tmp_path / "drawn.webm"))) == len(TIMES)


def test_an_error_of_ffmpeg_is_one_of_the_copy(tmp_path, monkeypatch):
    """The same one for who writes a picture and who leaves the context with it."""
    monkeypatch.setattr("s3fd.images.video_copy._TICK", Fraction(1, 2**31 - 1))
    monkeypatch.setattr("s3fd.images.video_copy.VIDEO_FORMATS", {".avi": "avi"})  # of MPEG-4
    source = write_video(tmp_path / "clip.mp4")
    copy = copied_video(source, tmp_path / "drawn.avi")
    write = copy.__enter__()
    with pytest.raises(ImageError, match=r"drawn\.avi: can't be written") as caught:
        write(np.zeros((48, 64, 3), np.uint8), 0)
    assert not copy.__exit__(caught.type, caught.value, caught.tb)  # no other one is raised
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


def test_mpeg4_stands_in_for_h264_at_the_same_times(tmp_path, monkeypatch):
    from s3fd.images import video_copy

    class Container:
        """One whose default is MPEG-4, as where FFmpeg was built without an encoder of H.264."""

        default_video_codec = "mpeg4"

        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

    class Copy(video_copy._Copy):
        def __init__(self, original, container, name):
            super().__init__(original, Container(container), name)

    monkeypatch.setattr(video_copy, "_Copy", Copy)
    source = write_video(tmp_path / "clip.mp4")
    copy_as_it_is(source, tmp_path / "drawn.mp4")
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    times = [frame.time for frame in read_video(tmp_path / "drawn.mp4")]
    assert times == pytest.approx([milliseconds / 1000 for milliseconds in TIMES], abs=0.002)


def test_a_copy_that_is_not_finished_leaves_no_file(tmp_path):
    source = write_video(tmp_path / "clip.mp4")
    with pytest.raises(KeyboardInterrupt):
        copy_as_it_is(source, tmp_path / "drawn.mp4", stop=KeyboardInterrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


def test_a_name_of_no_kind_of_video_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"drawn\.jpg: expected a name with one of the ends"):
        copied_video(tmp_path / "clip.mp4", tmp_path / "drawn.jpg").__enter__()
