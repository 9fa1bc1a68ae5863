"""Any picture as uint8 RGB."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from s3fd.images import ImageError, read_image

RAMP = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_all_forms_of_a_picture_give_the_same_pixels(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "ramp.png")
    encoded = (tmp_path / "ramp.png").read_bytes()
    forms = [
        encoded,
        bytearray(encoded),
        memoryview(encoded),
        io.BytesIO(encoded),
        (tmp_path / "ramp.png").open("rb"),
        str(tmp_path / "ramp.png"),
        tmp_path / "ramp.png",
        Image.fromarray(RAMP),
        RAMP,
        RAMP[:, ::-1][:, ::-1],
        torch.from_numpy(RAMP).permute(2, 0, 1),
        RAMP.astype(np.uint16) * 257,
        RAMP / 255,
        torch.from_numpy(RAMP).permute(2, 0, 1).float() / 255,
    ]
    for form in forms:
        np.testing.assert_array_equal(read_image(form), RAMP)


def test_an_open_file_may_be_read_twice_and_after_it_was_written():
    written = io.BytesIO()
    Image.fromarray(RAMP).save(written, "PNG")
    for _ in range(2):
        np.testing.assert_array_equal(read_image(written), RAMP)


def test_a_file_opened_as_text_or_closed_is_named(tmp_path):
    (tmp_path / "photo.txt").write_text("text")
    with (tmp_path / "photo.txt").open() as file, pytest.raises(TypeError, match="one of text"):
        read_image(file)
    with pytest.raises(ImageError, match=r"images\[2\]: the file can't be read"):
        read_image(file, "images[2]")


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 4)])
def test_arrays_and_tensors_of_opencv_are_turned_into_rgb(shape):
    rgb = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    bgr = rgb[:, :, [2, 1, 0, 3][: shape[2]]]
    expected = read_image(rgb)
    np.testing.assert_array_equal(read_image(bgr, channel_order="BGR"), expected)
    tensor = torch.from_numpy(bgr).permute(2, 0, 1)
    np.testing.assert_array_equal(read_image(tensor, channel_order="BGR"), expected)
    image = Image.fromarray(rgb)  # knows its channels
    np.testing.assert_array_equal(read_image(image, channel_order="BGR"), expected)
    with pytest.raises(ValueError, match="channel_order: expected 'RGB' or 'BGR', got 'GBR'"):
        read_image(rgb, channel_order="GBR")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    upright = Image.new("RGB", (64, 32))
    upright.paste((255, 255, 255), (0, 0, 16, 16))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, from upright to stored
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    for image in (tmp_path / "photo.jpg", Image.open(tmp_path / "photo.jpg")):
        pixels = read_image(image)
        assert pixels.shape == (32, 64, 3)
        assert pixels[4:12, 4:12].min() > 240
        assert pixels[:, 32:].max() < 15


def test_grey_palette_and_opacity_become_rgb():
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(Image.fromarray(grey)), expected)
    np.testing.assert_array_equal(read_image(grey), expected)
    np.testing.assert_array_equal(read_image(torch.from_numpy(grey)[None]), expected)
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read_image(palette), [[[0, 0, 0], [10, 200, 30]]])
    clear = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
    for image in (clear, Image.fromarray(clear), torch.from_numpy(clear).permute(2, 0, 1)):
        np.testing.assert_array_equal(read_image(image), [[[255, 255, 255], [10, 20, 30]]])


@pytest.mark.parametrize(
    "mode",
    [
        *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"),
        *("LAB", "I", "F", "I;16", "I;16B"),
    ],
)
def test_every_mode_is_read(mode):
    assert read_image(Image.new(mode, (5, 3))).shape == (3, 5, 3)


def test_a_picture_of_one_pixel_is_a_picture():
    np.testing.assert_array_equal(read_image(np.full((1, 1, 3), 7, np.uint8)), [[[7, 7, 7]]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"hello, I am no picture", "not a picture"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "can't read"),
    ],
)
def test_a_file_that_is_no_picture_says_so(tmp_path, content, message):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=rf"images\[3\]: .*bad\.jpg: .*{message}"):
        read_image(tmp_path / "bad.jpg", "images[3]")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg: there is no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="a folder; pass the photos in it"):
        read_image(tmp_path)


def test_what_streams_take_is_named_where_a_photo_is_wanted(tmp_path):
    (tmp_path / "clip.MP4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(ImageError, match=r"clip\.MP4: a video, not a picture; .*FaceDetector\.str"):
        read_image(tmp_path / "clip.MP4")
    with pytest.raises(FileNotFoundError, match=r"no such file; .*stream takes globs"):
        read_image(tmp_path / "*.jpg")


def test_a_file_of_bytes_that_is_opened_as_text_is_named(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "ramp.png")
    with (
        (tmp_path / "ramp.png").open(encoding="utf-8") as file,
        pytest.raises(TypeError, match="expected a file opened as bytes, 'rb', got one of text"),
    ):
        read_image(file)


def test_a_decompression_bomb_is_not_opened(tmp_path, monkeypatch):
    Image.new("L", (60, 50)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="too many pixels to be opened safely"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (
            None,
            TypeError,
            "image: expected a path, .* a PIL image, an array or a tensor, got NoneType",
        ),
        ([np.zeros((9, 9))] * 9, TypeError, r"got list \[array\([^\n]{1,200}$"),
        (np.zeros((4, 6, 2), np.uint8), ImageError, r"\[H, W\] or .* got \[4, 6, 2\]"),
        (np.zeros((3, 4, 6), np.uint8), ImageError, r"transpose\(1, 2, 0\)"),
        (np.zeros((1, 4, 6, 3), np.uint8), ImageError, "list of images"),
        (np.zeros((0, 6, 3), np.uint8), ImageError, "at least one pixel"),
        (torch.zeros(5, 6, 3, dtype=torch.uint8), ImageError, r"permute\(2, 0, 1\)"),
        (torch.zeros(2, 3, 4, 6), ImageError, r"list\(batch\)"),
        (torch.zeros(3, 4, 6, device="meta"), ImageError, "meta device"),
        (
            torch.nested.nested_tensor([torch.zeros(3, 4, 6)], layout=torch.strided),
            ImageError,
            r"nested one; .*unbind\(\)",
        ),
        (torch.zeros(3, 4, 6).to_sparse_coo(), ImageError, r"sparse_coo; .*to_dense\(\)"),
        (np.frombuffer(b"JPEG", np.uint8), ImageError, r"bytes\(array\)"),
        ("", ImageError, "image: expected the path of a photo, got an empty one"),
        (b"", ImageError, "image: expected the bytes of a picture, got none"),
        (b"no picture", ImageError, "image: not a picture"),
    ],
)
def test_other_things_are_refused_with_a_remedy(image, error, message):
    with pytest.raises(error, match=message):
        read_image(image)


@pytest.mark.parametrize("name", ["drawing.eps", "photo.jpg"])
def test_a_drawing_that_a_program_would_have_to_run_is_refused(tmp_path, name):
    Image.new("RGB", (20, 10)).save(tmp_path / name, "EPS")
    with pytest.raises(ImageError, match=f"{name}: an EPS drawing"):
        read_image(tmp_path / name)
    with pytest.raises(ImageError, match="image: an EPS drawing"):
        read_image((tmp_path / name).read_bytes())


def test_a_tensor_that_is_negative_in_name_alone_is_read():
    """As torch gives the imaginary part of a conjugate."""
    pixels = torch.from_numpy(RAMP).permute(2, 0, 1) / 255
    negated = torch.complex(torch.zeros_like(pixels), -pixels).conj().imag
    assert negated.is_neg()
    np.testing.assert_array_equal(read_image(negated), RAMP)
    with pytest.raises(TypeError, match=r"image: expected uint8 .* tensor of complex64"):
        read_image(pixels.to(torch.complex64).conj())
