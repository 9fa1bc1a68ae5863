"""A source of any length in, results in order out."""

import io
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import s3fd
from s3fd import FaceDetector
from s3fd.images import ImageError, ImageWarning, Source
from s3fd.images.sources import stream_images

ASTRONAUT = Path(s3fd.__file__).parent / "assets" / "astronaut.jpg"


@pytest.fixture(scope="module")
def detector():
    return FaceDetector.from_pretrained("light", "cpu")


@pytest.fixture(scope="module")
def face():
    """Without the rocket: what else is taken for a face, the tests of the weights ask."""
    shown = Image.new("RGB", (128, 128))
    shown.paste(Image.open(ASTRONAUT).convert("RGB").crop((0, 0, 384, 512)).resize((96, 128)))
    return shown


@pytest.fixture
def folder(tmp_path, face):
    """Six photos of a face that is shifted from one to the next; the third and the last are bad."""
    for number in range(6):
        photo = Image.new("RGB", (160, 140))
        photo.paste(face, (4 * number, 2 * number))
        photo.save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no photo")
    (tmp_path / "5.png").write_bytes(b"")
    return tmp_path


def check_same(results, expected):
    """The same faces, but for the rounding of other batches."""
    assert [faces.image_size for faces in results] == [faces.image_size for faces in expected]
    for found, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(found.boxes, wanted.boxes, atol=0.01, rtol=0)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)


def good(folder):
    return [folder / f"{number}.png" for number in (0, 1, 3, 4)]


def test_a_folder_a_glob_and_a_list_give_the_same_results_in_order(detector, folder):
    expected = [detector(path) for path in good(folder)]
    assert [len(faces) for faces in expected] == [1, 1, 1, 1]
    for number in (2, 5):
        (folder / f"{number}.png").unlink()
    for source in (folder, str(folder), f"{folder}/*.png", good(folder), iter(good(folder))):
        results = list(detector.stream(source))
        check_same(results, expected)
        assert [faces.source.path for faces in results] == good(folder)
        assert [faces.source.index for faces in results] == [0, 1, 2, 3]


def test_results_before_an_image_that_cannot_be_read_are_not_lost(detector, folder):
    results = detector.stream(folder)
    assert [next(results).source.path.name for _ in range(2)] == ["0.png", "1.png"]
    with pytest.raises(ImageError, match=r"2\.png: not a picture"):
        next(results)


def test_a_photo_that_is_missing_far_down_the_list_costs_nothing_before_it(detector, folder):
    paths = [folder / "0.png"] * 39 + [folder / "gone.png"] + [folder / "0.png"] * 3
    seen = []
    with pytest.raises(FileNotFoundError, match=r"gone\.png: there is no such file"):  # noqa: PT012
        for faces in detector.stream(paths):
            seen.append(faces)
    assert len(seen) == 39
    with pytest.warns(ImageWarning, match=r"skipped: .*gone\.png: there is no such file"):
        assert len(list(detector.stream(paths, on_error="skip"))) == 42


def test_skipped_images_are_told_in_their_order(detector, folder):
    with pytest.warns(ImageWarning) as warned:
        results = list(detector.stream(folder, on_error="skip"))
    assert [faces.source.path for faces in results] == good(folder)
    assert [str(w.message).split(": ")[1] for w in warned] == [
        str(folder / "2.png"),
        str(folder / "5.png"),
    ]
    told = []
    for faces in detector.stream(folder, on_error=lambda *problem: told.append(problem)):
        told.append(faces.source.index)
    assert [x if isinstance(x, int) else (x[0].path.name, type(x[1])) for x in told] == [
        *(0, 1, ("2.png", ImageError), 3, 4, ("5.png", ImageError))
    ]


def test_lists_may_hold_images_files_folders_and_globs(detector, folder, face):
    (folder / "below").mkdir()
    (folder / "0.png").rename(folder / "below" / "0.png")
    buffer = io.BytesIO()
    face.save(buffer, "PNG")
    mixed = [folder / "below", face, f"{folder}/1*", np.asarray(face), buffer, buffer.getvalue()]
    results = list(detector.stream(mixed))
    assert [str(faces.source) for faces in results] == [
        str(folder / "below" / "0.png"),
        "images[1]",
        str(folder / "1.png"),
        *("images[3]", "images[4]", "images[5]"),
    ]
    check_same([results[i] for i in (1, 3, 4, 5)], [detector(face)] * 4)


