"""What macOS and notebooks leave beside photos and labels is no part of them, in any form."""

import json
import shutil

import pytest
from PIL import Image

from s3fd.data import read_photos

BOX = {"label": "face", "points": [[5, 5], [20, 25]], "shape_type": "rectangle"}
LABELME = {"shapes": [BOX], "imagePath": "a.jpg", "imageHeight": 40, "imageWidth": 60}
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
    "annotations": [{"image_id": 1, "bbox": [5, 5, 15, 20], "category_id": 1}],
    "categories": [{"id": 1, "name": "face"}],
}
VOC = """<annotation><filename>a.jpg</filename><object><name>face</name><bndbox><xmin>6</xmin>
<ymin>6</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object></annotation>"""
FORMS = {
    "labelme": ("a.jpg", {"a.json": json.dumps(LABELME)}),
    "coco": ("images/a.jpg", {"annotations/instances_default.json": json.dumps(COCO)}),
    "pascal-voc": ("JPEGImages/a.jpg", {"Annotations/a.xml": VOC}),
    "yolo": ("images/train/a.jpg", {"labels/train/a.txt": "0 0.3 0.3 0.2 0.2"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("error")
def test_hidden_files_are_passed_over(tmp_path, form):
    photo, labels = FORMS[form]
    for name, text in labels.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / photo).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(tmp_path / photo)
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\x07\xff")
        copies = file.parent / ".ipynb_checkpoints"
        copies.mkdir(exist_ok=True)
        shutil.copy(file, copies / f"{file.stem}-checkpoint{file.suffix}")
    photo_set = read_photos(tmp_path)
    assert photo_set.form == form
    assert [found.path for found in photo_set.photos] == [tmp_path / photo]
    assert len(photo_set.photos[0].boxes) == 1
