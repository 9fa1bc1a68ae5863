"""From images of any kind and size to boxes in their own pixels."""

import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from marks import FindsMarks
from PIL import Image

from s3fd import Detections, FaceDetector
from s3fd.models import S3FD, save_checkpoint


class FindsBrightSquares(FindsMarks):
    """Finds the white pixels of an image."""

    def preprocess(self, images):
        return images.float() - 100

    def marks(self, image):
        return [((image > 100).all(dim=0), 20.0)]


def photo(width, height, box=None):
    image = Image.new("RGB", (width, height), (60, 60, 60))
    if box is not None:
        image.paste((255, 255, 255), box)
    return image


@pytest.fixture
def detector():
    return FaceDetector(FindsBrightSquares(), device="cpu")


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (333, 250), (640, 480), (31, 700)])
def test_boxes_come_in_pixels_of_the_image(detector, size):
    box = (5, 8, 29, 30)
    found = detector(photo(*size, box))
    assert found.image_size == size[::-1]
    np.testing.assert_allclose(found.boxes, [box], atol=1e-3)


def test_a_shrunk_image_gives_boxes_in_its_original_pixels(detector):
    box = (400, 600, 1200, 1400)
    found = detector(photo(2000, 3000, box), max_size=500)
    assert max(detector.model.batches[-1][2:]) == 512
    np.testing.assert_allclose(found.boxes, [box], atol=6)


def test_an_image_is_never_enlarged(detector):
    detector(photo(100, 60), max_size=1000)
    assert detector.model.batches[-1] == (1, 3, 64, 128)


def test_small_faces_are_dropped_and_their_images_shrunk(detector):
    image = photo(1600, 1600, (100, 100, 180, 180))
    assert len(detector(image, min_face=81, max_size=None)) == 0
    assert len(detector(image, min_face=70, max_size=None)) == 1
    assert max(detector.model.batches[-1][2:]) < 400


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (31, 31), (20001, 40)])
def test_the_tiniest_and_the_longest_images_work(detector, size):
    found = detector(photo(*size))
    assert len(found) == 0
    assert found.image_size == size[::-1]


def test_a_list_gives_a_list_and_an_image_its_detections(detector):
    assert isinstance(detector(photo(64, 64)), Detections)
    assert detector([]) == []
    assert len(detector([photo(64, 64)])) == 1
    assert len(detector(image for image in [photo(64, 64)] * 3)) == 3


def test_images_of_all_kinds_and_sizes_are_mixed_in_one_call(detector, tmp_path):
    box = (10, 12, 40, 44)
    photo(90, 70, box).save(tmp_path / "file.png")
    images = [
        tmp_path / "file.png",
        photo(200, 333, box),
        np.asarray(photo(90, 70, box)),
        torch.from_numpy(np.array(photo(64, 50, box))).permute(2, 0, 1),
        photo(90, 70),
    ]
    found = detector(images)
    for image, detections in zip(images[:4], found, strict=False):
        np.testing.assert_allclose(detections.boxes, [box], atol=1e-3)
        assert detections == detector(image)
    assert len(found[4]) == 0


def test_images_of_one_size_go_through_the_network_together(detector):
    detector([photo(64, 64)] * 5 + [photo(200, 64)] * 2, batch_size=4)
    assert sorted(shape[0] for shape in detector.model.batches) == [1, 2, 4]


