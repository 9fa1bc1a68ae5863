"""Scores that mean something: of the detections with a score of 0.9, nine in ten are faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ITERATIONS = 50
_SMALLEST = 1e-7  # scores nearer to 0 or 1 than this are taken for it
_DETECTIONS_PER_FACE = 2  # of the best, that a line is fitted to


@dataclass(frozen=True)
class Calibration:
    """A line for the log-odds of scores: ``calibrated = (log-odds - shift) / scale``.

    Known as Platt scaling (Platt, 1999). It rises, so that no order and no average precision
    changes.

    Attributes:
        shift: the score's log-odds at which half of the detections are faces.
        scale: above 1, the scores were too sure.
    """

    shift: float
    scale: float

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The calibrated scores of scores in 0 to 1, of any shape."""
        return 1 / (1 + np.exp((self.shift - _log_odds(scores)) / self.scale))


def fit_calibration(scores: ArrayLike, found: ArrayLike) -> Calibration:
    """The calibration under which what is known of the best detections is likeliest.

    Of the detections the best are taken, twice as many as are faces: they are those that somebody
    may want to see. Evaluation takes detections down to a score of 0.0001, and a line through all
    has to suit a million that are hardly faces, at the cost of the few thousand that are. Those
    with the same score as the last are taken, too.

    Args:
        scores: ``[N]``, of detections, in 0 to 1.
        found: ``[N]``, whether each is a face.

    Raises:
        ValueError: not as many outcomes as scores, or not both kinds of them, or faces have lower
            scores than the rest: there is no rising line then.

    Example:
        >>> calibration = fit_calibration([0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [1, 1, 0, 1, 0, 0])
        >>> calibration([0.1, 0.5, 0.9]).round(3).tolist()
        [0.4, 0.5, 0.6]
    """
    log_odds = _log_odds(scores)
    outcomes = np.asarray(found, dtype=np.float64)
    if log_odds.shape != outcomes.shape or log_odds.ndim != 1:
        raise ValueError(
            f"found: expected one outcome for each of the scores {list(log_odds.shape)}, got "
            f"{list(outcomes.shape)}"
        )
    faces = int(outcomes.sum())
    if not 0 < faces < len(outcomes):
        raise ValueError(
            "found: expected detections that are faces and some that are not, got "
            f"{faces} of {len(outcomes)}"
        )
    best = log_odds >= np.sort(log_odds)[-_DETECTIONS_PER_FACE * faces :][0]
    line = _likeliest_line(log_odds[best], outcomes[best])
    if not (outcomes[best].any() and line[0] > 0):
        raise ValueError("found: faces have lower scores than the rest; is the network trained?")
    return Calibration(shift=float(-line[1] / line[0]), scale=float(1 / line[0]))


def _likeliest_line(
    log_odds: NDArray[np.float64], outcomes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slope and offset of the log-odds of a face, from those of the scores, ``[N]`` each."""
    # Logistic regression by Newton's method, towards targets that are not quite 0 and 1 (Platt), so
    # that detections that a line separates have a best one too.
    faces = outcomes.sum()
    targets = np.where(
        outcomes > 0, (faces + 1) / (faces + 2), 1 / (len(outcomes) - faces + 2)
    )  # [N]
    features = np.stack([log_odds, np.ones_like(log_odds)], axis=1)  # [N, 2]

    def loss(line: NDArray[np.float64]) -> float:
        logits = features @ line
        return float((np.logaddexp(0, logits) - targets * logits).sum())

    line = np.zeros(2)
    for _ in range(_ITERATIONS):
        probability = 1 / (1 + np.exp(-features @ line))
        weights = probability * (1 - probability)
        hessian = (features * weights[:, None]).T @ features + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, features.T @ (targets - probability))
        while loss(line + step) > loss(line) and np.abs(step).max() > 1e-12:
            step = step / 2
        line = line + step
        if np.abs(step).max() < 1e-10:
            break
    return line


@dataclass(frozen=True)
class ReliabilityBin:
    """Detections with about the same score.

    Attributes:
        score: their mean.
        precision: share of them that are faces.
        count: how many there are.
    """

    score: float
    precision: float
    count: int


def reliability(scores: ArrayLike, found: ArrayLike, bins: int = 10) -> list[ReliabilityBin]:
    """How often detections of a score are right, in even steps of the score.

    Args:
        scores: ``[N]``, in 0 to 1.
        found: ``[N]``, whether each is a face.
        bins: number of steps; those without a detection are left out.

    Example:
        >>> reliability([0.95, 0.95, 0.25], [1, 0, 0], bins=2)
        [ReliabilityBin(score=0.25, precision=0.0, count=1), ReliabilityBin(score=0.95, ...
    """
    scores, outcomes = np.asarray(scores, np.float64), np.asarray(found, np.float64)
    index = np.minimum((scores * bins).astype(int), bins - 1)
    rows = [index == step for step in range(bins)]
    return [
        ReliabilityBin(float(scores[row].mean()), float(outcomes[row].mean()), int(row.sum()))
        for row in rows
        if row.any()
    ]


def calibration_error(scores: ArrayLike, found: ArrayLike, bins: int = 10) -> float:
    """Mean distance of score and precision over the detections, by bins (Naeini et al., 2015).

    0 for no detections.
    """
    steps = reliability(scores, found, bins)
    count = sum(step.count for step in steps)
    distance = sum(step.count * abs(step.score - step.precision) for step in steps)
    return distance / max(1, count)


def _log_odds(scores: ArrayLike) -> NDArray[np.float64]:
    clipped = np.asarray(scores, dtype=np.float64).clip(_SMALLEST, 1 - _SMALLEST)
    log_odds: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return log_odds