def test_only_text_is_a_glob(detector, tmp_path, face):
    face.save(tmp_path / "p1.png")
    missing = tmp_path / "p[1].png"
    (found,) = detector.stream(str(missing))
    assert found.source.path == tmp_path / "p1.png"
    for source in (missing, [missing]):
        with pytest.raises(FileNotFoundError, match=r"p\[1\]\.png: there is no .* globs, as text"):
            next(detector.stream(source))
    face.crop((0, 0, 100, 128)).save(missing)
    for source in (missing, str(missing), [missing]):
        (found,) = detector.stream(source)
        assert found.source.path == missing
    (tmp_path / "q[1]").mkdir()
    face.save(tmp_path / "q[1]" / "0.png")
    assert [len(faces) for faces in detector.stream(tmp_path / "q[1]")] == [1]


def test_an_array_of_names_or_of_pictures_is_a_list(detector, folder, face):
    paths = good(folder)[:2]
    expected = [detector(path) for path in paths]
    names = np.array([str(path) for path in paths])
    pictures = np.empty(2, dtype=object)
    pictures[:] = [Image.open(path) for path in paths]
    for given in (names, names.astype(object), pictures):
        check_same(list(detector.stream(given)), expected)
        check_same(detector(given), expected)


def test_one_image_and_a_batch_are_sources_too(detector, face):
    pixels = np.asarray(face)
    for source in (face, pixels):
        check_same(list(detector.stream(source)), [detector(face)])
    batch = np.stack([pixels, pixels[:, ::-1]])
    expected = detector([batch[0], batch[1]])
    tensor = torch.from_numpy(batch.copy()).permute(0, 3, 1, 2)
    for form in (batch, tensor):
        check_same(detector(form), expected)
        check_same(list(detector.stream(form)), expected)
    assert detector(batch[:0]) == []
    bgr = batch[..., ::-1]
    check_same(detector(bgr, channel_order="BGR"), expected)
    check_same(list(detector.stream(bgr, channel_order="BGR")), expected)


def test_a_generator_may_use_its_array_again_and_close_its_files(detector, folder):
    def photos():
        pixels = np.empty((140, 160, 3), np.uint8)
        for path in good(folder):
            pixels[:] = np.asarray(Image.open(path))
            yield pixels

    def files():
        for path in good(folder):
            with path.open("rb") as file:
                yield file

    def pictures():
        for path in good(folder):
            with Image.open(path) as image:
                yield image

    expected = [detector(path) for path in good(folder)]
    for source in (photos, files, pictures):
        check_same(list(detector.stream(source())), expected)
        check_same(detector(source()), expected)


def test_an_error_of_the_generator_comes_after_the_results_of_what_it_gave(detector, face):
    def images():
        yield face
        yield face
        raise ConnectionError("the line is dead")

    results = detector.stream(images(), on_error="skip")
    assert [len(next(results)) for _ in range(2)] == [1, 1]
    with pytest.raises(ConnectionError, match="the line is dead"):
        next(results)


def test_a_tensor_without_memory_for_its_pixels_is_skipped_as_others_are(detector, face):
    sparse = torch.zeros(3, 40, 50).to_sparse()
    with pytest.warns(ImageWarning, match=r"skipped: source\[1\]: .*\.to_dense\(\)"):
        found = list(detector.stream(iter([face, sparse, face]), on_error="skip"))
    assert [len(faces) for faces in found] == [1, 1]


def test_a_long_generator_is_taken_as_it_is_needed(detector):
    taken = 0

    def images():
        nonlocal taken
        while taken < 10_000:
            taken += 1
            yield np.zeros((32, 32, 3), np.uint8)

    before = threading.active_count()
    results = detector.stream(images(), batch_size=2)
    for _ in range(20):
        next(results)
    assert taken <= 20 + 2 * 8
    results.close()
    assert threading.active_count() == before


