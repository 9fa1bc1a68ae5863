"""Detections in the forms of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

    from s3fd.detections import Detections


def to_coco(faces: Detections, image_id: int | str, category_id: int) -> list[dict[str, Any]]:
    """Rows of COCO's results; see `Detections.to_coco`."""
    return [
        {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
        for box, score in zip(faces.xywh.tolist(), faces.scores.tolist(), strict=True)
    ]


def to_pandas(faces: Detections) -> pd.DataFrame:
    """A table; see `Detections.to_pandas`."""
    import pandas as pd

    table = pd.DataFrame(faces.boxes.numpy(), columns=["x1", "y1", "x2", "y2"])
    table["score"] = faces.scores.numpy()
    source = faces.source
    if source is not None:
        table["source"] = str(source if source.path is None else source.path)
        if source.frame is not None:
            table["frame"], table["time"] = source.frame, source.time
    return table


def to_supervision(faces: Detections) -> sv.Detections:
    """Boxes for `supervision`; see `Detections.to_supervision`."""
    import supervision as sv

    boxes, scores = faces.numpy()
    return sv.Detections(
        xyxy=boxes.copy(),
        confidence=scores.copy(),
        class_id=np.zeros(len(faces), dtype=int),
        data={"class_name": np.full(len(faces), "face")},
    )
