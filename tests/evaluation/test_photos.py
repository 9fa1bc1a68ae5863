import numpy as np
import pytest
import torch
from PIL import Image

from s3fd import Detections
from s3fd.data import AnnotatedImage, read_photos
from s3fd.evaluation import evaluate_detections, evaluate_detector, read_fddb
from s3fd.images import ImageError

FACE, OTHER = [2, 2, 12, 14], [20, 4, 30, 16]


def photo(folder, name, boxes, ignore=()):
    Image.new("RGB", (32, 24), (int(name) * 10, 0, 0)).save(folder / f"{name}.png")
    to_boxes = [np.array(rows, np.float32).reshape(-1, 4) for rows in (boxes, ignore)]
    return AnnotatedImage(folder / f"{name}.png", None, None, *to_boxes)


def detections(boxes, scores, size=(24, 32)):
    return Detections(torch.tensor(boxes).float().reshape(-1, 4), torch.tensor(scores), size)


def by_colour(answers):
    """A detector that knows photo number n by its red of 10 n."""
    return lambda pictures: [answers[pixels[0, 0, 0] // 10] for pixels in pictures]


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_detections_are_compared_with_the_labels_of_their_photo(tmp_path, at_once):
    photos = [
        photo(tmp_path, "0", [FACE, OTHER]),
        photo(tmp_path, "1", []),
        photo(tmp_path, "2", [OTHER], ignore=[[0, 0, 16, 24]]),
    ]
    detector = by_colour(
        [
            detections([FACE], [0.9]),
            detections([FACE], [0.4]),
            detections([OTHER, FACE], [0.8, 0.7]),
        ]
    )
    done = []
    result = evaluate_detector(detector, photos, at_once=at_once, advance=done.append)
    assert (result.photos, result.curve.faces, result.ignore_boxes) == (3, 3, 1)
    assert sum(done) == 3
    np.testing.assert_array_equal(result.curve.true_positives, [1, 2, 2])
    np.testing.assert_array_equal(result.curve.false_positives, [0, 0, 1])
    assert result.curve.average_precision == pytest.approx(2 / 3)
    assert result.seconds > 0


def test_another_overlap_can_be_asked_for(tmp_path):
    photos = [photo(tmp_path, "0", [FACE])]
    detector = by_colour([detections([[4, 2, 14, 14]], [0.9])])  # IoU 2/3
    assert evaluate_detector(detector, photos).curve.average_precision == 1
    result = evaluate_detector(detector, photos, iou_threshold=0.7)
    assert (result.iou_threshold, result.curve.average_precision) == (0.7, 0)


def test_a_photo_that_is_missing_or_damaged_is_named(tmp_path):
    path = tmp_path / "gone.jpg"
    boxes = np.empty((0, 4), np.float32)
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg: there is no such file"):
        evaluate_detector(by_colour([]), [AnnotatedImage(path, None, None, boxes)])
    path.write_text("not a photo")
    with pytest.raises(ImageError, match=r"gone\.jpg: not a picture"):
        evaluate_detector(by_colour([]), [AnnotatedImage(path, None, None, boxes)])


def test_labels_for_another_size_are_refused(tmp_path):
    photo(tmp_path, "0", [])
    labelled = AnnotatedImage(tmp_path / "0.png", 24, 32, np.array([FACE], np.float32))
    with pytest.raises(ValueError, match=r"0\.png: its labels are for 24 x 32 pixels, .* 32 x 24"):
        evaluate_detector(by_colour([detections([], [])]), [labelled])


def test_a_detector_that_answers_too_little_is_refused(tmp_path):
    with pytest.raises(ValueError, match="detector: expected Detections for each of 1 photos"):
        evaluate_detector(lambda pictures: [], [photo(tmp_path, "0", [FACE])])


def test_detections_from_elsewhere_are_judged_as_they_come(tmp_path):
    photos = [photo(tmp_path, "0", [FACE, OTHER]), photo(tmp_path, "1", [])]
    found = [detections([FACE], [0.9]), detections([FACE], [0.4])]
    result = evaluate_detections(iter(found), photos)
    assert result.detections == found
    expected = evaluate_detector(by_colour(found), photos).curve
    np.testing.assert_array_equal(result.curve.precision, expected.precision)
    assert result.curve.average_precision == expected.average_precision == 0.5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_detections_is_refused(tmp_path, count):
    photos = [photo(tmp_path, "0", []), photo(tmp_path, "1", [])]
    with pytest.raises(ValueError, match=f"each of 2 photos, got {count}"):
        evaluate_detections([detections([], [])] * count, photos)


def test_the_size_of_labels_is_checked_before_the_next_photo_is_looked_at(tmp_path):
    photo(tmp_path, "0", [])
    labelled = AnnotatedImage(tmp_path / "0.png", 24, 32, np.array([FACE], np.float32))
    given = []

    def found():
        for size in [(32, 24), (24, 32), (32, 24)]:
            given.append(size)
            yield detections([], [], size)

    with pytest.raises(ValueError, match=r"0\.png: its labels are for 24 x 32 pixels, .* 32 x 24"):
        evaluate_detections(found(), [labelled] * 3)
    assert len(given) == 2


def test_real_photos_fit_their_labels(shared):
    """Reads real files, and gives their labels for an answer."""
    fddb = [photo.annotated() for photo in read_fddb(shared / "fddb", [3]) if photo.path.is_file()]
    photos = read_photos(shared / "faces", "val").photos[:16] + fddb[:16]
    labels = iter(photos)

    def detector(pictures):
        boxes = [next(labels).boxes for _ in pictures]
        return [
            detections(b.tolist(), [0.5] * len(b), pixels.shape[:2])
            for b, pixels in zip(boxes, pictures, strict=True)
        ]

    assert evaluate_detector(detector, photos).curve.average_precision == 1.0