def test_photos_of_a_generator_are_let_go_when_they_are_shrunk(detector):
    """Sixty-four of them, those of two batches, would be 1.6 GB."""
    copies, most = [], []

    class Photo(np.ndarray):
        def copy(self, order="C"):
            copied = np.array(self).view(Photo)
            copies.append(weakref.ref(copied))
            return copied

    def photos():
        large = np.zeros((2900, 2900, 3), np.uint8).view(Photo)
        for _ in range(40):
            most.append(sum(copy() is not None for copy in copies))
            yield large

    assert len(list(detector.stream(photos(), max_size=64))) == 40
    assert max(most) <= 2**28 // (2900 * 2900 * 3) + 3


def test_images_are_kept_where_that_is_asked_for(detector, folder, face):
    (kept,) = detector.stream(np.asarray(face), keep_images=True)
    np.testing.assert_array_equal(kept.image, np.asarray(face))
    assert kept.draw() == kept.draw(face)
    (faces,) = detector.stream(folder / "1.png")
    assert faces.image is None
    assert faces.draw() == faces.draw(folder / "1.png")


@pytest.mark.parametrize("multi_scale", [False, True])
@pytest.mark.parametrize("kind", ["file", "picture", "array"])
def test_a_dark_photo_is_told_once(detector, tmp_path, kind, multi_scale):
    dark = np.ones((40, 50, 3), np.uint8)
    picture = Image.fromarray(dark)
    picture.save(tmp_path / "dark.png")
    image = {"file": tmp_path / "dark.png", "picture": picture, "array": dark}[kind]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        (faces,) = detector.stream([image], keep_images=True, multi_scale=multi_scale)
        assert faces.draw().size == (50, 40)
        assert faces.crops() == []
    (warning,) = told
    name = str(tmp_path / "dark.png") if kind == "file" else "source[0]"
    assert str(warning.message).startswith(f"{name}: nearly black")


def test_several_scales_are_searched_where_that_is_asked_for(detector, face):
    settings = {"max_pixels": 60_000, "score_threshold": 0.3}
    found = list(detector.stream([face, face], multi_scale=True, **settings))
    check_same(found, detector.detect_multiscale([face, face], **settings))


def test_the_settings_are_those_of_a_call(detector, folder):
    settings = {"score_threshold": 0.01, "max_size": 96, "min_face": 30, "batch_size": 3}
    check_same(list(detector.stream(good(folder), **settings)), detector(good(folder), **settings))


def test_any_size_of_batch_is_one(detector, face):
    expected = [detector(face)] * 5
    for size in (1, 2, 5, 10**19):
        check_same(detector([face] * 5, batch_size=size), expected)


def test_a_folder_says_what_it_holds_that_cannot_be_read(detector, folder):
    (folder / "photo.dng").write_bytes(b"x")
    with pytest.warns(ImageWarning, match=r"passed over 1 \.dng"):
        next(detector.stream(folder))


@pytest.mark.parametrize("source", ["empty", "empty/*.jpg", "gone.jpg", "", "gone.mp4", "x" * 5000])
def test_a_source_with_nothing_in_it_says_so(detector, tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        (FileNotFoundError, ImageError), match=r"no such|no photo|no file|empty one"
    ):
        list(detector.stream(source and str(tmp_path / source)))


def test_a_photo_that_goes_away_meanwhile_is_an_error_of_its_own(detector, folder):
    images = stream_images(folder, "RGB")
    next(images)
    (folder / "4.png").unlink()
    told = []
    results = detector.stream(folder, on_error=lambda source, error: told.append(source.path.name))
    assert [faces.source.path.name for faces in results] == ["0.png", "1.png", "3.png"]
    assert told == ["2.png", "5.png"]
    with pytest.raises(FileNotFoundError, match=r"4\.png"):
        [image.read() for image in images if image.source.path.name == "4.png"]


