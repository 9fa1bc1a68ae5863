"""Detections in the forms of other libraries, checked by these libraries."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from s3fd import Detections
from s3fd.images import Source


def faces(source=None):
    boxes = torch.tensor([[8.0, 4.0, 24.5, 28.0], [30.0, 2.0, 36.0, 12.0]])
    return Detections(boxes, torch.tensor([0.9, 0.5]), (48, 64), source)


def nothing(source=None):
    return Detections(torch.zeros(0, 4), torch.zeros(0), (48, 64), source)


def test_coco_scores_its_rows_against_its_own_annotations():
    coco_module = pytest.importorskip("pycocotools.coco", reason="optional: COCO's own tool")
    from pycocotools.cocoeval import COCOeval

    truth = coco_module.COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": 7}, {"id": 8}],
        "categories": [{"id": 3, "name": "face"}],
        "annotations": [
            {"id": i + 1, "image_id": 7, "category_id": 3, "bbox": box, "area": box[2] * box[3]}
            | {"iscrowd": 0}
            for i, box in enumerate(faces().xywh.tolist())
        ],
    }
    truth.createIndex()
    rows = faces().to_coco(7, 3) + nothing().to_coco(8, 3)
    assert rows[0]["bbox"] == [8.0, 4.0, 16.5, 24.0]
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_rows_of_coco_are_json_whatever_kind_of_number_the_ids_are():
    written = json.dumps(faces().to_coco(np.int64(7), np.int32(3)))
    assert json.loads(written)[1] == faces().to_coco(7, 3)[1]
    assert faces().to_coco("a")[0]["image_id"] == "a"
    for ids, name in (((None,), "image_id"), ((7.5,), "image_id"), ((7, "face"), "category_id")):
        with pytest.raises(TypeError, match=f"{name}: expected an integer"):
            faces().to_coco(*ids)


def test_pandas_has_a_row_a_face_that_knows_its_image():
    pd = pytest.importorskip("pandas", reason="optional")
    assert faces().to_pandas().columns.tolist() == ["x1", "y1", "x2", "y2", "score"]
    results = [
        faces(Source(0, Path("clip.mp4"), 0, 0.0)),
        nothing(Source(1, Path("clip.mp4"), 1, 0.5)),
        faces(Source(2, Path("clip.mp4"), 2, 1.0)),
    ]
    table = pd.concat([result.to_pandas() for result in results])
    assert table["source"].tolist() == ["clip.mp4"] * 4
    assert table["frame"].tolist() == [0, 0, 2, 2]
    assert table["time"].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(table[["x1", "y1", "x2", "y2"]][:2], faces().boxes)
    assert faces(Source(4)).to_pandas()["source"].tolist() == ["images[4]"] * 2


def test_a_table_is_the_users_own():
    pytest.importorskip("pandas", reason="optional")
    found = faces()
    table = found.to_pandas()
    table.loc[0, ["x1", "score"]] = -1.0
    assert found == faces()


@pytest.mark.filterwarnings("ignore:OpenCV")
@pytest.mark.parametrize("package", ["pandas", "supervision"])
def test_a_package_that_is_missing_is_named_with_its_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"to_{package} needs {package}: pip install 's3fd\[re"):
        getattr(faces(), f"to_{package}")()


def test_supervision_counts_and_filters_the_same_faces():
    sv = pytest.importorskip("supervision", reason="optional")
    found = faces().to_supervision()
    np.testing.assert_array_equal(found.xyxy, faces().boxes)
    np.testing.assert_array_equal(found.confidence, faces().scores)
    assert found["class_name"].tolist() == ["face", "face"]
    assert len(found[found.confidence > 0.6]) == 1
    np.testing.assert_array_equal(found.area, faces().areas)
    zone = sv.PolygonZone(np.array([[0, 0], [28, 0], [28, 40], [0, 40]]))
    assert zone.trigger(found).tolist() == [True, False]
    assert len(sv.Detections.merge([found, nothing().to_supervision()])) == 2
