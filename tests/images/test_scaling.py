"""Pictures in the size that is wanted of them."""

import io

import numpy as np
import pytest
from PIL import Image

from s3fd.images import ImageWarning, read_image, read_scaled
from s3fd.images.resize import mirrored, resized

TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, from upright to stored


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def ramps(height, width):
    """Red says how far to the right, green how far down, from 20 to 220."""
    pixels = np.zeros((height, width, 3))
    pixels[..., 0] = 20 + 200 * (np.arange(width) + 0.5) / width
    pixels[..., 1] = 20 + 200 * (np.arange(height)[:, None] + 0.5) / height
    return pixels.round().astype(np.uint8)


def encoded(pixels, kind="JPEG", orientation=1, **options):
    image = Image.fromarray(pixels)
    if orientation != 1:
        image = image.transpose(Image.Transpose(TURNS[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    written = io.BytesIO()
    image.save(written, kind, exif=exif, **options)
    return written.getvalue()


def at_most(side):
    def size_of(size):
        factor = min(1, side / max(size))
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    return size_of


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((108, 192), (57, 102)),
        ((301, 200), (37, 25)),
        ((1, 7), (1, 3)),
        ((400, 3), (2, 1)),
        ((999, 13), (1, 1)),
        ((20, 31), (45, 62)),
        ((64, 64), (64, 40)),
    ],
)
def test_scaling_is_that_of_pillow_but_for_rounding(size, wanted):
    pixels = noise(*size)
    expected = Image.fromarray(pixels).resize(wanted[::-1], Image.Resampling.BILINEAR)
    actual = resized(pixels, *wanted)
    assert actual.shape == (*wanted, 3)
    assert np.abs(actual.astype(int) - np.asarray(expected)).max() <= 1


def test_a_picture_of_the_size_that_is_wanted_is_left_alone():
    pixels = noise(5, 6)
    assert resized(pixels, 5, 6) is pixels


def frozen(pixels):
    pixels = pixels.copy()
    pixels.flags.writeable = False
    return pixels


# The same pixels, otherwise in memory.
LAYOUTS = {
    "read-only": frozen,
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1])[:, ::-1],
    "upside down": lambda pixels: np.ascontiguousarray(pixels[::-1])[::-1],
    "BGR": lambda pixels: np.ascontiguousarray(pixels[..., ::-1])[..., ::-1],
    "planes": lambda pixels: np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0),
    "a part": lambda pixels: np.pad(pixels, ((3, 2), (1, 4), (0, 1)))[3:-2, 1:-4, :-1],
    "read-only part": lambda pixels: frozen(np.repeat(pixels, 2, axis=0))[::2],
    "column by column": np.asfortranarray,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", [lambda pixels: resized(pixels, 10, 25), mirrored])
def test_what_is_made_of_pixels_does_not_depend_on_how_they_lie_in_memory(layout, function):
    pixels = noise(40, 60)
    given = LAYOUTS[layout](pixels)
    made = function(given)
    np.testing.assert_array_equal(made, function(pixels))
    assert made.flags.writeable
    made[:] = 0
    np.testing.assert_array_equal(given, pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1)])
def test_one_colour_that_lies_in_memory_once_is_scaled_and_mirrored(size):
    colour = np.broadcast_to(np.array([9, 99, 200], np.uint8), (*size, 3))
    np.testing.assert_array_equal(resized(colour, 4, 5), np.broadcast_to(colour[0, 0], (4, 5, 3)))
    np.testing.assert_array_equal(mirrored(colour), colour)


def test_mirroring_exchanges_left_and_right():
    pixels = noise(5, 8)
    np.testing.assert_array_equal(mirrored(pixels), pixels[:, ::-1])