def test_every_result_knows_its_source(detector, folder, face):
    assert detector(folder / "0.png").source == Source(0, folder / "0.png")
    assert detector([face, str(folder / "0.png")])[1].source == Source(1, folder / "0.png")
    assert detector(face).source == Source(0)
    assert detector.detect_multiscale(face, max_pixels=20_000).source == Source(0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d.stream(None), TypeError, "source: expected an image .* got NoneType"),
        (lambda d: d.stream({"a": 1}), TypeError, "source: expected an image .* got dict"),
        (lambda d: d.stream(True), TypeError, "source: expected an image .* got bool"),
        (lambda d: d.stream([], on_error="ignore"), ValueError, "on_error: expected 'raise'"),
        (lambda d: d.stream([], channel_order="GRB"), ValueError, "channel_order: expected"),
        (lambda d: d.stream([], max_size=0), ValueError, "max_size"),
        (lambda d: d.stream([], max_pixels=9), TypeError, "max_pixels: no setting of a search"),
        (lambda d: d.stream([], multi_scale=True, max_size=9), TypeError, "max_size: no setting"),
        (lambda d: d.stream([], threshold=0.5), TypeError, "threshold: no setting"),
    ],
)
def test_a_wrong_argument_is_named_at_once(detector, call, error, message):
    with pytest.raises(error, match=message):
        call(detector)


def write_clip(folder, frames):
    """A video of ten frames a second, good enough to find faces in."""
    av = pytest.importorskip("av", reason="the extra `video`, for which PyAV is needed")
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    return folder / "clip.mp4"


def test_frames_of_a_video_know_their_times(detector, tmp_path, face):
    frames = [Image.new("RGB", (160, 128)) for _ in range(12)]
    for number, frame in enumerate(frames):
        frame.paste(face, (2 * number, 0))
    clip = write_clip(tmp_path, frames)
    results = list(detector.stream([clip, face], batch_size=2, keep_images=True))
    assert [faces.source.frame for faces in results] == [*range(12), None]
    np.testing.assert_allclose([f.source.time for f in results[:-1]], np.arange(12) / 10, atol=0.01)
    assert str(results[3].source) == f"{clip}, frame 3 (0.300 s)"
    assert [len(faces) for faces in results] == [1] * 13
    # By two pixels a frame: one frame too early or too late would be as far off.
    lefts = np.array([faces.boxes[0, 0].item() for faces in results[:-1]])
    np.testing.assert_allclose(lefts - lefts[0], 2 * np.arange(12), atol=1.5)
    assert results[5].draw().size == (160, 128)


def test_a_video_or_camera_that_cannot_be_read_does_not_end_the_rest(detector, tmp_path, face):
    pytest.importorskip("av", reason="the extra `video`, for which PyAV is needed")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    told = []
    results = detector.stream([tmp_path / "bad.mp4", face], on_error=lambda s, e: told.append(s))
    assert [len(faces) for faces in results] == [1]
    assert told == [Source(0, tmp_path / "bad.mp4", frame=0)]
    with pytest.raises(ImageError, match="camera 97: there is no such camera"):
        next(detector.stream(97))


def test_leaving_a_video_early_ends_its_thread(detector, tmp_path):
    clip = write_clip(tmp_path, [Image.new("RGB", (64, 64))] * 100)
    before = threading.active_count()
    results = detector.stream(clip, batch_size=1)
    assert next(results).source.frame == 0
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_a_camera_gives_its_newest_frames(detector, tmp_path, monkeypatch, face):
    clip = write_clip(tmp_path, [face] * 30)
    device = (str(clip), None)  # a file in place of a camera: all frames at once
    monkeypatch.setattr("s3fd.images.video._camera_device", lambda index: device)
    sources = [faces.source for faces in detector.stream(0)]
    frames = [source.frame for source in sources]
    assert frames == sorted(set(frames))
    assert frames[-1] == 29
    assert len(frames) <= 30
    assert all(source.path is None and source.time >= 0 for source in sources)
    assert str(sources[-1]).startswith("camera, frame 29 (")


def test_what_reads_but_is_no_file_is_refused(detector):
    class Capture:
        """As OpenCV has them."""

        def read(self):
            return True, np.zeros((9, 9, 3), np.uint8)

    with pytest.raises(TypeError, match=r"source: expected an image .* got Capture"):
        detector.stream(Capture())


def test_nothing_is_said_about_photos_that_are_fine(detector, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(detector.stream(good(folder)))) == 4
