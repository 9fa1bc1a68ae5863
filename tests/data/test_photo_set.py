import json
import warnings

import numpy as np
import pytest
from matlab_files import savemat
from PIL import Image

from s3fd.data import FORMS, read_photos

XML = """<annotation><filename>{name}.jpg</filename>
<size><width>{width}</width><height>40</height><depth>3</depth></size>
<object><name>face</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>10</xmax><ymax>22</ymax></bndbox></object>
<object><name>face</name><difficult>1</difficult>
<bndbox><xmin>31</xmin><ymin>3</ymin><xmax>40</xmax><ymax>22</ymax></bndbox></object>
<object><name>person</name>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>
</annotation>"""


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(path)


@pytest.fixture
def voc(tmp_path):
    for name in ("a", "b"):
        photo(tmp_path / "JPEGImages" / f"{name}.jpg")
        file = tmp_path / "Annotations" / f"{name}.xml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(XML.format(name=name, width=60 if name == "a" else 0))
    return tmp_path


def test_pascal_voc_counts_pixels_from_one_and_difficult_faces_are_ignored(voc):
    photo_set = read_photos(voc)
    assert photo_set.form == "pascal-voc"
    first, second = photo_set.photos
    np.testing.assert_array_equal(first.boxes, [[0, 2, 10, 22]])
    np.testing.assert_array_equal(first.ignore, [[30, 2, 40, 22]])
    assert first.path.is_file()
    assert (first.width, first.height) == (60, 40)
    assert second.width is None  # some tools write a size of 0


@pytest.mark.parametrize("name", ["a", "C:\\photos\\a.jpg", "photos/a.jpg", "renamed.jpg"])
def test_pascal_voc_may_say_what_the_photo_was_called_before(voc, name):
    text = XML.format(name="a", width=60).replace("a.jpg", name)
    (voc / "Annotations" / "a.xml").write_text(text.replace(">60<", ">60.0<", 1))
    first, _ = read_photos(voc).photos
    assert first.path == voc / "JPEGImages" / "a.jpg"
    assert first.width == 60


def test_xml_of_pascal_voc_may_be_named_after_the_whole_name_of_its_photo(voc):
    text = (voc / "Annotations" / "a.xml").read_text()
    (voc / "Annotations" / "a.xml").rename(voc / "Annotations" / "a.jpg.xml")
    for name in ("<filename>before.jpg</filename>", ""):
        without = text.replace("<filename>a.jpg</filename>", name)
        (voc / "Annotations" / "a.jpg.xml").write_text(without)
        first, _ = read_photos(voc).photos
        assert first.path == voc / "JPEGImages" / "a.jpg"


@pytest.mark.parametrize("written", ["1.jpg", "north/1.jpg"])
def test_names_of_pascal_voc_may_have_folders(tmp_path, written):
    for place in ("north", "south"):
        photo(tmp_path / "JPEGImages" / place / "1.jpg")
        file = tmp_path / "Annotations" / place / "1.xml"
        file.parent.mkdir(parents=True)
        text = XML.format(name="1", width=60).replace("1.jpg", written.replace("north", place))
        file.write_text(text)
    expected = [tmp_path / "JPEGImages" / place / "1.jpg" for place in ("north", "south")]
    assert [found.path for found in read_photos(tmp_path).photos] == expected
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("south/1\n")
    assert [found.path for found in read_photos(tmp_path, "val").photos] == expected[1:]


@pytest.mark.parametrize("photos", ["images", "JPEGImages", "."])
def test_the_folder_of_pascal_voc_may_be_written_small(tmp_path, photos):
    photo(tmp_path / photos / "a.jpg")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text(XML.format(name="a", width=60))
    photo_set = read_photos(tmp_path)
    assert photo_set.form == "pascal-voc"
    (found,) = photo_set.photos
    assert found.path == tmp_path / photos / "a.jpg"
    np.testing.assert_array_equal(found.boxes, [[0, 2, 10, 22]])


