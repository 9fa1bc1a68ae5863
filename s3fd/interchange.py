"""Boxes and scores of faces in the forms of other libraries: what `Detections` answers with."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from s3fd.messages import shown

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

    from s3fd.images import Source


def to_coco(
    corner_and_size: Tensor, scores: Tensor, image_id: int | str, category_id: int
) -> list[dict[str, Any]]:
    """Rows of COCO's results; see `Detections.to_coco`."""
    image_id = image_id if isinstance(image_id, str) else _integer("image_id", image_id)
    category_id = _integer("category_id", category_id)
    return [
        {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
        for box, score in zip(corner_and_size.tolist(), scores.tolist(), strict=True)
    ]


def _integer(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {shown(value)}") from None


def to_pandas(boxes: Tensor, scores: Tensor, source: Source | None) -> pd.DataFrame:
    """A table; see `Detections.to_pandas`."""
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("to_pandas needs pandas: pip install 's3fd[results]'") from None
    table = pd.DataFrame(boxes.numpy().copy(), columns=["x1", "y1", "x2", "y2"])
    table["score"] = scores.numpy()
    if source is not None:
        table["source"] = str(source if source.path is None else source.path)
        if source.frame is not None:
            table["frame"], table["time"] = source.frame, source.time
    return table


def to_supervision(boxes: Tensor, scores: Tensor) -> sv.Detections:
    """Boxes for `supervision`; see `Detections.to_supervision`."""
    try:
        import supervision as sv
    except ImportError:
        raise ImportError("to_supervision needs supervision: pip install 's3fd[results]'") from None
    return sv.Detections(
        xyxy=boxes.numpy().copy(),
        confidence=scores.numpy().copy(),
        class_id=np.zeros(len(boxes), dtype=int),
        data={"class_name": np.full(len(boxes), "face")},
    )
