"""Curves that the WIDER FACE benchmark published of other detectors, for company in plots.

The benchmark's site gives one file for each detector and setting,
``wider_pr_info_<detector>_<setting>_val.mat``, saved by different versions of MATLAB. Beside those
of the validation set it has some of the test set, whose figures are no company for others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.form import visible
from s3fd.data.formats.matlab import read_mat
from s3fd.evaluation.average_precision import voc_average_precision
from s3fd.evaluation.wider_face.ground_truth import SETTINGS
from s3fd.messages import shown

__all__ = ["PublishedCurve", "read_published_curve", "read_published_curves"]

_NAME = re.compile(r"wider_pr_info_(?P<detector>.+)_(?P<setting>easy|medium|hard)_val\.mat")
_CURVE = "pr_cruve"  # so it is spelled in the files
_LEGEND = "legend_name"


@dataclass(frozen=True, eq=False)
class PublishedCurve:
    """Precision and recall of one detector in one setting.

    Attributes:
        detector: its name, as in that of the file.
        legend: its name as the benchmark's plots write it.
        setting: ``"easy"``, ``"medium"`` or ``"hard"``.
        precision: float64 ``[K]``, by falling score.
        recall: float64 ``[K]``, rising.
    """

    detector: str
    legend: str
    setting: str
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Area under the curve as the benchmark's tool computes it: VOC's "all points" rule."""
        return voc_average_precision(self.recall, self.precision)


def read_published_curve(file: str | Path) -> PublishedCurve:
    """Reads one file of the benchmark's site.

    Args:
        file: ``wider_pr_info_<detector>_<setting>_val.mat``, of MATLAB 5 to 7 or 7.3.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its name or its content is another.
        ImportError: it is of MATLAB 7.3, and h5py is not installed.
    """
    file = Path(file)
    match = _NAME.fullmatch(file.name)
    if match is None:
        raise ValueError(f"{file}: expected a name like wider_pr_info_SFD_hard_val.mat")
    points, legend = _read(file)
    recall = points[:, 1]
    if not (np.isfinite(recall).all() and (np.diff(recall) >= 0).all()):
        raise ValueError(f"{file}: expected a recall that never falls in column 2 of {_CURVE}")
    detector, setting = match["detector"], match["setting"]
    return PublishedCurve(detector, legend or detector, setting, points[:, 0], recall)


def read_published_curves(
    root: str | Path, detectors: Sequence[str] | None = None
) -> list[PublishedCurve]:
    """Reads all curves of the validation set in and below a folder.

    Args:
        root: the folder.
        detectors: names of those that are wanted; None for all.

    Returns:
        By detector, in the order of `detectors` or of the alphabet, and by setting.

    Raises:
        FileNotFoundError: there are none, or not those of a detector that is asked for.
        ValueError: two are of one detector, legend and setting; or as `read_published_curve`.
        ImportError: as `read_published_curve`.
    """
    files: dict[str, list[Path]] = {}
    for file in visible(Path(root), "**/wider_pr_info_*_val.mat"):
        match = _NAME.fullmatch(file.name)
        files.setdefault(match["detector"] if match else file.name, []).append(file)
    if not files:
        raise FileNotFoundError(
            f"published: there is no wider_pr_info_<detector>_<setting>_val.mat in or below {root}"
        )
    wanted = sorted(files, key=str.casefold) if detectors is None else list(detectors)
    for detector in wanted:
        if detector not in files:
            known = ", ".join(sorted(files, key=str.casefold))
            raise FileNotFoundError(
                f"published: there is no curve of {detector!r} in or below {root}, but of {known}"
            )
    curves = _told_apart({file: read_published_curve(file) for d in wanted for file in files[d]})
    return sorted(curves, key=lambda c: (wanted.index(c.detector), SETTINGS.index(c.setting)))


def _told_apart(curves: Mapping[Path, PublishedCurve]) -> list[PublishedCurve]:
    """The same, but a legend that several detectors have becomes the names in their files'."""
    detectors: dict[str, set[str]] = {}
    places: dict[tuple[str, str, str], Path] = {}
    for file, curve in curves.items():
        detectors.setdefault(curve.legend, set()).add(curve.detector)
        first = places.setdefault((curve.detector, curve.legend, curve.setting), file)
        if first != file:
            raise ValueError(
                f"published: {first} and {file} are both the {curve.setting} curve of "
                f"{shown(curve.legend)}; keep one of them there"
            )
    return [
        replace(curve, legend=curve.detector) if len(detectors[curve.legend]) > 1 else curve
        for curve in curves.values()
    ]


def _read(file: Path) -> tuple[NDArray[np.float64], str]:
    """Precision and recall, ``[K, 2]``, and the name in legends, which may be empty."""
    variables = read_mat(file)
    if _CURVE not in variables:
        raise ValueError(f"{file}: expected a variable {_CURVE}, got {', '.join(variables)}")
    points, legend = np.asarray(variables[_CURVE]), variables.get(_LEGEND, "")
    if (
        points.ndim != 2
        or points.shape[1] != 2
        or points.dtype.kind not in "fiu"
        or not len(points)
    ):
        raise ValueError(
            f"{file}: expected numbers [K, 2] (precision, recall) in {_CURVE}, "
            f"got {points.dtype} {list(points.shape)}"
        )
    return points.astype(np.float64), legend if isinstance(legend, str) else ""
