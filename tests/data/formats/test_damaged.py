"""Labels with values that can't be: one error, in one short line, with the name of the file."""

import json

import numpy as np
import pytest
from matlab_files import savemat
from PIL import Image

from s3fd.data import read_photos

ENTRY = {"image": "a.png", "width": 60, "height": 40, "boxes": [[1, 2, 30, 40]]}
COCO_IMAGE = {"id": 1, "file_name": "a.png", "width": 60, "height": 40}
COCO_FACE = {"image_id": 1, "bbox": [1, 2, 30, 20], "category_id": 1}
FACE = {"id": 1, "name": "face"}
SHAPE = {"label": "face", "points": [[4, 5], [30, 40]]}
HUGE = 10**400


def coco(image=COCO_IMAGE, face=COCO_FACE, category=FACE):
    return {"images": [image], "annotations": [face], "categories": [category]}


def labelme(**changes):
    return {"imagePath": "a.png", "imageWidth": 60, "imageHeight": 40, "shapes": [SHAPE], **changes}


def refusal(folder, form):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the tests look at the message
        read_photos(folder, "train", form)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("annotations", {"images": [{**ENTRY, "boxes": [[0, 0, HUGE, 1]]}]}),
        ("annotations", {"images": [{**ENTRY, "boxes": [[0, 0, 1e39, 1]]}]}),
        ("annotations", {"images": [{**ENTRY, "boxes": [[0, 0, 9, 9], [1]]}]}),
        ("annotations", {"images": [{**ENTRY, "width": -1}]}),
        ("annotations", {"images": [{**ENTRY, "image": "x" * 5000, "width": []}]}),
        ("coco", coco({**COCO_IMAGE, "width": float("inf")})),
        ("coco", coco({**COCO_IMAGE, "file_name": ["a.png"]})),
        ("coco", coco({**COCO_IMAGE, "id": [1]})),
        ("coco", coco({**COCO_IMAGE, "split": ["val"]})),
        ("coco", coco(face={**COCO_FACE, "bbox": [0, 0, HUGE, 9]})),
        ("coco", coco(face={**COCO_FACE, "bbox": ["x" * 5000] * 4})),
        ("coco", coco(face={**COCO_FACE, "category_id": {}})),
        ("coco", coco(face={**COCO_FACE, "image_id": "x" * 5000})),
        ("coco", coco(category={"id": {}, "name": "face"})),
        ("coco", coco(category={"id": 1, "name": "x" * 5000})),
        ("labelme", labelme(imageWidth=float("inf"))),
        ("labelme", labelme(imagePath=7)),
        ("labelme", labelme(shapes=[{**SHAPE, "points": [[0, HUGE]]}])),
        ("labelme", labelme(shapes=[{**SHAPE, "label": "x" * 5000}])),
    ],
)
def test_json_with_odd_values(folder, form, content):
    name = "a.json" if form == "labelme" else "annotations.json"
    (folder / name).write_text(json.dumps(content))
    assert str(folder) in refusal(folder, form)


@pytest.mark.parametrize("form", ["annotations", "coco", "labelme"])
def test_a_name_that_no_file_can_have_is_a_photo_that_is_not_there(folder, form):
    name = "a" * 300 + ".jpg"
    contents = {
        "annotations": {"images": [{**ENTRY, "image": name}]},
        "coco": coco({**COCO_IMAGE, "file_name": name}),
        "labelme": labelme(imagePath=name),
    }
    file = folder / ("a.json" if form == "labelme" else "annotations.json")
    file.write_text(json.dumps(contents[form]))
    try:
        photos = read_photos(folder, "train", form).photos
    except FileNotFoundError as error:
        assert str(folder) in str(error)  # noqa: PT017  # either is right
    else:
        assert not any(photo.path.name == "a.png" for photo in photos)


@pytest.mark.parametrize(
    "row",
    ["0 0 1e39 9 0 0 0 0 0 0", "1e308 1 1e308 1 0 0 0 0 0 0", "9" * 5000, "1 2 3 " + "x" * 5000],
)
def test_wider_face_with_odd_numbers(folder, row):
    (folder / "WIDER_train" / "images").mkdir(parents=True)
    labels = folder / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    labels.parent.mkdir()
    labels.write_text(f"a.png\n1\n{row}\n")
    assert str(folder) in refusal(folder, "wider-face")


def yaml_of_many():
    """Lists of the same list, eleven deep: a hundred gigabytes if they were written out."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        lines.append(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "names: [face\ntrain: images\n",
        f"{yaml_of_many()}\nnames: {{a: *l11}}\n",
        f"{yaml_of_many()}\nnames: {{0: *l11}}\n",
        f"{yaml_of_many()}\nnames: {{0: face}}\ntrain: {{a: *l11}}\n",
        "names: {0: face}\ndate: 2001-99-99\n",
        "names: " + "[" * 3000,
    ],
)
def test_yaml_that_is_none_or_more_than_it_looks(folder, text):
    pytest.importorskip("yaml", reason="reads YAML, with the extra `formats`")
    (folder / "data.yaml").write_text(text)
    assert "data.yaml" in refusal(folder, "yolo")


def test_folders_that_are_not_there_are_named_in_a_few_words(folder):
    pytest.importorskip("yaml", reason="reads YAML, with the extra `formats`")
    (folder / "data.yaml").write_text(f"names: [face]\ntrain: [{', '.join(['x' * 5000] * 9)}]\n")
    with pytest.raises(FileNotFoundError, match=r"data\.yaml says they are") as raised:
        read_photos(folder, "train", "yolo")
    assert len(str(raised.value)) < 2000


def test_a_name_that_is_a_number_ends_the_search_for_one(folder):
    entries = np.zeros(1, dtype=[("imgname", object), ("objects", object)])
    entries[0] = (np.array([[7.0]]), np.array([[1.0, 2, 30, 20, 0, 0]]))
    savemat(folder / "new_annotations.mat", {"Annotations": entries})
    assert "new_annotations.mat" in refusal(folder, "afw-pascal")


def test_boxes_of_matlab_that_are_no_numbers(folder):
    (folder / "WIDER_train" / "images").mkdir(parents=True)
    (folder / "wider_face_split").mkdir()

    def cells(value):
        cell = np.empty((1, 1), object)
        cell[0, 0] = value
        return cell

    for boxes in (np.array([[1.0, 2, np.nan, 9]]), "text"):
        variables = {"event_list": cells("0--Parade"), "file_list": cells(cells("a"))}
        variables["face_bbx_list"] = cells(cells(boxes))
        savemat(folder / "wider_face_split" / "wider_face_train.mat", variables)
        assert "wider_face_train.mat" in refusal(folder, "wider-face")


def test_xml_in_an_encoding_that_is_not_known(folder):
    text = '<?xml version="1.0" encoding="{}"?><annotations></annotations>'
    for encoding in ("no-such-thing", "utf-7", "euc-jp"):
        (folder / "annotations.xml").write_text(text.format(encoding))
        assert "annotations.xml" in refusal(folder, "cvat")
