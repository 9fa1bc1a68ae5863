"""Levels of all number types as uint8: their range is known, or asked for."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from s3fd.images import ImageError, ImageWarning, Source, read_image
from s3fd.images.sources import SourcedImage

RAMP = np.linspace(0, 1, 24).reshape(4, 6)
PIXELS = np.rint(RAMP * 255).astype(np.uint8)


def forms(levels, folder):
    """Levels as an array and a tensor, and as a PIL image and a TIFF where that is possible."""
    yield levels
    yield torch.from_numpy(levels)[None]
    if levels.dtype in (np.float32, np.uint16):
        image = Image.fromarray(levels)
        yield image
        image.save(folder / "levels.tiff")
        yield folder / "levels.tiff"


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    for image in (tmp_path / "deep.png", Image.fromarray(levels), levels):
        np.testing.assert_array_equal(read_image(image)[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("overshoot", [0.0, 0.0001, 0.03])
def test_what_is_slightly_outside_a_range_is_clipped(tmp_path, dtype, overshoot):
    levels = (RAMP * (1 + 2 * overshoot) - overshoot).astype(dtype)
    expected = np.rint(levels.astype(np.float32).clip(0, 1) * 255)
    for form in forms(levels, tmp_path):
        np.testing.assert_array_equal(read_image(form)[:, :, 0], expected)


def test_thirty_two_bits_are_read_where_their_range_can_be_told(tmp_path):
    for top, dtype in [(255, np.int32), (65535, np.int32), (255, np.float32), (65535, np.float32)]:
        levels = np.rint(RAMP * top).astype(dtype)
        Image.fromarray(levels).save(tmp_path / "levels.tiff")
        for image in (tmp_path / "levels.tiff", Image.fromarray(levels)):
            np.testing.assert_array_equal(read_image(image)[:, :, 0], PIXELS)
        above = Image.fromarray((levels * dtype(1.02)).astype(dtype))
        assert read_image(above).max() == 255


@pytest.mark.parametrize("high", [1.2, 4.0, 510.0, 2000.0, 100_000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_file_whose_range_cannot_be_told_says_so(tmp_path, high, dtype):
    Image.fromarray((RAMP * high).astype(dtype)).save(tmp_path / "odd.tiff")
    with pytest.raises(ImageError, match=r"odd\.tiff: .* which their range can't be told"):
        read_image(tmp_path / "odd.tiff")


@pytest.mark.parametrize(("low", "dtype"), [(-1, np.float32), (-10, np.int32), (-3000, np.int32)])
def test_a_file_of_levels_below_black_says_so(tmp_path, low, dtype):
    Image.fromarray((RAMP[::-1] * low).astype(dtype)).save(tmp_path / "odd.tiff")
    with pytest.raises(ImageError, match=r"odd\.tiff: .* which their range can't be told"):
        read_image(tmp_path / "odd.tiff")


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0, 1.0500001, r"got values in 0 \.\. 1\.0500000\d; clamp it to 0 \.\. 1"),
        (0, 1.2, "clamp it to 0 .. 1"),
        (0, 4.0, r"clamp it with \.clip\(0, 1\) if .*, divide by 255 if"),
        (0, 200.0, "divide by 255, or convert it to uint8"),
        (0, 60_000.0, "divide by 65535"),
        (-1, 1.0, "undo the normalisation"),
        (-2.1, 2.6, "undo the normalisation"),
        (0, np.nan, "NaN or infinite"),
        (0, np.inf, "NaN or infinite"),
    ],
)
def test_floats_of_another_range_are_refused_with_the_remedy_that_fits(low, high, message):
    levels = np.full((4, 6), low, np.float32)
    levels[1, 2] = high
    for image in (levels, torch.from_numpy(levels)[None]):
        with pytest.raises(ImageError, match=message):
            read_image(image)


def test_true_is_white():
    for mask in (RAMP > 0.5, torch.from_numpy(RAMP > 0.5)[None], Image.fromarray(RAMP > 0.5)):
        np.testing.assert_array_equal(read_image(mask)[:, :, 0], 255 * (RAMP > 0.5))


def test_eight_bits_that_lie_in_sixteen_are_refused(tmp_path):
    for image in forms(PIXELS.astype(np.uint16), tmp_path):
        with pytest.raises(ImageError, match="no level above 255, as 8 bits have them; convert"):
            read_image(image)


def test_twelve_bits_that_lie_in_sixteen_are_read_with_a_warning(tmp_path):
    levels = np.rint(RAMP * 4095).astype(np.uint16)
    for image in forms(levels, tmp_path):
        with pytest.warns(ImageWarning, match="no level above 4095 of 65535"):
            assert read_image(image).max() == 16


def png_of_sixteen_bits(levels):
    """A PNG of 16-bit colours, which Pillow reads and does not write."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_colours_of_sixteen_bits_are_read_and_doubted_where_they_are_of_fewer():
    colours = np.repeat(RAMP[..., None], 3, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = read_image(png_of_sixteen_bits(np.rint(colours * 65535).astype(np.uint16)))
    np.testing.assert_allclose(pixels[:, :, 1].astype(int), PIXELS, atol=1)
    for top in (255, 4095):
        with pytest.warns(ImageWarning, match=r"nearly black: of 16 bits, but with no level above"):
            read_image(png_of_sixteen_bits(np.rint(colours * top).astype(np.uint16)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("high", [1e-7, 1 / 255, 1.02 / 255])
def test_what_was_divided_by_255_twice_is_read_with_a_warning(tmp_path, dtype, high):
    for image in forms((RAMP * high).astype(dtype), tmp_path):
        with pytest.warns(ImageWarning, match=r"black: .* of 1; if .* by 255 twice") as told:
            assert read_image(image).max() <= 1
        assert len(told) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_of_zeros_and_ones_is_read_with_a_warning(tmp_path, channels):
    mask = np.zeros((70, 90, channels), np.uint8)
    mask[40:60, 33:63] = 1  # between the levels that are looked at first
    Image.fromarray(mask.squeeze()).save(tmp_path / "mask.png")
    picture = Image.open(tmp_path / "mask.png")
    for image in (mask, torch.from_numpy(mask).permute(2, 0, 1), tmp_path / "mask.png", picture):
        with pytest.warns(ImageWarning, match=r"black: .* 1 of 255; .*, multiply by 255") as told:
            assert read_image(image).max() == 1
        assert len(told) == 1


def test_a_dark_picture_and_a_frame_of_a_fade_are_not_doubted(tmp_path):
    dark = np.zeros((70, 90, 3), np.uint8)
    dark[50, 50] = 2
    Image.fromarray(dark).save(tmp_path / "dark.png")
    fade = np.ones((70, 90, 3), np.uint8)
    source = Source(0, tmp_path / "clip.mp4", frame=0, time=0.0)
    frame = SourcedImage(source, fade, is_read=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image in (dark, dark / 255, tmp_path / "dark.png"):
            assert read_image(image).max() == 2
        assert frame.read().max() == 1
        assert frame.read_scaled(lambda _: (35, 45)).pixels.shape == (35, 45, 3)


def test_an_array_is_called_an_array():
    for image in (np.full((4, 6), np.nan), np.full((4, 6), 9, np.uint16)):
        with pytest.raises(ImageError, match="image: expected an array of"):
            read_image(image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_black_is_black(tmp_path, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image in forms(np.zeros((4, 6), dtype), tmp_path):
            assert read_image(image).max() == 0


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint32, np.complex64])
def test_types_that_do_not_tell_their_range_are_refused(dtype):
    with pytest.raises(TypeError, match=f"array of {np.dtype(dtype)}; convert it to uint8"):
        read_image(np.zeros((4, 6, 3), dtype))


def test_the_order_of_bytes_does_not_matter():
    levels = np.rint(RAMP * 65535)
    for dtype in ("<u2", ">u2"):
        np.testing.assert_array_equal(read_image(levels.astype(dtype))[:, :, 0], PIXELS)
    np.testing.assert_array_equal(read_image(RAMP.astype(">f4"))[:, :, 0], PIXELS)
