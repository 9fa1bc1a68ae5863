"""Videos, which the tests make themselves."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from s3fd.images import ImageError, ImageWarning, video
from s3fd.images.video import read_camera, read_video

av = pytest.importorskip("av", reason="the extra `video`, for which PyAV is needed")

TIMES = [0, 40, 80, 200, 240, 900]  # in ms: not at equal distances


def frame(number, size=(64, 48)):
    """Brighter from frame to frame, with a white square on the top left."""
    pixels = np.full((size[1], size[0], 3), 20 + 10 * number, np.uint8)
    pixels[:16, :16] = 255
    return pixels


def write_video(path, times=TIMES, rotation=0, first=0, options=None):
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, milliseconds in enumerate(times):
            picture = av.VideoFrame.from_ndarray(frame(number % 20), format="rgb24")
            picture.pts, picture.time_base = first + milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_every_frame_comes_with_its_own_time(tmp_path, suffix):
    frames = list(read_video(write_video(tmp_path / f"clip.{suffix}")))
    assert [f.number for f in frames] == list(range(len(TIMES)))
    np.testing.assert_allclose([f.time for f in frames], np.array(TIMES) / 1000, atol=0.002)
    for number, read in enumerate(frames):
        np.testing.assert_allclose(read.pixels.astype(int), frame(number), atol=12)


def test_times_count_from_the_first_frame(tmp_path):
    frames = list(read_video(write_video(tmp_path / "clip.mkv", first=5000)))
    assert frames[0].time == pytest.approx(0, abs=0.002)
    assert frames[-1].time == pytest.approx(0.9, abs=0.002)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_frames_are_turned_upright(tmp_path, rotation):
    (read,) = read_video(write_video(tmp_path / "clip.mp4", times=[0], rotation=rotation))
    expected = np.rot90(frame(0), rotation // 90)
    assert read.pixels.shape == expected.shape
    np.testing.assert_allclose(read.pixels.astype(int), expected, atol=12)


@pytest.mark.parametrize(("rows", "matrix"), [(576, "ITU601"), (720, "ITU709")])
def test_colours_are_those_of_the_size_where_a_video_does_not_tell(tmp_path, rows, matrix):
    colour = (39, 199, 58)
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, rows, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((rows, 64, 3), colour, np.uint8), "rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=matrix)
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    (read,) = read_video(tmp_path / "clip.mkv")
    np.testing.assert_allclose(read.pixels[rows // 2, 32].astype(int), colour, atol=4)


def test_a_video_without_its_end_gives_the_frames_before_with_a_warning(tmp_path):
    times = range(0, 8000, 40)
    whole = write_video(tmp_path / "whole.mkv", times).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(ImageWarning, match=r"cut\.mkv: cut short: it ends after .* of 8\.0 seconds"):
        frames = list(read_video(tmp_path / "cut.mkv"))
    assert 60 <= len(frames) <= 140


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_the_last_seconds_of_a_long_video_are_missed(tmp_path, suffix):
    path = write_video(
        tmp_path / f"clip.{suffix}", range(0, 60_000, 100), options={"movflags": "faststart"}
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 95 // 100])
    with pytest.warns(
        ImageWarning, match=r"clip\.\w+: cut short: it ends after 5\d\.\d of 59\.9 s"
    ):
        frames = list(read_video(path))
    assert 500 < len(frames) < 590


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_may_outlast_the_pictures(tmp_path, suffix, recwarn):
    with av.open(str(tmp_path / f"clip.{suffix}"), "w") as container:
        pictures = container.add_stream("mpeg4", rate=1)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(frame(number), format="rgb24")
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), "s16", "mono")
        silence.sample_rate = 16000
        for _ in range(22):
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
    assert len(list(read_video(tmp_path / f"clip.{suffix}"))) == 20
    assert not [w for w in recwarn if issubclass(w.category, ImageWarning)]


def test_damaged_parts_are_left_out_with_a_warning_or_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4", range(0, 4000, 40), options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.warns(ImageWarning):
        frames = list(read_video(tmp_path / "cut.mp4"))
    assert 10 <= len(frames) <= 60


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi", "ts"])
def test_damage_in_the_middle_is_told(tmp_path, suffix):
    path = write_video(tmp_path / f"clip.{suffix}", range(0, 8000, 40))
    data = bytearray(path.read_bytes())
    start, end = len(data) * 3 // 10, len(data) // 2
    data[start:end] = np.random.default_rng(0).bytes(end - start)
    path.write_bytes(data)
    with pytest.warns(ImageWarning, match=r"clip\.\w+: \d+ of its packets are damaged"):
        frames = list(read_video(path))
    assert 50 <= len(frames) < 200


def test_seconds_that_a_file_lost_without_a_word_are_told(tmp_path):
    path = write_video(tmp_path / "clip.mkv", [*range(0, 2000, 40), *range(5000, 7000, 40)])
    with pytest.warns(ImageWarning, match=r"clip\.mkv: for 3\.0 seconds there are no frames"):
        assert len(list(read_video(path))) == 100


def test_a_frame_that_stands_for_seconds_is_no_damage(tmp_path, recwarn):
    times = [*range(0, 2000, 40), *range(5000, 7000, 40)]
    assert len(list(read_video(write_video(tmp_path / "clip.mp4", times)))) == 100
    assert not [w for w in recwarn if issubclass(w.category, ImageWarning)]


def test_what_is_no_video_says_so(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(ImageError, match=r"no\.mp4: can't be opened, or is of a kind"):
        next(read_video(tmp_path / "no.mp4"))
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4: there is no such file"):
        next(read_video(tmp_path / "gone.mp4"))
    path = write_video(tmp_path / "clip.mp4")  # whose list of frames comes last
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError, match=r"clip\.mp4: can't be opened"):
        next(read_video(path))


@pytest.mark.parametrize("suffix", ["avi", "m2ts", "m4v", "mov", "mpg", "ts", "wmv", "3gp"])
def test_videos_of_all_kinds_are_read(tmp_path, suffix):
    times = [40 * number for number in range(6)]  # some have a rate alone
    assert len(list(read_video(write_video(tmp_path / f"clip.{suffix}", times)))) == 6


def test_a_list_of_other_videos_is_none(tmp_path):
    write_video(tmp_path / "other.mp4")
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(ImageError, match=r"clip\.mp4: can't be opened, or is of a kind"):
        list(read_video(tmp_path / "clip.mp4"))


def test_a_name_with_a_colon_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("clip.mp4")
    Path("clip.mp4").rename("10:30.mp4")
    assert len(list(read_video(Path("10:30.mp4")))) == len(TIMES)


def test_a_file_of_sound_alone_is_named(tmp_path):
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(ImageError, match=r"sound\.mkv: a file without pictures"):
        next(read_video(tmp_path / "sound.mkv"))


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(ImageError, match="camera 97: there is no such camera"):
        next(read_camera(97))


def test_without_pyav_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(video.sys.modules, "av", None)
    with pytest.raises(ImageError, match=r"clip\.mp4: .* pip install 's3fd\[video\]'"):
        next(read_video(write_nothing(tmp_path / "clip.mp4")))


def write_nothing(path):
    path.write_bytes(b"x")
    return path
