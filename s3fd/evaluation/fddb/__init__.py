"""FDDB (Jain and Learned-Miller, 2010), as the benchmark's own tool computes it."""

from s3fd.data.formats.fddb import FddbPhoto, ellipse_boxes, read_fddb
from s3fd.evaluation.fddb.predictions import read_fddb_predictions
from s3fd.evaluation.fddb.regression import EllipseRegression, regress_ellipses
from s3fd.evaluation.fddb.roc import FddbResult, RocCurve, evaluate_fddb

__all__ = [
    "EllipseRegression",
    "FddbPhoto",
    "FddbResult",
    "RocCurve",
    "ellipse_boxes",
    "evaluate_fddb",
    "read_fddb",
    "read_fddb_predictions",
    "regress_ellipses",
]