@pytest.mark.parametrize("start", ["<annotation>", '<annotation verified="yes">'])
def test_labels_of_pascal_voc_may_lie_beside_their_photos(tmp_path, start):
    text = XML.format(name="a", width=60).replace("<annotation>", start)
    for name in ("a", "deep/b"):  # labelImg's first photo was renamed
        photo(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.xml").write_text(text)
    photo_set = read_photos(tmp_path)
    assert (photo_set.form, photo_set.split) == ("pascal-voc", None)
    paths = [found.path for found in photo_set.photos]
    assert paths == [tmp_path / "a.jpg", tmp_path / "deep" / "b.jpg"]
    np.testing.assert_array_equal(photo_set.photos[1].ignore, [[30, 2, 40, 22]])


def test_the_labels_of_one_photo_may_be_named_themselves(tmp_path):
    for name in ("a", "b"):
        photo(tmp_path / f"{name}.jpg")
    (tmp_path / "a.xml").write_text(XML.format(name="a", width=60))
    square = {"label": "face", "points": [[0, 2], [10, 22]]}
    content = {"shapes": [square], "imagePath": "b.jpg", "imageWidth": 60, "imageHeight": 40}
    (tmp_path / "b.json").write_text(json.dumps(content))
    for file, form in (("a.xml", "pascal-voc"), ("b.json", "labelme")):
        photo_set = read_photos(tmp_path / file)
        assert (photo_set.form, photo_set.split) == (form, None)
        (found,) = photo_set.photos
        assert found.path == tmp_path / f"{file[0]}.jpg"
        np.testing.assert_array_equal(found.boxes, [[0, 2, 10, 22]])


def test_folders_are_the_splits_of_labels_of_pascal_voc_beside_photos(tmp_path):
    for name in ("train/a", "valid/b"):
        photo(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.xml").write_text(XML.format(name=name[-1], width=60))
    photo_set = read_photos(tmp_path, "val")
    assert (photo_set.form, photo_set.split) == ("pascal-voc", "val")
    assert [found.path.name for found in photo_set.photos] == ["b.jpg"]
    with pytest.raises(ValueError, match="no photo of split 'test'; there are those of 'train'"):
        read_photos(tmp_path, "test")
    (tmp_path / "c.xml").write_text(XML.format(name="c", width=60))
    (tmp_path / "notes.xml").write_text("<notes/>")
    with pytest.warns(UserWarning, match=r"1 files that are in no folder of a split .* c\.xml"):
        read_photos(tmp_path, "train")


def test_other_xml_is_not_taken_for_labels_of_pascal_voc(tmp_path):
    photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "project.xml").write_text("<project/>")
    assert read_photos(tmp_path).form == "yolo"
    (tmp_path / "a.xml").write_text("<project><annotation/></project>")
    with pytest.raises(ValueError, match=r"a\.xml: .*expected <annotation>, got <project>"):
        read_photos(tmp_path, form="pascal-voc")


def test_other_xml_beside_labels_of_pascal_voc_is_left_out_and_told(tmp_path):
    photo(tmp_path / "b.jpg")
    (tmp_path / "b.xml").write_text(XML.format(name="b", width=60))
    (tmp_path / "a_project.xml").write_text("<project/>")
    with pytest.warns(UserWarning, match=r"1 files that are no labels .* such as a_project\.xml"):
        assert len(read_photos(tmp_path).photos) == 1
    photo(tmp_path / "a_project.jpg")
    with pytest.raises(ValueError, match=r"a_project\.xml: not labels in the form of PASCAL VOC"):
        read_photos(tmp_path)


def test_labels_of_pascal_voc_that_went_on_naming_another_photo_are_refused(voc):
    (voc / "Annotations" / "b.xml").write_text(XML.format(name="a", width=60))
    with pytest.raises(ValueError, match=r"2 entries are of .*a\.jpg; list each photo once"):
        read_photos(voc)


def test_the_split_of_pascal_voc_is_a_list_of_names(voc):
    sets = voc / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "val.txt").write_text("b -1\n\n")
    assert [p.path.name for p in read_photos(voc, "val").photos] == ["b.jpg"]
    with pytest.raises(ValueError, match="no photo of split 'train'; there are those of 'val'"):
        read_photos(voc, "train")


