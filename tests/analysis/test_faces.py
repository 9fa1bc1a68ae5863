import json

import numpy as np
import pytest
from matlab_files import savemat
from PIL import Image

from s3fd.analysis import ImageFaces, read_faces

TEXT = """0--Parade/a.jpg
2
10 20 30 40 0 0 0 0 0 0
1 2 0 4 0 0 0 1 0 0
0--Parade/none.jpg
0
0 0 0 0 0 0 0 0 0 0
0--Parade/none too.jpg
0
1--Handshaking/b.jpg
1
5 6 7 8
"""
BOXES = [[[10, 20, 40, 60], [1, 2, 1, 6]], [], [], [[5, 6, 12, 14]]]


def cells(values):
    column = np.empty((len(values), 1), dtype=object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def test_the_text_of_wider_face_is_read_with_images_without_faces(tmp_path):
    file = tmp_path / "wider_face_val_bbx_gt.txt"
    file.write_text(TEXT)
    images = read_faces(file)
    assert [image.boxes.tolist() for image in images] == BOXES
    assert images[2].name == "0--Parade/none too.jpg"
    assert all(image.boxes.shape[1] == 4 and image.size is None for image in images)


def test_the_matlab_file_of_wider_face_is_read(tmp_path):
    names, boxes = cells(["a", "b"]), cells([np.array([[10.5, 20, 30, 40]]), np.empty((0, 4))])
    content = {
        "event_list": cells(["0--Parade"]),
        "file_list": cells([names]),
        "face_bbx_list": cells([boxes]),
    }
    savemat(tmp_path / "wider_face_val.mat", content)
    images = read_faces(tmp_path)
    assert [(i.name, i.boxes.tolist()) for i in images] == [
        ("0--Parade/a.jpg", [[10.5, 20, 40.5, 60]]),
        ("0--Parade/b.jpg", []),
    ]


def test_a_folder_is_searched_for_its_split(tmp_path):
    (tmp_path / "wider_face_split").mkdir()
    (tmp_path / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text(TEXT)
    assert len(read_faces(tmp_path, "train")) == 4
    with pytest.raises(ValueError, match="no photo of split 'val'; there are those of 'train'"):
        read_faces(tmp_path, "val")


def test_annotations_bring_the_size_of_their_images(tmp_path):
    entry = {"image": "a.jpg", "width": 320, "height": 100, "split": "val", "boxes": [[0, 0, 8, 8]]}
    (tmp_path / "annotations.json").write_text(json.dumps({"images": [entry]}))
    (image,) = read_faces(tmp_path)
    assert image.size == (100, 320)
    assert image.fitted(640).tolist() == [[0, 0, 16, 16]]


@pytest.fixture
def fddb(tmp_path):
    """A photo of 450 x 320 pixels, with a circle of 40 pixels."""
    (tmp_path / "folds").mkdir()
    (tmp_path / "images").mkdir()
    Image.new("RGB", (450, 320)).save(tmp_path / "images" / "a.jpg")
    (tmp_path / "folds" / "FDDB-fold-01.txt").write_text("a\n")
    circle = "a\n1\n20 20 0 200 150 1\n"
    (tmp_path / "folds" / "FDDB-fold-01-ellipseList.txt").write_text(circle)
    return tmp_path


def test_the_size_of_an_image_is_that_of_the_photo_where_labels_do_not_say(fddb):
    (image,) = read_faces(fddb)
    assert image.size == (320, 450)
    ((x1, _, x2, _),) = image.fitted(900).tolist()
    assert x2 - x1 == pytest.approx(80)


def test_a_photo_is_as_large_as_it_is_upright(fddb):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (450, 320)).save(fddb / "images" / "a.jpg", exif=exif)
    assert read_faces(fddb)[0].size == (450, 320)


def test_a_photo_of_unknown_size_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "Annotations").mkdir()
    corners = "".join(f"<{side}>9</{side}>" for side in ("xmin", "ymin", "xmax", "ymax"))
    face = f"<object><name>face</name><bndbox>{corners}</bndbox></object>"
    (tmp_path / "Annotations" / "a.xml").write_text(f"<annotation>{face}</annotation>")
    with pytest.raises(
        FileNotFoundError, match=r"data: the labels don't say how large .*a\.jpg is"
    ):
        read_faces(tmp_path)


@pytest.mark.parametrize("name", ["anno.mat", "mine.mat", None])
def test_the_matlab_file_of_afw_may_be_named_itself(tmp_path, name):
    photos = tmp_path / "testimages"
    photos.mkdir()
    Image.new("RGB", (64, 48)).save(photos / "a.jpg")
    row = np.empty((1, 2), object)
    row[0, :] = ["a.jpg", cells([np.array([[10.0, 10], [30, 30]])])]
    savemat(photos / (name or "anno.mat"), {"anno": row})
    (image,) = read_faces(photos if name is None else photos / name)
    assert (image.size, image.boxes.tolist()) == ((48, 64), [[10, 10, 30, 30]])


def test_an_image_of_unknown_size_is_as_large_as_wider_face_or_its_boxes():
    assert ImageFaces("a", np.float32([[0, 0, 64, 64]])).fitted(512).tolist() == [[0, 0, 32, 32]]
    high = ImageFaces("b", np.float32([[0, 1984, 64, 2048]]))
    assert high.fitted(512).tolist() == [[0, 496, 16, 512]]
    assert ImageFaces("c", np.empty((0, 4), np.float32)).fitted(512).shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg\n2\n1 2 3 4\n", "txt:4: face 2 of 2 in a.jpg: .* got the end of the file"),
        ("a.jpg\n1\n1 2 3 4\nb.jpg\n1\n1 2 3\n", "txt:6: face 1 of 1 in b.jpg: expected x y w h"),
        ("a.jpg\nb.jpg\n", "txt:2: expected the number of faces in a.jpg, got b.jpg"),
        ("a.jpg\n", "txt:2: expected the number of faces in a.jpg"),
    ],
)
def test_a_damaged_text_names_its_line(tmp_path, text, message):
    (tmp_path / "wider.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_faces(tmp_path / "wider.txt")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "faces.csv").write_text("")
    (tmp_path / "text.mat").write_text("no MATLAB file")
    savemat(tmp_path / "other.mat", {"a": 1})
    with pytest.raises(FileNotFoundError, match=r"faces\.csv holds no labels that are known"):
        read_faces(tmp_path / "faces.csv")
    with pytest.raises(ValueError, match=r"text\.mat: can't be read as a MATLAB file"):
        read_faces(tmp_path / "text.mat")
    with pytest.raises(ValueError, match=r"other\.mat: expected cells .* face_bbx_list"):
        read_faces(tmp_path / "other.mat")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_faces(tmp_path / "none.txt")


def test_both_forms_of_the_real_validation_set_hold_the_same_faces(shared):
    text = read_faces(shared / "wider_face_val" / "wider_face_val_bbx_gt.txt")
    matlab = read_faces(shared / "wider_face_val" / "newer" / "wider_face_val.mat")
    assert len(text) == 3226
    assert sum(len(image.boxes) for image in text) == 39708

    def by_name(images):
        return {image.name.split("/")[-1].removesuffix(".jpg"): image.boxes for image in images}

    text, matlab = by_name(text), by_name(matlab)
    assert text.keys() == matlab.keys()
    assert all(np.array_equal(text[name], matlab[name]) for name in text)
