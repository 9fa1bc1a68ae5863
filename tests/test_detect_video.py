"""``s3fd detect`` on videos."""

import json

import numpy as np
import pytest
from PIL import Image

from s3fd.commands import detect_report
from s3fd.images.video import read_video
from s3fd.models import pretrained_path

av = pytest.importorskip("av", reason="the extra `video`, for which PyAV is needed")

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"


@pytest.fixture
def clip(tmp_path):
    """Six frames of a face that goes to the right, and a tone."""
    face = Image.open(ASTRONAUT).resize((128, 128))
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt, video.bit_rate = 192, 128, "yuv420p", 4_000_000
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(6):
            photo = Image.new("RGB", (192, 128))
            photo.paste(face, (10 * number, 0))
            container.mux(video.encode(av.VideoFrame.from_image(photo)))
        audio = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        audio.sample_rate, audio.pts = 16000, 0
        container.mux(sound.encode(audio))
        container.mux(sound.encode())
        container.mux(video.encode())
    return tmp_path / "clip.mp4"


def test_a_video_gives_a_line_a_frame_and_a_copy_with_its_sound(run, clip, tmp_path):
    result = run(
        "detect", clip, ASTRONAUT, "--out", tmp_path / "out", "--json", tmp_path / "f.jsonl"
    )
    assert result.exit_code == 0, result.stderr
    assert "7 faces in 1 photo and 1 video of 6 frames" in result.stdout
    *frames, photo = map(json.loads, (tmp_path / "f.jsonl").read_text().splitlines())
    assert [(f["video"], f["frame"]) for f in frames] == [(str(clip), i) for i in range(6)]
    assert [f["time"] for f in frames] == pytest.approx([i / 10 for i in range(6)], abs=0.01)
    lefts = [f["faces"][0]["box"][0] for f in frames]
    np.testing.assert_allclose(np.diff(lefts), 10, atol=3)
    assert photo["photo"] == str(ASTRONAUT)
    drawn = tmp_path / "out" / "clip-faces.mp4"
    assert frames[0]["drawn"] == str(drawn)
    copies, originals = list(read_video(drawn)), list(read_video(clip))
    assert [c.time for c in copies] == pytest.approx([o.time for o in originals], abs=0.002)
    assert all(
        np.abs(c.pixels.astype(int) - o.pixels).max() > 100
        for c, o in zip(copies, originals, strict=True)
    )
    with av.open(str(drawn)) as container:
        assert len(container.streams.audio) == 1


def test_a_video_that_breaks_off_is_an_error_beside_what_was_found(run, clip, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(clip.read_bytes()[:-300])
    result = run("detect", tmp_path / "bad.mp4", clip, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.mp4: can't be opened" in result.stderr
    assert "6 faces in 1 video of 6 frames, 1 error" in result.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip-faces.mp4"]


NO_SPACE = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("error", "message", "closing"),
    [
        (NO_SPACE, "mp4 can't be written (No space left on device)", None),
        (av.ArgumentError(22, "invalid"), "mp4: can't be written (invalid)", None),
        (av.ExternalError(1, "no preset"), "mp4: can't be written (no preset)", None),
        (av.ExternalError(1, "no preset"), "mp4: can't be written (no preset)", NO_SPACE),
        (NO_SPACE, "mp4 can't be written (No space left on device)", av.ExternalError(1, "no end")),
    ],
)
def test_a_copy_that_cannot_be_written_is_an_error_and_its_faces_are_kept(
    run, clip, tmp_path, monkeypatch, error, message, closing
):
    def fails(*_):
        raise error

    class Container:
        """Fails when it is closed, too."""

        def __init__(self, container):
            self._container = container

        def __enter__(self):
            return self._container.__enter__()

        def __exit__(self, *_):
            self._container.close()
            if closing is not None:
                raise closing

    open_any = av.open

    def open_failing(file, mode="r", **options):
        container = open_any(file, mode, **options)
        return container if mode == "r" else Container(container)

    monkeypatch.setattr(av, "open", open_failing)
    monkeypatch.setattr("s3fd.images.video_copy._Copy.write", fails)
    result = run("detect", clip, ASTRONAUT, "--out", tmp_path / "out", "--json", "-")
    assert result.exit_code == 1
    assert f"clip-faces.{message}" in result.stderr
    assert result.stderr.count("error: ") == 1
    assert len([line for line in result.stdout.splitlines() if '"frame"' in line]) == 6
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["astronaut-faces.jpg"]


def test_a_copy_is_whole_before_the_line_of_another_file(run, clip, tmp_path, monkeypatch):
    (tmp_path / "broken.jpg").write_text("no photo")
    whole = []

    def noting(kind, text, *rest):
        if "broken.jpg" in text:
            whole.append((tmp_path / "out" / "clip-faces.mp4").is_file())
        say(kind, text, *rest)

    say = detect_report.say
    monkeypatch.setattr(detect_report, "say", noting)
    assert run("detect", clip, tmp_path / "broken.jpg", "--out", tmp_path / "out").exit_code == 1
    assert whole == [True]


def test_a_copy_with_too_long_a_name_is_an_error_and_the_others_are_done(run, tmp_path):
    names = "x" * 248, "y"
    for name in names:
        (tmp_path / f"{name}.jpg").write_bytes(ASTRONAUT.read_bytes())
    result = run("detect", tmp_path, "--out", tmp_path / "out", "--json", "-")
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 1
    assert "can't be written (File name too long)" in " ".join(result.stderr.split())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["y-faces.jpg"]
    assert result.stdout.count('"photo"') == 1, "with --resume the other one would be tried again"


def test_an_avi_has_a_copy_in_mp4(run, clip, tmp_path):
    with av.open(str(tmp_path / "old.avi"), "w") as container:
        video = container.add_stream("mjpeg", rate=10)
        video.width, video.height, video.pix_fmt = 192, 128, "yuvj420p"
        for frame in read_video(clip):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame.pixels, "rgb24")))
        container.mux(video.encode())
    result = run("detect", tmp_path / "old.avi", ASTRONAUT, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    drawn = tmp_path / "out" / "old-faces.mp4"
    assert [frame.time for frame in read_video(drawn)] == pytest.approx(
        [number / 10 for number in range(6)], abs=0.001
    )