@pytest.mark.parametrize(
    "line", ["my photo", '"my photo"', "'my photo'", "my photo -1", "my photo  0", '"my photo" 1']
)
def test_names_in_the_lists_of_pascal_voc_may_have_blanks_and_marks(voc, line):
    for name in ("my photo", "my"):
        photo(voc / "JPEGImages" / f"{name}.jpg")
        (voc / "Annotations" / f"{name}.xml").write_text(XML.format(name=name, width=60))
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (voc / "ImageSets" / "Main" / "train.txt").write_text(f"{line}\na 1\n")
    found = [found.path.name for found in read_photos(voc).photos]
    assert found == ["my photo.jpg", "a.jpg"]


def test_a_name_of_pascal_voc_may_end_like_a_mark(voc):
    photo(voc / "JPEGImages" / "a 1.jpg")
    (voc / "Annotations" / "a 1.xml").write_text(XML.format(name="a 1", width=60))
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (voc / "ImageSets" / "Main" / "train.txt").write_text("a 1\na\nb 1\n")
    found = [found.path.name for found in read_photos(voc).photos]
    assert found == ["a 1.jpg", "a.jpg", "b.jpg"]


@pytest.mark.parametrize("text", ["<annotation>", XML.replace("<xmin>1<", "<xmin>one<"),
                                  XML.replace("<ymax>22</ymax>", "")])  # fmt: skip
def test_a_malformed_file_of_pascal_voc_is_named(voc, text):
    (voc / "Annotations" / "b.xml").write_text(text)
    with pytest.raises(ValueError, match=r"b\.xml: not labels in the form of PASCAL VOC"):
        read_photos(voc)


def cells(values):
    array = np.empty((1, len(values)), dtype=object)
    array[0, :] = values
    return array


@pytest.fixture
def afw(tmp_path):
    """AFW as its authors publish it."""
    corners = cells([np.array([[5.5, 6.0], [25.0, 30.0]]), np.array([[30.0, 5.0], [50.0, 25.0]])])
    row = np.empty((1, 2), dtype=object)
    row[0, :] = ["a.jpg", corners]
    photo(tmp_path / "testimages" / "a.jpg")
    savemat(tmp_path / "testimages" / "anno.mat", {"anno": row})
    return tmp_path


def test_what_is_wrong_with_a_file_of_pascal_voc_is_said_in_a_line(voc):
    text = XML.format(name="a", width=60).replace("<xmin>1<", f"<xmin>{'x' * 3000}<", 1)
    (voc / "Annotations" / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=r"a\.xml: not labels .*could not convert") as caught:
        read_photos(voc)
    assert len(str(caught.value)) < 500


def test_afw_is_read_from_its_own_labels(afw):
    photo_set = read_photos(afw)
    assert photo_set.form == "afw-pascal"
    (only,) = photo_set.photos
    assert only.path.is_file()
    np.testing.assert_array_equal(only.boxes, [[5.5, 6, 25, 30], [30, 5, 50, 25]])


def structured(entries):
    array = np.empty((len(entries), 1), dtype=[("imgname", object), ("objects", object)])
    for index, (name, objects) in enumerate(entries):
        array[index, 0] = (name, objects)
    return {"Annotations": array}


def test_the_corrected_labels_of_afw_and_pascal_faces_are_preferred(afw):
    objects = np.array([[1.0, 3, 10, 22, 0, 0], [31, 3, 40, 22, 0, 1]])
    entries = [("a.jpg", objects), ("b.jpg", np.zeros((0, 6)))]
    savemat(afw / "Annotations_Face_PASCALLayout_large_fixed.mat", structured(entries))
    first, second = read_photos(afw).photos
    assert first.path.is_file()
    np.testing.assert_array_equal(first.boxes, [[0, 2, 10, 22]])
    np.testing.assert_array_equal(first.ignore, [[30, 2, 40, 22]])
    assert len(second.boxes) == 0


def test_labels_of_pascal_faces_without_the_mark_are_read(afw):
    savemat(afw / "x_fixed.mat", structured([("a.jpg", np.array([[1.0, 3, 10, 22]]))]))
    np.testing.assert_array_equal(read_photos(afw).photos[0].boxes, [[0, 2, 10, 22]])


