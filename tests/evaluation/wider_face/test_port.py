"""WIDER FACE's protocol once more, one detection and one threshold at a time.

It follows the benchmark's MATLAB tool, and so its Python port, step by step, in loops over Python
numbers: another road to the same figures than the package takes.
"""

import math

import numpy as np
import pytest

from s3fd.evaluation import WiderFaceGroundTruth, evaluate_wider_face, read_wider_face


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((x2 - x1 + 1) * (y2 - y1 + 1) for x1, y1, x2, y2 in (a, b))
    return width * height / (area_a + area_b - width * height)


def judge_image(detections, faces, counted, iou_threshold):
    """(faces found so far, detections that count so far) after each detection."""
    state = [0] * len(faces)
    proposals, progress = 0, []
    for box, _ in detections:
        overlaps = [overlap(box, face) for face in faces]
        best = overlaps.index(max(overlaps))
        counts = True
        if overlaps[best] >= iou_threshold:
            if not counted[best]:
                state[best], counts = -1, False
            elif state[best] == 0:
                state[best] = 1
        proposals += counts
        progress.append((state.count(1), proposals))
    return progress


def stretch(images):
    scores = [score for detections in images for _, score in detections]
    low, high = min(scores), max(scores)
    return [[(b, (s - low) / (high - low)) for b, s in detections] for detections in images]


def curve_of(images, faces, counted, iou_threshold=0.5):
    """Points (precision, recall) of 1 000 thresholds.

    ``images`` are lists of (box, score), ``faces`` lists of boxes, ``counted`` lists of booleans.
    """
    thresholds = [1 - (t + 1) / 1000 for t in range(1000)]
    found, proposed = [0] * 1000, [0] * 1000
    for detections, boxes, counts in zip(stretch(images), faces, counted, strict=True):
        if not detections or not boxes:
            continue
        detections = sorted(detections, key=lambda d: -d[1])
        progress = judge_image(detections, boxes, counts, iou_threshold)
        kept = 0
        for t, threshold in enumerate(thresholds):
            while kept < len(detections) and detections[kept][1] >= threshold:
                kept += 1
            if kept:
                found[t] += progress[kept - 1][0]
                proposed[t] += progress[kept - 1][1]
    total = sum(map(sum, counted))
    return [(f / p if p else math.nan, f / total) for f, p in zip(found, proposed, strict=True)]


def area(points):
    total, before = 0.0, 0.0
    for index, (_, recall) in enumerate(points):
        if recall != before:
            best = max(p for p, _ in points[index:] if not math.isnan(p))
            total += (recall - before) * best
            before = recall
    return total


@pytest.fixture(scope="module")
def real(shared):
    return read_wider_face(shared / "wider_face_val")


def subset(truth, indices):
    """The same ground truth with some of the images."""
    rows = np.concatenate([np.r_[truth.faces(index)] for index in indices])
    lengths = np.diff(truth.splits)[indices]
    return WiderFaceGroundTruth(
        tuple(truth.images[index] for index in indices),
        truth.boxes[rows],
        np.cumsum([0, *lengths]),
        {setting: counted[rows] for setting, counted in truth.counted.items()},
        truth.version,
        truth.checksums,
    )


def random_detections(truth, density, seed):
    """Hits, near misses, duplicates, noise and images without any; scores tie often."""
    random = np.random.default_rng(seed)
    pairs = []
    for index in range(len(truth.images)):
        faces = truth.boxes[truth.faces(index)]
        number = 0 if random.random() < 0.05 else random.poisson(density)
        boxes = faces[random.integers(len(faces), size=number)]
        sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + random.normal(size=(number, 4)) * sizes * random.choice([0, 0.1, 0.3])
        noise = random.random(number) < 0.3
        corners = random.uniform(0, 900, (number, 2))
        boxes[noise] = np.hstack([corners, corners + random.uniform(4, 200, (number, 2))])[noise]
        scores = random.random(number)
        tied = random.random(number) < 0.5
        scores[tied] = np.round(scores[tied], 2)
        pairs.append((boxes, scores))
    return pairs


@pytest.mark.parametrize(("density", "every"), [(1, 1), (12, 3), (100, 40), (1000, 400)])
def test_average_precisions_equal_those_of_the_port(real, density, every):
    truth = subset(real, np.arange(density % 7, len(real.images), every))
    pairs = random_detections(truth, density, seed=density)
    result = evaluate_wider_face(truth, pairs)
    detections = [list(zip(b.tolist(), s.tolist(), strict=True)) for b, s in pairs]
    images = range(len(truth.images))
    faces = [truth.boxes[truth.faces(index)].tolist() for index in images]
    for setting, counted in truth.counted.items():
        counts = [counted[truth.faces(index)].tolist() for index in images]
        points = curve_of(detections, faces, counts)
        curve = result.curve(setting)
        np.testing.assert_allclose(curve.precision, [p for p, _ in points], rtol=1e-12)
        np.testing.assert_allclose(curve.recall, [r for _, r in points], rtol=1e-12)
        assert curve.average_precision == pytest.approx(area(points), abs=1e-9)


def test_the_faces_as_their_own_detections_are_perfect_at_every_overlap(real):
    scores = np.linspace(1, 0, len(real.boxes))
    faces = [real.faces(index) for index in range(len(real.images))]
    result = evaluate_wider_face(real, [(real.boxes[rows], scores[rows]) for rows in faces])
    for overlap in (0.5, 0.95):
        for curve in result.curves(overlap).values():
            assert curve.average_precision == pytest.approx(1, abs=2e-4)  # twins of one box
