"""Small sets of photos with labels in every form, and detections and settings in every form."""

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

NAMES = ("a.jpg", "b.jpg", "c.jpg")
SIZE = (64, 48)


class Labels(NamedTuple):
    """A file of labels, and how to damage it otherwise than byte by byte.

    Attributes:
        file: its name below the folder.
        content: what it holds.
        kind: ``"json"``, ``"lines"`` of JSON, the characters between words, or ``""`` for binary.
        photos: the folder of the photos.
        others: what else belongs to it, by name.
    """

    file: str
    content: bytes
    kind: str
    photos: str = "images"
    others: tuple[tuple[str, bytes], ...] = ()


def photo_bytes() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", SIZE, (90, 120, 150)).save(stream, "JPEG")
    return stream.getvalue()


def write(folder: Path, labels: Labels, content: bytes) -> None:
    """Photos, labels, and what belongs to them."""
    names = [f"{labels.photos}/{name}" for name in NAMES]
    files = {**dict.fromkeys(names, photo_bytes()), **dict(labels.others), labels.file: content}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def all_forms() -> dict[str, Labels]:
    """One of each form that `s3fd.data.read_photos` reads, two where it has two kinds of files."""
    width, height = SIZE
    size = {"width": width, "height": height}
    entries = [
        {
            "image": f"images/{name}",
            **size,
            "split": "train",
            "boxes": [[4, 5, 30, 40]],
            "ignore": [[1, 1, 9, 9]],
        }
        for name in NAMES
    ]
    coco = {
        "images": [{"id": i, "file_name": name, **size} for i, name in enumerate(NAMES)],
        "annotations": [
            {"image_id": i, "bbox": [4, 5, 20, 30], "category_id": 1, "iscrowd": 0}
            for i in range(3)
        ],
        "categories": [{"id": 1, "name": "face"}],
    }
    labelme = {
        "imagePath": "a.jpg",
        "imageWidth": width,
        "imageHeight": height,
        "shapes": [
            {"label": "face", "points": [[4, 5], [30, 40]], "shape_type": "rectangle"},
            {"label": "face", "points": [[20, 20], [30, 20]], "shape_type": "circle"},
        ],
    }
    wider = "".join(
        f"0--Parade/{name}\n2\n4 5 20 30 0 0 0 0 0 0\n1 1 9 9 0 0 0 1 0 0\n" for name in NAMES
    )
    shapes = (
        '<box label="face" xtl="4.5" ytl="5" xbr="30" ybr="40" rotation="12"/>'
        '<ellipse label="face" cx="20" cy="20" rx="9" ry="6"/>'
        '<polygon label="face" points="1,2;30,4;20,40"/>'
        '<mask label="face" left="3" top="4" width="20" height="20"/>'
    )
    cvat = (
        "<?xml version='1.0' encoding='utf-8'?>\n<annotations><meta><task><labels><label><name>face"
        "</name></label></labels></task></meta>"
        + "".join(
            f'<image id="{i}" name="{name}" width="64" height="48" subset="Train">{shapes}</image>'
            for i, name in enumerate(NAMES)
        )
        + "</annotations>"
    )
    voc = (
        f"<annotation><filename>a.jpg</filename><size><width>{width}</width><height>{height}</height>"
        "</size><object><name>face</name><difficult>0</difficult><bndbox><xmin>4</xmin><ymin>5</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    lists = (("folds/FDDB-fold-01.txt", b"a\nb\nc\n"),)
    ellipses = "".join(f"{name}\n2\n20.5 10.25 1.2 30 20 1\n9 8 0 10 12 1\n" for name in "abc")
    yaml = "path: .\ntrain: images\nval: images\nnames:\n  0: face\n  1: dog\nnc: 2\n"
    yolo = "0 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.3 0.1 0.2 0.4 0.1 0.4\n1 0.5 0.5 0.1 0.1\n"
    return {
        "annotations": _json("annotations.json", {"images": entries}),
        "coco": _json("annotations.json", coco),
        "labelme": _json("a.json", labelme, photos="."),
        "wider-face": Labels(
            "wider_face_split/wider_face_train_bbx_gt.txt",
            wider.encode(),
            " ",
            "WIDER_train/images/0--Parade",
        ),
        "wider-face-mat": Labels(
            "wider_face_split/wider_face_train.mat",
            _wider_mat(),
            "",
            "WIDER_train/images/0--Parade",
        ),
        "fddb": Labels("folds/FDDB-fold-01-ellipseList.txt", ellipses.encode(), " ", others=lists),
        "cvat": Labels("annotations.xml", cvat.encode(), '"<> ,;'),
        "pascal-voc": Labels("Annotations/a.xml", voc.encode(), "<>", "JPEGImages"),
        "yolo": Labels("labels/a.txt", yolo.encode(), " ", others=(("data.yaml", yaml.encode()),)),
        "yolo-yaml": Labels(
            "data.yaml", yaml.encode(), ": ", others=(("labels/a.txt", yolo.encode()),)
        ),
        "afw-pascal": Labels("anno.mat", _afw_mat(), "", "testimages"),
        "afw-pascal-fixed": Labels("a_new_annotations.mat", _pascal_mat(), "", "images"),
        "afw-pascal-7.3": Labels("anno.mat", _hdf5_mat(), "", "testimages"),
    }


def _json(file: str, content: object, photos: str = "images") -> Labels:
    return Labels(file, json.dumps(content).encode(), "json", photos)


def _cells(*values: object) -> np.ndarray:
    cells = np.empty((len(values), 1), object)
    for index, value in enumerate(values):
        cells[index, 0] = value
    return cells


def _saved(**variables: object) -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, variables, do_compression=len(variables) == 1)
    return stream.getvalue()