@pytest.mark.parametrize("variables", [{"other": 1.0}, {"anno": np.zeros((2, 2))}])
def test_malformed_labels_of_afw_are_named(afw, variables):
    savemat(afw / "testimages" / "anno.mat", variables)
    with pytest.raises(ValueError, match=r"anno\.mat: not labels of AFW or PASCAL faces"):
        read_photos(afw)


def test_fddb_is_read_and_its_missing_photos_left_out(tmp_path):
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "FDDB-fold-01.txt").write_text("2002/a\n2002/b\n")
    (tmp_path / "folds" / "FDDB-fold-01-ellipseList.txt").write_text(
        "2002/a\n1\n10 5 1.5707963 20 20 1\n2002/b\n0\n"
    )
    photo(tmp_path / "images" / "2002" / "a.jpg")
    photo_set = read_photos(tmp_path)
    assert photo_set.form == "fddb"
    (only,) = photo_set.photos
    np.testing.assert_allclose(only.boxes, [[15, 10, 25, 30]], atol=1e-4)


def test_annotations_json_is_read(tmp_path):
    entry = {"image": "a.jpg", "width": 60, "height": 40, "split": "train", "boxes": []}
    (tmp_path / "annotations.json").write_text(json.dumps({"images": [entry]}))
    assert read_photos(tmp_path).form == "annotations"


def test_a_folder_without_labels_is_said_to_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no labels that are known"):
        read_photos(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        read_photos(tmp_path / "nowhere")


def test_an_unknown_form_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=f"form: expected one of {', '.join(FORMS)}, got 'csv'"):
        read_photos(tmp_path, form="csv")


def test_the_real_photos_are_counted(shared):
    summary = read_photos(shared / "faces").summary()
    assert "9813 photos, 702 without a face; 17174 faces" in summary


@pytest.fixture
def labelled(tmp_path):
    """Writes labels of two photos in this package's form."""

    def write(*boxes):
        entries = [
            {"image": f"{n}.jpg", "width": 60, "height": 40, "boxes": rows}
            for n, rows in enumerate(boxes)
        ]
        (tmp_path / "annotations.json").write_text(json.dumps({"images": entries}))
        return tmp_path

    return write


def test_a_box_outside_its_photo_is_no_face(labelled):
    boxes = [[1, 1, 9, 9], [60, 1, 70, 9], [-9, -9, 0, 5], [50, 30, 99, 99]]
    (photo,) = read_photos(labelled(boxes)).photos
    assert photo.boxes.tolist() == [boxes[0], boxes[3]]
    assert photo.ignore.tolist() == [boxes[1], boxes[2]]


def test_boxes_by_the_size_of_the_photo_are_refused(labelled):
    with pytest.raises(ValueError, match="boxes in pixels, but no number in them is above 1"):
        read_photos(labelled([[0.1, 0.2, 0.9, 1.0]], []))
    assert len(read_photos(labelled([[0.1, 0.2, 0.9, 1.0]], [[0, 0, 9, 9]])).photos) == 2


def test_labels_without_a_box_that_has_an_area_are_refused(labelled):
    with pytest.raises(ValueError, match=r"no face, but 2 boxes without an area; are their corn"):
        read_photos(labelled([[30, 20, 10, 10]], [[9, 9, 5, 20]]))
    assert len(read_photos(labelled([], [])).photos) == 2


def test_corners_and_sizes_that_were_taken_for_each_other_are_doubted(labelled):
    corners = [[5, 5, 20, 20], [45, 5, 58, 20], [40, 10, 58, 30], [35, 20, 55, 38]]  # of 60 x 40
    sizes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in corners]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_photos(labelled(corners))
    with pytest.warns(UserWarning, match=r"3 of 4 boxes have no area; are their numbers"):
        read_photos(labelled(sizes))
    added = [[x1, y1, x1 + x2, y1 + y2] for x1, y1, x2, y2 in corners]  # as COCO's reader does
    with pytest.warns(UserWarning, match="3 of 4 boxes lie mostly outside their photos; are their"):
        read_photos(labelled(added))


def test_one_class_is_a_list_too(voc):
    with pytest.raises(TypeError, match="classes: expected a list of names, got 'face'"):
        read_photos(voc, classes="face")
