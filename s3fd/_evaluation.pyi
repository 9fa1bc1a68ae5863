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
