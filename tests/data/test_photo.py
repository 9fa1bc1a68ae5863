import numpy as np
import pytest
from PIL import Image

from s3fd.data import AnnotatedImage
from s3fd.data.photo import open_photo
from s3fd.images import ImageError, read_image

EMPTY = np.zeros((0, 4), np.float32)


def annotated(path, size=(None, None)):
    return AnnotatedImage(path, *size, EMPTY, EMPTY)


def pixels(path, scale=1.0):
    with open_photo(annotated(path)) as photo:
        return np.asarray(photo.decode(scale))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0broken"])
def test_a_photo_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.jpg: "):
        pixels(tmp_path / "bad.jpg")


def test_a_truncated_photo_is_named_when_it_is_decoded(wider):
    with open_photo(annotated(wider.paths["truncated"])) as photo:
        assert (photo.width, photo.height) == (160, 120)
        with pytest.raises(ImageError, match=r"truncated\.jpg: damaged"):
            photo.decode(1.0)


def test_a_jpeg_that_lacks_its_last_bytes_is_read_as_the_detector_reads_it(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-40])
    with (
        pytest.warns(UserWarning, match=r"cut\.jpg: cut short"),
        open_photo(annotated(tmp_path / "cut.jpg")) as photo,
    ):
        decoded = photo.decode(1.0)
    assert decoded.shape == (160, 120, 3)
    with open_photo(annotated(tmp_path / "whole.jpg")) as photo:
        np.testing.assert_array_equal(decoded[:128], photo.decode(1.0)[:128])


def test_a_missing_photo_is_named(wider):
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg: there is no such file"):
        pixels(wider.paths["missing"])


@pytest.mark.parametrize("kind", ["plain", "grey", "cmyk", "palette", "rotated"])
def test_photos_of_all_kinds_are_decoded_as_they_are_read(wider, kind):
    with open_photo(annotated(wider.paths[kind])) as photo:
        assert (photo.width, photo.height) == (160, 120)
    expected = read_image(wider.paths[kind])
    np.testing.assert_array_equal(pixels(wider.paths[kind]), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "I;16", "1"])
def test_uncommon_kinds_are_decoded_as_they_are_read(tmp_path, mode):
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image = Image.fromarray(np.asarray(ramp, np.uint16) * 257) if mode == "I;16" else ramp
    image = image if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "photo.png")
    np.testing.assert_array_equal(
        pixels(tmp_path / "photo.png"), read_image(tmp_path / "photo.png")
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(tmp_path, orientation):
    image = Image.new("RGB", (64, 48))
    image.paste((255, 255, 255), (8, 8, 24, 24))  # upper left, when upright
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, from upright to stored
    stored = image.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    with open_photo(annotated(tmp_path / "photo.jpg", (64, 48))) as photo:
        bright = np.asarray(photo.decode(1.0))[..., 0] > 127
    assert bright[10:22, 10:22].all()
    assert not bright[30:, :].any()


@pytest.mark.parametrize(
    ("scale", "size"), [(1.0, (400, 300)), (0.5, (200, 150)), (0.3, (200, 150)), (0.1, (50, 38))]
)
def test_a_jpeg_is_decoded_no_larger_than_needed(tmp_path, scale, size):
    Image.new("RGB", (400, 300)).save(tmp_path / "photo.jpg")
    with open_photo(annotated(tmp_path / "photo.jpg")) as photo:
        assert photo.decode(scale).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("size", [(9, 800), (800, 1)])
def test_a_narrow_jpeg_is_decoded_at_any_scale(tmp_path, size):
    Image.new("RGB", size, (90, 120, 150)).save(tmp_path / "photo.jpg")
    assert pixels(tmp_path / "photo.jpg", 0.01).shape[2] == 3


def test_a_photo_of_another_size_than_its_labels_is_named(tmp_path):
    Image.new("RGB", (40, 60)).save(tmp_path / "photo.png")
    with (
        pytest.raises(ImageError, match=r"photo\.png: its labels are for 60 x 40 .* has 40 x 60"),
        open_photo(annotated(tmp_path / "photo.png", (60, 40))),
    ):
        pass


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_a_photo_on_its_side_has_the_size_and_the_pixels_of_an_upright_one(tmp_path, suffix):
    path = tmp_path / f"side.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40), (90, 120, 150)).save(path, exif=exif)
    with open_photo(annotated(path)) as photo:
        assert (photo.width, photo.height) == (40, 60)
        assert photo.decode(1.0).shape == read_image(path).shape == (60, 40, 3)


@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_a_turned_tiff_without_compression_has_the_pixels_of_its_bytes(tmp_path, mode, orientation):
    """Pillow would map them, by the size of the upright photo."""
    levels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(levels).convert("L" if mode in ("I;16", "F") else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image, np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "side.tiff"
    image.convert(mode).save(path, exif=exif)
    expected = read_image(path.read_bytes())
    assert expected.shape == ((40, 60, 3) if orientation == 3 else (60, 40, 3))
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(read_image(Image.open(path)), expected)
    np.testing.assert_array_equal(pixels(path), expected)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_png_whose_pixels_are_damaged_is_no_black_photo(tmp_path, mode):
    levels = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    path = tmp_path / "damaged.png"
    Image.fromarray(levels).convert(mode).save(path)
    data = path.read_bytes()
    start = data.index(b"IDAT") + 40
    path.write_bytes(data[:start] + bytes(60) + data[start + 60 :])
    for _ in range(2):
        with pytest.raises(ImageError, match=r"damaged\.png: damaged"):
            pixels(path)
