import numpy as np
from numpy.typing import NDArray

def match_detections(
    detections: NDArray[np.float32],
    detection_splits: NDArray[np.int64],
    ground_truths: NDArray[np.float32],
    ground_truth_splits: NDArray[np.int64],
    ignore: NDArray[np.float32],
    ignore_splits: NDArray[np.int64],
    *,
    iou_threshold: float,
) -> NDArray[np.int64]: ...
def best_overlaps(
    detections: NDArray[np.float64],
    detection_splits: NDArray[np.int64],
    faces: NDArray[np.float64],
    face_splits: NDArray[np.int64],
    *,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
def judge_detections(
    best: NDArray[np.int64],
    overlap: NDArray[np.float64],
    detection_splits: NDArray[np.int64],
    counted: NDArray[np.bool_],
    face_splits: NDArray[np.int64],
    *,
    iou_threshold: float,
) -> NDArray[np.int8]: ...
def region_overlaps(
    faces: NDArray[np.float64],
    face_splits: NDArray[np.int64],
    detections: NDArray[np.float64],
    detection_splits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    *,
    threads: int,
) -> NDArray[np.float64]: ...
def read_number_lines(
    text: bytes, *, start: int, columns: int
) -> tuple[NDArray[np.float64], int]: ...
