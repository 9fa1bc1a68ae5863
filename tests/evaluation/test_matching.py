import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s3fd import _arrays
from s3fd.evaluation import match_detections
from s3fd.evaluation.matching import FALSE_POSITIVE, IGNORED

FACE = [10.0, 10.0, 30.0, 30.0]


def match(boxes, scores, faces, ignore=(), **options):
    (matched,) = match_detections([(boxes, scores)], [faces], ignore=[list(ignore)], **options)
    return matched.tolist()


def test_a_detection_takes_the_face_that_it_overlaps_most():
    nearer = [12, 10, 32, 30]
    assert match([[12, 10, 32, 31]], [0.9], [FACE, nearer]) == [1]


def test_a_face_is_found_once_and_by_the_best_score():
    assert match([FACE, FACE, FACE], [0.7, 0.9, 0.8], [FACE]) == [-1, 0, -1]


def test_the_lower_index_of_equal_scores_is_first():
    assert match([FACE, FACE], [0.5, 0.5], [FACE]) == [0, -1]


def test_the_lower_index_of_equal_ious_is_taken():
    assert match([FACE], [0.5], [[8, 10, 28, 30], [12, 10, 32, 30]]) == [0]


def test_a_detection_of_a_taken_face_can_find_its_neighbour():
    neighbour = [14, 10, 34, 30]
    assert match([FACE, [11, 10, 31, 30]], [0.9, 0.8], [FACE, neighbour]) == [0, 1]


def test_an_overlap_of_the_threshold_is_enough():
    left_half = [10, 10, 20, 30]
    assert match([left_half], [0.9], [FACE]) == [0]
    assert match([left_half], [0.9], [FACE], iou_threshold=0.5001) == [-1]


def test_thresholds_are_compared_in_double():
    shifted, iou = [0, 10, 20, 30], float(np.float32(1 / 3))
    assert match([shifted], [0.9], [FACE], iou_threshold=iou) == [0]
    # The same number in single precision.
    assert match([shifted], [0.9], [FACE], iou_threshold=np.nextafter(iou, 1)) == [-1]


def test_ignored_is_what_has_half_of_its_own_area_in_one_ignore_box():
    crowd = [100, 0, 300, 300]
    assert match([[90, 10, 110, 30]], [0.9], [FACE], [crowd]) == [-2]
    assert match([[89, 10, 109, 30]], [0.9], [FACE], [crowd]) == [-1]


def test_two_ignore_boxes_do_not_add_up():
    quarter, other = [10, 10, 15, 30], [25, 10, 30, 30]
    assert match([FACE], [0.9], [], [quarter, other]) == [-1]


def test_a_face_within_an_ignore_box_can_be_found_and_its_duplicate_is_ignored():
    assert match([FACE, FACE], [0.9, 0.8], [FACE], [[0, 0, 100, 100]]) == [0, -2]


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 10, 30],
        [30, 30, 10, 10],
        [np.nan, 10, 30, 30],
        [10, 10, np.inf, 30],
        [-np.inf, -np.inf, np.inf, np.inf],
        [-1e38, -1e38, 1e38, 1e38],
    ],
)
def test_a_degenerate_detection_overlaps_nothing(box):
    assert match([box], [0.9], [FACE], [[0, 0, 1e6, 1e6]], iou_threshold=1e-6) == [-1]


def test_a_degenerate_face_is_never_found():
    assert match([FACE], [0.9], [[10, 10, 10, 30]], iou_threshold=1e-6) == [-1]


@pytest.mark.parametrize("box", [[300, 300, -300, -300], [-1e38, -1e38, 1e38, 1e38]])
def test_a_degenerate_ignore_box_ignores_nothing(box):
    assert match([FACE], [0.9], [], [box]) == [-1]


def test_each_image_is_matched_for_itself():
    found = match_detections(
        [([FACE], [0.9]), ([], []), ([FACE, FACE], [0.1, 0.2])], [[FACE], [FACE], [FACE]]
    )
    assert [matched.tolist() for matched in found] == [[0], [], [-1, 0]]
    assert all(matched.dtype == np.int64 for matched in found)


def test_no_images_give_no_matches():
    assert match_detections([], []) == []