@pytest.mark.parametrize("extent", [(29.5, 40.0), (30.0, 39.125), (29.25, 39.875), (30, 40)])
@pytest.mark.parametrize("wanted", [(15, 20), (9, 31), (29, 39)])
def test_a_part_of_the_last_pixels_can_be_left_out(extent, wanted):
    height, width = extent
    rows, columns = np.arange(30)[:, None] + 0.5, np.arange(40) + 0.5
    pixels = np.stack([rows / height * 200 + 0 * columns, columns / width * 200 + 0 * rows], 2)
    pixels = np.concatenate([pixels, pixels[..., :1]], 2).round().astype(np.uint8)
    actual = resized(pixels, *wanted, extent).astype(float)
    inside = slice(2, -2)  # at the borders the filter meets nothing outside
    expected = (np.arange(wanted[0])[:, None] + 0.5) / wanted[0] * 200
    assert np.abs(actual[inside, :, 0] - expected[inside]).max() < 2
    expected = (np.arange(wanted[1]) + 0.5) / wanted[1] * 200
    assert np.abs(actual[:, inside, 1] - expected[inside]).max() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(640, 480), (633, 487), (487, 1001)])
def test_what_a_jpeg_shows_stays_in_its_place(size, orientation):
    """Also where its sides are no multiples of what it is decoded at."""
    pixels = ramps(*size)
    data = encoded(pixels, orientation=orientation, quality=95)
    scaled = read_scaled(data, at_most(60))
    assert scaled.original_size == size
    wanted = at_most(60)(size)
    assert scaled.pixels.shape == (*wanted, 3)
    expected = ramps(*wanted).astype(int)
    assert np.abs(scaled.pixels[2:-2, 2:-2, :2] - expected[2:-2, 2:-2, :2]).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("side", [37, 100, 150, 200, 500])
def test_a_scaled_file_is_like_its_pixels_scaled(kind, side):
    smooth = resized(noise(12, 16), 300, 400)  # without detail that the decoder may leave out
    data = encoded(smooth, kind)
    scaled = read_scaled(data, at_most(side))
    full = read_image(data)
    expected = resized(full, *at_most(side)(full.shape[:2]))
    assert scaled.pixels.shape == expected.shape
    difference = np.abs(scaled.pixels.astype(int) - expected)
    assert difference.mean() <= (1.5 if kind == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_modes_are_decoded_small_too(mode):
    written = io.BytesIO()
    Image.fromarray(ramps(480, 640)).convert(mode).save(written, "JPEG", quality=95)
    scaled = read_scaled(written.getvalue(), at_most(80))
    expected = resized(read_image(written.getvalue()), 60, 80)
    assert np.abs(scaled.pixels.astype(int) - expected).max() <= 4


def test_a_jpeg_is_decoded_no_larger_than_it_has_to_be(monkeypatch):
    loaded = []
    load = Image.Image.load

    def spy(image):
        loaded.append(image.size)
        return load(image)

    monkeypatch.setattr(Image.Image, "load", spy)
    data = encoded(ramps(600, 800))
    for side, width in [(800, 800), (500, 800), (400, 400), (201, 400), (200, 200), (50, 100)]:
        loaded.clear()
        read_scaled(data, at_most(side))
        assert max(size[0] for size in loaded) == width, side


def test_a_pil_image_of_the_user_is_not_decoded_small():
    image = Image.open(io.BytesIO(encoded(ramps(480, 640))))
    read_scaled(image, at_most(80))
    assert image.size == (640, 480)


def test_a_jpeg_cut_short_is_scaled_from_what_there_is():
    whole = encoded(resized(noise(12, 16), 480, 640), quality=95)
    with pytest.warns(ImageWarning, match="cut short"):
        scaled = read_scaled(whole[:-40], at_most(80))
    expected = read_scaled(whole, at_most(80)).pixels
    assert scaled.original_size == (480, 640)
    assert np.abs(scaled.pixels[:50].astype(int) - expected[:50]).mean() <= 1.5


def test_arrays_are_scaled_too():
    pixels = noise(40, 60)
    scaled = read_scaled(pixels, at_most(30), channel_order="BGR")
    assert scaled.original_size == (40, 60)
    np.testing.assert_array_equal(scaled.pixels, resized(pixels[..., ::-1], 20, 30))
