"""The mistakes of a detector, as pictures: what people who train look at first.

`write_gallery` makes one HTML page of the largest faces that were missed, and of the false
positives with the highest scores, each cut out of its photo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.evaluation.gallery.mistakes import JudgedPhoto, Judgement, Mistake, judge
from s3fd.evaluation.gallery.page import Box, Card, Section, render_page
from s3fd.evaluation.matching import FALSE_POSITIVE
from s3fd.files import whole_file

__all__ = ["write_gallery"]

_MISSED = {
    "low": "found below the threshold",
    "misplaced": "a badly placed box",
    "unseen": "nothing near",
}
_FALSE = {
    "duplicate": "another box of a face",
    "misplaced": "a badly placed box",
    "background": "no labelled face",
}


def write_gallery(
    file: str | Path,
    photos: Iterable[JudgedPhoto],
    *,
    title: str,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    most: int = 60,
) -> None:
    """Writes a page of the worst mistakes: one HTML file, with the pictures in it.

    Missed are the faces that count and that no detection of this score or more has found; the
    largest come first, since they are the hardest to excuse. False positives of this score or more
    follow, the highest scores first. Ties keep the order of the photos.

    Args:
        file: for example ``gallery.html``.
        photos: everything that was evaluated.
        title: says which detector, and which data.
        score_threshold: as the detector would be used with.
        iou_threshold: the overlap that was needed; it matches detections where ``matched`` is None.
        most: mistakes of each kind that are shown.

    Raises:
        ValueError: the arrays of a photo do not fit, or `most` is negative.
        OSError: the file can't be written.
    """
    if most < 0:
        raise ValueError(f"most: expected a number >= 0, got {most}")
    judgements = [
        judge(photo, score_threshold=score_threshold, iou_threshold=iou_threshold)
        for photo in photos
    ]
    missed = [mistake for judgement in judgements for mistake in judgement.missed()]
    false = [mistake for judgement in judgements for mistake in judgement.false_positives()]
    summary = {
        "photos": f"{len(judgements):,}",
        "faces that count": f"{sum(int(judgement.counted.sum()) for judgement in judgements):,}",
        "missed": f"{len(missed):,}",
        "false positives": f"{len(false):,}",
        "score threshold": f"{score_threshold:g}",
        "IoU threshold": f"{iou_threshold:g}",
    }
    sections = [
        _section("missed", "Missed faces", "the largest first", _MISSED, missed, most),
        _section("false", "False positives", "the highest scores first", _FALSE, false, most),
    ]
    with whole_file(Path(file)) as opened:
        for part in render_page(title, summary, sections):
            opened.write(part.encode(errors="backslashreplace"))  # a name may be no text


def _section(
    key: str,
    title: str,
    order: str,
    reasons: Mapping[str, str],
    mistakes: Sequence[Mistake],
    most: int,
) -> Section:
    worst = sorted(mistakes, key=lambda mistake: -mistake.rank)[:most]
    note = f"{len(worst):,} of {len(mistakes):,}, {order}" if mistakes else "none"
    return Section(key, title, note, reasons, [_card(mistake, key) for mistake in worst])


def _card(mistake: Mistake, style: str) -> Card:
    judgement = mistake.judgement
    reason, text = mistake.explain()
    width, height = mistake.box[2:] - mistake.box[:2]
    size = f"{width:.0f} x {height:.0f} px"
    return Card(
        path=judgement.photo.path,
        name=judgement.name,
        reason=reason,
        text=[size, *text] if style == "missed" else [*text[:1], size, *text[1:]],
        box=Box(_corners(mistake.box), f"{style} subject"),
        others=_boxes(judgement),
    )


def _boxes(judgement: Judgement) -> list[Box]:
    """All that is drawn of a photo, from the least to the most important."""
    photo = judgement.photo
    ignore = () if photo.ignore is None else photo.ignore
    boxes = [Box(_corners(box), "ignored") for box in ignore]
    missed = judgement.counted & ~judgement.found
    for face, is_missed in zip(photo.faces, missed, strict=True):
        boxes.append(Box(_corners(face), "missed" if is_missed else "face"))
    for index in np.flatnonzero(judgement.shown):
        style = "false" if judgement.matched[index] == FALSE_POSITIVE else "detection"
        boxes.append(Box(_corners(photo.boxes[index]), style, f"{photo.scores[index]:.2f}"))
    return boxes


def _corners(box: NDArray[np.float32]) -> tuple[float, ...]:
    """As a page can have them: a detector's box may be infinite, or not a number."""
    return tuple(np.nan_to_num(box, nan=0.0, posinf=0.0, neginf=0.0).tolist())