# Coordinates on a coarse grid and few scores: many ties, nested, touching and empty boxes.
coordinate = st.integers(0, 6).map(lambda x: x * 2.5)
box = st.tuples(coordinate, coordinate, coordinate, coordinate).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])]
)
strange_box = st.lists(st.floats(width=32), min_size=4, max_size=4)
found_boxes = st.lists(st.tuples(box | strange_box, st.integers(0, 3)), max_size=8)
image = st.tuples(found_boxes, st.lists(box, max_size=6), st.lists(box, max_size=3))
threshold = st.sampled_from([1e-3, 1 / 3, 0.5, 0.75, 1.0])


def arrays(found, faces, ignore):
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in found], np.float32)
    to_boxes = [np.array(rows, np.float32).reshape(-1, 4) for rows in (faces, ignore)]
    return boxes, scores, *to_boxes


def twin(
    boxes: NDArray[np.float32],  # [D, 4]
    scores: NDArray[np.floating],  # [D]
    ground_truths: NDArray[np.float32],  # [G, 4]
    ignore: NDArray[np.float32],  # [I, 4]
    *,
    iou_threshold: float,
) -> NDArray[np.int64]:  # [D]
    """The compiled matching of one image again, in plain numpy."""
    shared = _intersections(boxes, ground_truths)  # [D, G]
    with np.errstate(invalid="ignore"):  # infinity - infinity, where nothing is shared
        together = _areas(boxes)[:, None] + _areas(ground_truths) - shared  # [D, G]
    iou = np.where(shared > 0, shared / np.where(shared > 0, together, 1), 0)  # [D, G]
    inside = _intersections(boxes, ignore) >= np.float32(0.5) * _areas(boxes)[:, None]  # [D, I]
    ignored = (inside & _proper(boxes)[:, None]).any(axis=1)  # [D]

    matched = np.full(len(boxes), FALSE_POSITIVE, dtype=np.int64)
    free = np.ones(len(ground_truths), dtype=bool)
    for detection in np.argsort(-scores, kind="stable"):  # lower index first on equal scores
        candidates = np.where(free, iou[detection].astype(np.float64), 0)  # [G]
        if candidates.max(initial=0) > 0 and candidates.max() >= iou_threshold:
            matched[detection] = candidates.argmax()  # the lower index on equal IoUs
            free[matched[detection]] = False
        elif ignored[detection]:
            matched[detection] = IGNORED
    return matched


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        areas: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _proper(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """False for what overlaps nothing: no width or height, NaN, infinity, an area beyond float."""
    areas = _areas(boxes)
    wide, high = boxes[:, 2] > boxes[:, 0], boxes[:, 3] > boxes[:, 1]
    return wide & high & (areas > 0) & (areas < np.inf)


def _intersections(
    a: NDArray[np.float32],  # [A, 4]
    b: NDArray[np.float32],  # [B, 4]
) -> NDArray[np.float32]:  # [A, B]
    """Area that each pair of boxes shares; improper boxes share nothing."""
    with np.errstate(invalid="ignore", over="ignore"):
        low = np.maximum(a[:, None, :2], b[:, :2])  # [A, B, 2]
        high = np.minimum(a[:, None, 2:], b[:, 2:])  # [A, B, 2]
        width, height = np.moveaxis(np.maximum(high - low, 0), 2, 0)  # 2 x [A, B]
        both = _proper(a)[:, None] & _proper(b)  # [A, B]
        shared: NDArray[np.float32] = np.where(both, width * height, np.float32(0))
    return shared


@given(st.lists(image, max_size=4), threshold)
def test_the_compiled_matching_equals_its_numpy_twin(images, iou_threshold):
    images = [arrays(*image) for image in images]
    matched = match_detections(
        [(boxes, scores) for boxes, scores, _, _ in images],
        [faces for _, _, faces, _ in images],
        ignore=[ignore for _, _, _, ignore in images],
        iou_threshold=iou_threshold,
    )
    assert len(matched) == len(images)
    for result, image in zip(matched, images, strict=True):
        expected = twin(*image, iou_threshold=iou_threshold)
        np.testing.assert_array_equal(result, expected)


def exact_iou(a, b):
    """In double, from plain numbers: another road than the one under test."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b))
    return width * height / (area_a + area_b - width * height)


@given(
    st.lists(st.tuples(box, st.integers(0, 3)), max_size=8),
    st.lists(box, max_size=6),
    st.lists(box, max_size=3),
)
def test_a_replay_of_the_rule_finds_every_choice_right(found, faces, ignore):
    """Goes through the answer in the order of choice, and checks each claim of the docstring."""
    matched = match([b for b, _ in found], [s for _, s in found], faces, ignore)
    assert len(matched) == len(found)
    free = set(range(len(faces)))
    for index in sorted(range(len(found)), key=lambda i: (-found[i][1], i)):
        chosen, detection = matched[index], found[index][0]
        # Thresholds and equality with room for rounding: these small numbers stay well apart.
        overlaps = {face: exact_iou(detection, faces[face]) for face in free}
        enough = {face: iou for face, iou in overlaps.items() if iou > 0.5 - 1e-6}
        if chosen >= 0:
            assert chosen in enough
            assert enough[chosen] >= max(enough.values()) - 1e-6
            assert all(iou < enough[chosen] - 1e-6 for f, iou in enough.items() if f < chosen)
            free.remove(chosen)
        else:
            assert not enough
            x1, y1, x2, y2 = detection
            area = (x2 - x1) * (y2 - y1)
            inside = [
                max(min(x2, b[2]) - max(x1, b[0]), 0) * max(min(y2, b[3]) - max(y1, b[1]), 0)
                for b in ignore
            ]
            assert (chosen == -2) == (area > 0 and any(part >= area / 2 for part in inside))


@pytest.mark.parametrize(
    ("detections", "faces", "ignore", "error", "message"),
    [
        ([([FACE], [np.nan])], [[]], None, ValueError, r"detections\[0\]\[1\]: score 0 is NaN"),
        ([([FACE], [0.5, 0.6])], [[]], None, ValueError, r"detections\[0\]\[1\]: expected 1 score"),
        ([([FACE[:3]], [0.5])], [[]], None, ValueError, r"detections\[0\]\[0\]: .* \[1, 3\]"),
        ([([FACE, FACE[:3]], [0.5])], [[]], None, ValueError, r"detections\[0\]\[0\]: expected"),
        ([(FACE, 0.5)], [[]], None, ValueError, r"detections\[0\]\[0\]: .* shape \[4\]"),
        ([([FACE], [[0.5]])], [[]], None, ValueError, r"detections\[0\]\[1\]: .* shape \[1, 1\]"),
        ([np.zeros((3, 5))], [[]], None, TypeError, r"detections\[0\]: expected a pair"),
        ([(["face"], [0.5])], [[]], None, TypeError, r"detections\[0\]\[0\]: .* dtype <U4"),
        (([FACE], [0.5]), [[]], None, ValueError, "ground_truths: .* each of the 2 images"),
        ("none", [[]], None, TypeError, "detections: expected a list"),
        ([], [[FACE]], None, ValueError, "ground_truths: .* 0 images of detections, got 1"),
        ([([], [])], [[]], [[], []], ValueError, "ignore: .* 1 images of detections, got 2"),
        ([([], [])], [[[0, 0, 1, np.nan]]], None, ValueError, r"ground_truths\[0\]: box 0 is not"),
        ([([], [])], [[]], [[FACE, [0, 0, 1, np.inf]]], ValueError, r"ignore\[0\]: box 1 is not"),
    ],
)
def test_bad_input_is_named(detections, faces, ignore, error, message):
    with pytest.raises(error, match=message):
        match_detections(detections, faces, ignore=ignore)


@pytest.mark.parametrize("value", [0, -0.5, 1.01, np.nan])
def test_a_bad_threshold_is_named(value):
    with pytest.raises(ValueError, match="iou_threshold: expected a number in"):
        match_detections([], [], iou_threshold=value)


def test_a_threshold_that_is_no_number_is_named():
    with pytest.raises(TypeError, match=r"iou_threshold: .* got str '0.5'"):
        match_detections([], [], iou_threshold="0.5")


@pytest.mark.parametrize("splits", [[0, 5], [1, 1], [0, 2, 1], [], [-1, 1]])
def test_the_compiled_function_guards_its_memory(splits):
    boxes, good = np.array([FACE], np.float32), np.array([0, 1])
    bad = np.array(splits, np.int64)
    for arguments in ([boxes, bad] + [boxes, good] * 2, [boxes, good] * 2 + [boxes, bad]):
        with pytest.raises(ValueError, match="splits"):
            _arrays.match_detections(*arguments, iou_threshold=0.5)
