import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import s3fd
from s3fd.data import AnnotatedImage, read_photos
from s3fd.data.preview import preview
from s3fd.images import ImageError

ASSETS = Path(s3fd.__file__).parent / "assets"
NAMES = {
    "patches", "colour-distortion", "random-crop", "flip", "data-anchor-sampling", "collage",
    "plain-ground", "graphics", "run",
}  # fmt: skip


@pytest.fixture
def photos():
    return read_photos(ASSETS).photos


def test_the_command_draws_a_picture_of_each_augmentation_and_trains_nothing(run, tmp_path):
    arguments = ["train", "--data", str(ASSETS), "--preview", str(tmp_path), "--input-size", "128"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "1 photos, 0 without a face" in result.output
    assert {path.stem for path in tmp_path.iterdir()} == NAMES
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert picture.height == 160
            assert np.ptp(np.asarray(picture)) > 200


def test_the_same_seed_draws_the_same_pictures_and_another_does_not(photos, tmp_path):
    def drawn(seed):
        return [path.read_bytes() for path in preview(photos, tmp_path, seed=seed, input_size=64)]

    first = drawn(1)
    assert drawn(1) == first
    assert drawn(2) != first


def test_faces_are_drawn_in_green(photos, tmp_path):
    preview(photos, tmp_path, input_size=320, side=320)
    pixels = np.asarray(Image.open(tmp_path / "random-crop.jpg")).astype(int)
    green = (pixels[..., 1] > 180) & (pixels[..., 0] < 80) & (pixels[..., 2] < 180)
    assert green.sum() > 1000


def test_photos_that_cannot_be_read_are_passed_over(photos, tmp_path):
    bad = AnnotatedImage(Path("missing.jpg"), None, None, photos[0].boxes, photos[0].ignore)
    assert len(preview([bad, *photos], tmp_path, input_size=64)) == len(NAMES)
    with pytest.raises(ImageError, match=r"no photo with a face can be read; .*missing\.jpg"):
        preview([bad], tmp_path, input_size=64)


@pytest.mark.parametrize("name", ["run.jpg", "FLIP.jpg"])
def test_no_picture_replaces_a_photo(run, photos, tmp_path, name):
    entry = {"image": name, "width": 512, "height": 512, "boxes": photos[0].boxes.tolist()}
    (tmp_path / "annotations.json").write_text(json.dumps({"images": [entry]}))
    shutil.copy(photos[0].path, tmp_path / name)
    if name != name.lower():  # another name of the same file, as on Windows
        (tmp_path / name.lower()).hardlink_to(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    taken = name.lower()
    with pytest.raises(FileExistsError, match=rf"folder: .*{taken} is one of the photos, which"):
        preview(read_photos(tmp_path).photos, tmp_path, input_size=64)
    result = run("train", "--data", tmp_path, "--preview", tmp_path, "--input-size", "64")
    assert result.exit_code == 2, result.output
    assert f"--preview: {tmp_path / taken} is one of the photos" in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
