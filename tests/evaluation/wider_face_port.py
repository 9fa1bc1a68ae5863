"""WIDER FACE's protocol once more, one detection and one threshold at a time.

It follows the benchmark's MATLAB tool, and so its Python port, step by step, in loops over Python
numbers: another road to the same figures than the package takes.
"""

import math


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


def curve(images, faces, counted, iou_threshold=0.5):
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


def average_precision(points):
    area, before = 0.0, 0.0
    for index, (_, recall) in enumerate(points):
        if recall != before:
            best = max(p for p, _ in points[index:] if not math.isnan(p))
            area += (recall - before) * best
            before = recall
    return area
