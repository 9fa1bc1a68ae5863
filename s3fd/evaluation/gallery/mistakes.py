"""What a detector got wrong in a photo: the faces it missed, its false positives, and why."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.evaluation.matching import FALSE_POSITIVE, IGNORED, match_detections
from s3fd.overlaps import pairwise_iou

NEAR = 0.1
"""From this IoU on, a box is a try at a face, as Bolya et al. (TIDE, arXiv 2008.08115) have it."""


@dataclass(frozen=True, eq=False)
class JudgedPhoto:
    """A photo, what should have been found in it, and what was.

    Attributes:
        path: its file, which is read only if something of it is shown, and may be missing.
        faces: float32 ``[G, 4]``, ``(x1, y1, x2, y2)`` in pixels of the upright photo.
        boxes: float32 ``[D, 4]``, the detections.
        scores: ``[D]``.
        matched: int64 ``[D]``: the index of the face that each detection found, -1 for a false
            positive, -2 for what counts neither way; None: `match_detections` decides.
        counted: bool ``[G]``, whether a face counts; None: all do.
        ignore: float32 ``[I, 4]``, where detections count neither way.
        name: what people call it; the end of its path if this is empty.
    """

    path: Path
    faces: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.floating]
    matched: NDArray[np.int64] | None = None
    counted: NDArray[np.bool_] | None = None
    ignore: NDArray[np.float32] | None = None
    name: str = ""


@dataclass(frozen=True, eq=False)
class Judgement:
    """Which faces of a photo are found at a score threshold, and which detections are shown.

    Attributes:
        photo: that it is about.
        matched: int64 ``[D]``, as of `JudgedPhoto`.
        counted: bool ``[G]``, likewise.
        best: float64 ``[G]``, the highest score that found a face, -infinity for none.
        found: bool ``[G]``, whether it reaches the threshold.
        shown: bool ``[D]``, whether the score of a detection reaches the threshold.
        iou_threshold: the overlap that finds a face.
    """

    photo: JudgedPhoto
    matched: NDArray[np.int64]
    counted: NDArray[np.bool_]
    best: NDArray[np.float64]
    found: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    iou_threshold: float

    @property
    def name(self) -> str:
        """What people call the photo."""
        return self.photo.name or "/".join(self.photo.path.parts[-2:])

    def missed(self) -> list[MissedFace]:
        """The faces that count and are not found."""
        indices = np.flatnonzero(self.counted & ~self.found)
        return [MissedFace(self, int(index)) for index in indices]

    def false_positives(self) -> list[FalsePositive]:
        """The detections that are shown and found nothing, though they count."""
        indices = np.flatnonzero(self.shown & (self.matched == FALSE_POSITIVE))
        return [FalsePositive(self, int(index)) for index in indices]


def judge(photo: JudgedPhoto, *, score_threshold: float, iou_threshold: float) -> Judgement:
    """Finds out what is found at a score threshold.

    Args:
        photo: one of those that were evaluated.
        score_threshold: as the detector would be used with.
        iou_threshold: of `match_detections`, where the photo does not say what is matched.

    Raises:
        ValueError: the arrays of the photo do not fit.
    """
    faces, boxes = len(photo.faces), len(photo.boxes)
    counted = np.ones(faces, dtype=bool) if photo.counted is None else photo.counted
    for name, value, length in (
        ("scores", photo.scores, boxes),
        ("matched", photo.matched, boxes),
        ("counted", counted, faces),
    ):
        if value is not None and np.shape(value) != (length,):
            raise ValueError(
                f"{photo.name or photo.path}: expected {length} {name}, "
                f"got shape {list(np.shape(value))}"
            )
    matched = _match(photo, counted, iou_threshold) if photo.matched is None else photo.matched
    best = np.full(faces, -np.inf)
    hits = matched >= 0
    np.maximum.at(best, matched[hits], photo.scores[hits])
    shown = np.asarray(photo.scores) >= score_threshold
    return Judgement(photo, matched, counted, best, best >= score_threshold, shown, iou_threshold)


def _match(
    photo: JudgedPhoto, counted: NDArray[np.bool_], iou_threshold: float
) -> NDArray[np.int64]:
    (matched,) = match_detections(
        [(photo.boxes, photo.scores)],
        [photo.faces],
        ignore=None if photo.ignore is None else [photo.ignore],
        iou_threshold=iou_threshold,
    )
    hits = matched >= 0
    matched[hits] = np.where(counted[matched[hits]], matched[hits], IGNORED)
    return matched


@dataclass(frozen=True, eq=False)
class Mistake(ABC):
    """One mistake in a photo.

    Attributes:
        judgement: of its photo.
        index: of the face or the detection that it is about.
    """

    judgement: Judgement
    index: int

    @property
    def box(self) -> NDArray[np.float32]:
        """Where it is, float32 ``[4]``."""
        box: NDArray[np.float32] = self._boxes[self.index]
        return box

    @property
    @abstractmethod
    def rank(self) -> float:
        """The larger, the worse."""

    @abstractmethod
    def explain(self) -> tuple[str, list[str]]:
        """A word for the reason, and what there is to say."""

    @property
    @abstractmethod
    def _boxes(self) -> NDArray[np.float32]:
        """Those that `index` points into, ``[N, 4]``."""


class MissedFace(Mistake):
    """A face that counts and was not found, the worse the larger the face is."""

    @property
    def _boxes(self) -> NDArray[np.float32]:
        return self.judgement.photo.faces

    @property
    def rank(self) -> float:
        """Its area in pixels."""
        return float(np.prod(np.clip(self.box[2:] - self.box[:2], 0, None)))

    def explain(self) -> tuple[str, list[str]]:
        """``low``, ``misplaced`` or ``unseen``."""
        judgement, photo = self.judgement, self.judgement.photo
        best = judgement.best[self.index]
        if best > -math.inf:
            return "low", [f"found at score {best:.2f}"]
        # Boxes that found another face say nothing about this one.
        tries = np.flatnonzero(judgement.shown & (judgement.matched < 0))
        overlaps = pairwise_iou(self.box[None], photo.boxes[tries])[0]
        if overlaps.max(initial=0) < NEAR:
            return "unseen", ["nothing near"]
        score = photo.scores[tries[overlaps.argmax()]]
        return "misplaced", [f"a box at IoU {_down(overlaps.max())}, score {score:.2f}"]


class FalsePositive(Mistake):
    """A detection that found nothing, the worse the higher its score is."""

    @property
    def _boxes(self) -> NDArray[np.float32]:
        return self.judgement.photo.boxes

    @property
    def rank(self) -> float:
        """Its score."""
        return float(self.judgement.photo.scores[self.index])

    def explain(self) -> tuple[str, list[str]]:
        """``duplicate``, ``misplaced`` or ``background``."""
        overlap = pairwise_iou(self.box[None], self.judgement.photo.faces).max(initial=0)
        reason, text = "background", "no labelled face"
        if overlap >= self.judgement.iou_threshold:
            reason, text = "duplicate", f"another box at IoU {_down(overlap)}"
        elif overlap >= NEAR:
            reason, text = "misplaced", f"a face at IoU {_down(overlap)}"
        return reason, [f"score {self.rank:.3f}", text]


def _down(iou: float) -> str:
    """Two decimals, rounded down: what misses a threshold does not seem to reach it."""
    return f"{math.floor(100 * iou) / 100:.2f}"