def test_exif_orientation_is_honoured(detector, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: width and height change places
    photo(120, 80, (8, 16, 40, 48)).save(tmp_path / "turned.png", exif=exif)
    found = detector(tmp_path / "turned.png")
    assert found.image_size == (120, 80)
    np.testing.assert_allclose(found.boxes, [(80 - 48, 8, 80 - 16, 40)], atol=1e-3)


def test_what_is_found_does_not_depend_on_the_rest_of_the_call():
    torch.manual_seed(0)
    detector = FaceDetector(S3FD("light"), device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in [(60, 80), (64, 96), (61, 70)]]
    together = detector(images, score_threshold=0.3)
    for image, detections in zip(images, together, strict=True):
        alone = detector(image, score_threshold=0.3)
        assert len(alone) == len(detections)
        torch.testing.assert_close(alone.scores, detections.scores, atol=1e-4, rtol=0)


def test_the_model_that_is_passed_may_be_trained_on():
    model = S3FD("light").train()
    FaceDetector(model, device="cpu")
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_several_threads_may_call_it(detector):
    image, results = photo(100, 100, (20, 20, 60, 60)), []
    threads = [threading.Thread(target=lambda: results.append(detector(image))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def test_a_detector_says_what_it_is_and_moves():
    detector = FaceDetector.from_pretrained("light", "cpu", precision="bfloat16")
    assert repr(detector) == "FaceDetector('light', device='cpu', precision='bfloat16')"
    assert detector.to("cpu") is detector.warmup((40, 50), batch_size=2) is detector
    assert detector.device == torch.device("cpu")


def test_the_warmup_runs_what_it_is_asked_to(detector):
    detector.warmup((100, 200), batch_size=3)
    assert detector.model.batches == [(3, 3, 128, 224)]


def test_torchs_default_device_does_not_matter():
    image = np.zeros((40, 50, 3), np.uint8)
    with torch.device("meta"):
        detector = FaceDetector.from_pretrained("light", device="cpu")
        assert len(detector(image)) == len(detector(image, min_face=10)) == 0
        assert len(detector.detect_multiscale(image, max_pixels=9999)) == 0


def test_a_file_of_weights_is_loaded(tmp_path):
    save_checkpoint(S3FD("light"), tmp_path / "mine.safetensors")
    detector = FaceDetector.from_pretrained(tmp_path / "mine.safetensors", device="cpu")
    assert isinstance(detector(photo(64, 64)), Detections)


@pytest.mark.parametrize("size", [10**19, np.int64(2**62)])
def test_a_batch_may_be_larger_than_any_memory(detector, size):
    images = [photo(64, 64)] * 2
    assert len(detector(images, batch_size=size)) == 2
    assert len(detector(images, batch_size=size, max_size=None)) == 2
    assert len(detector.detect_multiscale(images, batch_size=size, max_pixels=9999)) == 2
    assert len(list(detector.stream(images, batch_size=size, keep_images=True))) == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d(None), TypeError, "images: expected an image"),
        (lambda d: d({"a": 1}), TypeError, "images: expected an image"),
        (lambda d: d("gone.jpg"), FileNotFoundError, r"images: gone\.jpg: there is no such file"),
        (lambda d: d([photo(9, 9), None]), TypeError, r"images\[1\]: expected a path"),
        (lambda d: d([np.zeros((2, 2, 7), np.uint8)]), ValueError, r"images\[0\]"),
        (lambda d: d(photo(9, 9), score_threshold=2), ValueError, "score_threshold"),
        (lambda d: d(photo(9, 9), iou_threshold=-1), ValueError, "iou_threshold"),
        (lambda d: d(photo(9, 9), max_size=0), ValueError, "max_size"),
        (lambda d: d(photo(9, 9), max_size=10**400), ValueError, "max_size"),
        (lambda d: d(photo(9, 9), min_face=10**400), ValueError, "min_face"),
        (lambda d: d.detect_multiscale(photo(9, 9), max_pixels=10**400), ValueError, "max_pixels"),
        (lambda d: d(photo(9, 9), min_face=-3), ValueError, "min_face"),
        (lambda d: d(photo(9, 9), batch_size=0), ValueError, "batch_size"),
        (lambda d: d(""), ValueError, "images: expected the path of a photo, got an empty one"),
        (lambda d: d(torch.zeros(3, 8, 8, device="meta")), ValueError, "images: .* meta device"),
        (lambda d: d([torch.zeros(3, 8, 8).to_sparse()]), ValueError, r"images\[0\]: .*to_dense"),
        (lambda d: d(b"no photo"), ValueError, "images: not a picture"),
        (lambda d: d(photo(9, 9), channel_order="rgb"), ValueError, "channel_order: expected"),
        (lambda d: d.warmup((9, -1)), ValueError, "image_size"),
        (lambda d: d.warmup((0, 9)), ValueError, r"image_size: .*at least one pixel, got \(0, 9\)"),
        (lambda d: d.warmup(batch_size="2"), TypeError, "batch_size: expected an integer >= 1"),
        (lambda d: d.warmup(batch_size=1.5), TypeError, "batch_size: expected an integer >= 1"),
        (lambda d: d.warmup(batch_size=0), ValueError, "batch_size: expected an integer >= 1"),
        (lambda d: d.to(torch.float16), ValueError, "device: expected .*; .*precision='float16'"),
        (lambda d: d.to("abacus"), ValueError, "device: expected"),
        (
            lambda d: FaceDetector(FindsBrightSquares(), "cpu", precision="int8"),
            ValueError,
            "precision: expected 'auto', 'float32'",
        ),
        (lambda d: FaceDetector("light"), TypeError, "model: expected a network, got str; .*pretr"),
        (
            lambda d: FaceDetector(torch.nn.DataParallel(S3FD())),
            TypeError,
            r"model: expected an S3FD, got DataParallel; pass the network inside it \(\.module\)",
        ),
        (lambda d: FaceDetector(torch.nn.Linear(1, 1)), TypeError, "an S3FD, got Linear$"),
        (
            lambda d: FaceDetector.from_pretrained(S3FD()),
            TypeError,
            r"name_or_path: expected .*, got S3FD; FaceDetector\(model\) takes a network",
        ),
        (lambda d: FaceDetector.from_pretrained(None), TypeError, "name_or_path: .* NoneType$"),
        (lambda d: FaceDetector.from_pretrained(b"light"), TypeError, "name_or_path: .* bytes$"),
        (lambda d: FaceDetector.from_pretrained("heavy"), FileNotFoundError, "heavy"),
        (lambda d: FaceDetector.from_pretrained(__file__), ValueError, "expected a safetensors"),
        (lambda d: FaceDetector(FindsBrightSquares(), "abacus"), ValueError, "device: expected"),
    ],
)
def test_bad_arguments_are_named(detector, call, error, message):
    with pytest.raises(error, match=message):
        call(detector)


FORKS = """
import os, pickle, sys, numpy, torch
torch.set_num_threads(2)
if sys.argv[1:]:
    detector = pickle.load(open(sys.argv[1], "rb"))
else:
    from s3fd import FaceDetector
    detector = FaceDetector.from_pretrained("light", device="cpu")
image = numpy.zeros((128, 128, 3), numpy.uint8)
detector(image)
child = os.fork()
if child == 0:
    detector(image)
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("pickled", [False, True])
def test_a_process_that_is_forked_after_a_detection_does_not_hang(tmp_path, pickled):
    command = [sys.executable, "-c", FORKS]
    if pickled:
        detector = FaceDetector.from_pretrained("light", device="cpu")
        (tmp_path / "detector").write_bytes(pickle.dumps(detector))
        command.append(str(tmp_path / "detector"))
    process = subprocess.Popen(command, start_new_session=True)
    try:
        assert process.wait(timeout=300) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