def _wider_mat() -> bytes:
    stems = [Path(name).stem for name in NAMES]
    boxes = [np.array([[4.0, 5, 20, 30], [1, 1, 9, 9]])] * 3
    return _saved(
        event_list=_cells("0--Parade"),
        file_list=_cells(_cells(*stems)),
        face_bbx_list=_cells(_cells(*boxes)),
        invalid_label_list=_cells(_cells(*[np.array([[0], [1]])] * 3)),
    )


def _afw_mat() -> bytes:
    rows = np.empty((3, 2), object)
    for index, name in enumerate(NAMES):
        rows[index, 0], rows[index, 1] = name, _cells(np.array([[4.0, 5], [30, 40]]))
    return _saved(anno=rows)


def _pascal_mat() -> bytes:
    entries = np.zeros(3, dtype=[("imgname", object), ("objects", object)])
    for index, name in enumerate(NAMES):
        entries[index] = (name, np.array([[4.0, 5, 30, 40, 0, index % 2]]))
    return _saved(Annotations=entries)


def _hdf5_mat() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:

        def store(name: str, value: np.ndarray, kind: str) -> "h5py.Reference":
            node = file.create_dataset(name, data=value)
            node.attrs["MATLAB_class"] = np.bytes_(kind)
            return node.ref

        rows = np.empty((2, 3), object)
        for index, name in enumerate(NAMES):
            text = np.array([[ord(char)] for char in name], np.uint16)
            box = store(f"#refs#/box{index}", np.array([[4.0, 30], [5, 40]]), "double")
            cell = file.create_dataset(f"#refs#/cell{index}", (1, 1), h5py.ref_dtype)
            cell[0, 0] = box
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
            rows[0, index] = store(f"#refs#/name{index}", text, "char")
            rows[1, index] = cell.ref
        anno = file.create_dataset("anno", (2, 3), h5py.ref_dtype)
        for row in range(2):
            for column in range(3):
                anno[row, column] = rows[row, column]
        anno.attrs["MATLAB_class"] = np.bytes_("cell")
    return b"MATLAB 7.3 MAT-file".ljust(512) + stream.getvalue()[512:]


def detections() -> dict[str, Labels]:
    """Files of detections and of settings, by what reads them."""
    lines = "".join(
        json.dumps(
            {
                "photo": f"images/0--Parade/{name}",
                "width": 64,
                "height": 48,
                "faces": [{"box": [4.0, 5.0, 30.0, 40.0], "score": 0.9}],
            }
        )
        + "\n"
        for name in NAMES
    )
    wider = "a.jpg\n2\n4 5 20 30 0.9\n1 1 9 9 0.25\n"
    fddb = "".join(f"{name}\n2\n4 5 20 30 0.9\n1 1 9 9 0.25\n" for name in "abc")
    voc = "".join(f"{name} 0.9 4 5 20 30\n" for name in "abc")
    toml = 'extends = "light"\nsteps = 100\nlearning_rate = 0.01\n[augmentation]\nflip = 0.5\n'
    return {
        "predictions": Labels("found.jsonl", lines.encode(), "lines"),
        "predictions-wider": Labels("found/0--Parade/a.txt", wider.encode(), " "),
        "predictions-fddb": Labels("found.txt", fddb.encode(), " "),
        "predictions-voc": Labels("found.txt", voc.encode(), " "),
        "resume": Labels("found.jsonl", lines.encode(), "lines"),
        "config": Labels("mine.toml", toml.encode(), "= "),
        "published": Labels("wider_pr_info_X_easy_val.mat", _curve(), ""),
    }


def _curve() -> bytes:
    curve = np.array([[1.0, 0.1], [0.9, 0.5], [0.8, 0.6]])
    return _saved(pr_cruve=curve, legend_name="X")
