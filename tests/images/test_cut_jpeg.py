"""JPEGs that end too early."""

import io

import numpy as np
import pytest
from PIL import Image

from s3fd.images import ImageError, ImageWarning, read_image


def encoded(size=(320, 240), **options):
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize(size).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("cut", [2, 3, 10, 100])
def test_a_few_missing_bytes_cost_the_end_of_the_picture_and_a_warning(tmp_path, options, cut):
    data = encoded(**options)
    (tmp_path / "cut.jpg").write_bytes(data[:-cut])
    for image in (tmp_path / "cut.jpg", data[:-cut]):
        with pytest.warns(ImageWarning, match=r"(cut\.jpg|image): cut short: .* missing"):
            pixels = read_image(image)
        assert pixels.shape == (240, 320, 3)
        np.testing.assert_allclose(pixels[:200], read_image(data)[:200], atol=16)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("size", [(320, 240), (64, 64), (32, 32)])
def test_a_missing_half_is_an_error(tmp_path, options, size):
    data = encoded(size, **options)
    header = data.index(b"\xff\xda") + 14  # where the pixels begin
    (tmp_path / "cut.jpg").write_bytes(data[: (header + len(data)) // 2])
    with pytest.raises(ImageError, match=r"cut\.jpg: damaged"):
        read_image(tmp_path / "cut.jpg")


def test_the_missing_rows_are_counted():
    data = encoded()
    with pytest.warns(ImageWarning, match=r"the lowest (\d+) of 240 rows are missing") as warned:
        pixels = read_image(data[: int(len(data) * 0.93)])
    rows = int(str(warned[0].message).split("lowest ")[1].split()[0])
    assert 1 <= rows <= 30
    assert np.ptp(pixels[-rows:]) == 0
    assert np.ptp(pixels[-rows - 1]) > 0


def test_without_its_first_pixels_it_is_an_error():
    data = encoded()
    with pytest.raises(ImageError, match="damaged"):
        read_image(data[: data.index(b"\xff\xda") + 4])


def test_a_cut_photo_is_turned_upright_nevertheless():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(exif=exif.tobytes())
    with pytest.warns(ImageWarning):
        assert read_image(data[:-10]).shape == (320, 240, 3)


def test_other_kinds_of_cut_files_are_errors(tmp_path):
    Image.open(io.BytesIO(encoded())).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"cut\.png: damaged"):
        read_image(tmp_path / "cut.png")
