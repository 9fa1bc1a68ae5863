from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s3fd.data import AnnotatedImage, Augmentation, augmentation, graphics
from s3fd.data.graphics import _letters, _prose, _shapes, typefaces, with_graphics
from s3fd.data.samples import TrainingSamples

PICTURES = 60


def ground(size=128, seed=0):
    return augmentation.plain(size, np.random.default_rng(seed))


def grey(size=128):
    return Image.new("RGB", (size, size), (128, 128, 128))


@pytest.mark.parametrize("size", [8, 32, 128, 300])
def test_something_is_drawn_on_most_grounds_and_their_boxes_stay(size):
    changed = 0
    for seed in range(PICTURES):
        before = ground(size, seed)
        after = with_graphics(before, np.random.default_rng(seed))
        assert after.image.shape == (size, size, 3)
        assert after.image.dtype == np.uint8
        assert after.boxes is before.boxes
        assert after.ignore is before.ignore
        changed += (after.image != before.image).any()
    assert changed > 0.7 * PICTURES


def test_what_is_drawn_follows_from_the_seed():
    same, again, other = (
        with_graphics(ground(), np.random.default_rng(seed)).image for seed in (3, 3, 4)
    )
    assert (same == again).all()
    assert (same != other).any()


@pytest.mark.parametrize("draw", [_letters, _shapes])
def test_it_is_large_and_small_sparse_and_dense(draw):
    shares = []
    for seed in range(PICTURES):
        picture = np.asarray(draw(grey(), np.random.default_rng(seed)))
        shares.append((np.abs(picture.astype(int) - 128).max(axis=2) > 8).mean())
    assert min(shares) < 0.1
    assert max(shares) > 0.3
    assert 0.05 < np.median(shares) < 0.7


def test_letters_have_one_colour_and_shapes_many():
    def other_colours(draw, seed):
        """How far pixels are from the line between grey and the most frequent other colour."""
        picture = np.asarray(draw(grey(), np.random.default_rng(seed))).reshape(-1, 3) - 128.0
        return np.linalg.svd(picture, compute_uv=False)[1] / len(picture) ** 0.5

    assert max(other_colours(_letters, seed) for seed in range(20)) < 1
    assert np.median([other_colours(_shapes, seed) for seed in range(20)]) > 10


def test_letters_reach_every_part_of_a_picture():
    touched = np.zeros((128, 128), bool)
    for seed in range(PICTURES):
        picture = np.asarray(_letters(grey(), np.random.default_rng(seed)))
        touched |= (picture != 128).any(axis=2)
    assert touched.mean() > 0.95


def test_half_of_the_letters_are_pages_from_top_to_bottom_as_a_typeface_has_them(monkeypatch):
    def drawn(pages):
        monkeypatch.setattr(graphics, "_PAGES", pages)
        pictures = (_letters(grey(), np.random.default_rng(seed)) for seed in range(PICTURES))
        return [np.asarray(picture) for picture in pictures]

    by_default, pages, signs = drawn(graphics._PAGES), drawn(1.0), drawn(0.0)
    are_pages = [
        (picture == page).all() and not (picture == sign).all()
        for picture, page, sign in zip(by_default, pages, signs, strict=True)
    ]
    assert 0.3 < np.mean(are_pages) < 0.7

    def filled(pictures):
        """Of how many pictures each third, from top to bottom, has letters."""
        return np.mean(
            [
                all((part != 128).any() for part in np.array_split(picture, 3))
                for picture in pictures
            ]
        )

    assert filled(pages) > 0.9 > 0.7 > filled(signs)


def test_prose_has_letters_as_often_as_english_and_some_lines_of_capitals():
    rng = np.random.default_rng(0)
    lines = [_prose(100, rng) for _ in range(400)]
    text = "".join(lines)
    letters = text.lower().replace(" ", "")
    assert 0.10 < letters.count("e") / len(letters) < 0.14
    assert 0.06 < letters.count("a") / len(letters) < 0.10
    assert 0.10 < np.mean([line.isupper() for line in lines]) < 0.20
    assert 0.14 < text.count(" ") / len(text) < 0.20


def matplotlib_fonts():
    matplotlib = pytest.importorskip("matplotlib", reason="brings typefaces")
    return Path(matplotlib.get_data_path(), "fonts", "ttf")


def test_letters_have_the_typefaces_that_are_named():
    fonts = matplotlib_fonts()
    serif, sans = fonts / "DejaVuSerif.ttf", fonts / "DejaVuSans.ttf"

    def drawn(typefaces):
        pictures = (_letters(grey(), np.random.default_rng(seed), typefaces) for seed in range(20))
        return [picture.tobytes() for picture in pictures]

    first, second, both, own = drawn([serif]), drawn([sans]), drawn([serif, sans]), drawn([])
    assert set(both) <= set(first) | set(second)
    assert set(both) - set(first)
    assert set(both) - set(second)
    assert not set(both) & set(own)


def test_typefaces_of_a_folder_are_those_with_latin_letters(tmp_path):
    fonts = matplotlib_fonts()
    deep = tmp_path / "deep"
    deep.mkdir()
    for place in (deep / "b.TTF", tmp_path / "a.ttf"):
        place.write_bytes((fonts / "DejaVuSans.ttf").read_bytes())
    (tmp_path / "symbols.ttf").write_bytes((fonts / "STIXSizOneSymReg.ttf").read_bytes())
    (tmp_path / "broken.ttf").write_bytes(b"no typeface")
    (tmp_path / "README").write_text("none either")
    assert typefaces((tmp_path,)) == (tmp_path / "a.ttf", deep / "b.TTF")
    assert typefaces((tmp_path / "a.ttf", deep)) == (tmp_path / "a.ttf", deep / "b.TTF")
    assert typefaces(()) == ()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.ttf", FileNotFoundError, "fonts: there is no file or folder .*missing.ttf"),
        ("broken.ttf", ValueError, "fonts: expected typefaces with Latin letters, .*broken.ttf"),
        # Pillow would search the system for one of that name.
        ("DejaVuSans.ttf", ValueError, "fonts: expected typefaces .*DejaVuSans.ttf, got none"),
        ("empty", ValueError, "fonts: expected typefaces with Latin letters, .*empty, got none"),
    ],
)
def test_what_is_no_typeface_is_refused_with_its_name(tmp_path, name, error, message):
    for broken in ("broken.ttf", "DejaVuSans.ttf"):
        (tmp_path / broken).write_bytes(b"no typeface")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=message):
        typefaces((tmp_path / name,))


def test_a_run_refuses_them_before_it_begins_and_draws_letters_with_them(tmp_path):
    face = np.array([[2, 2, 30, 30]], np.float32)
    photos = [AnnotatedImage(tmp_path / "photo.jpg", 64, 64, face)]

    def samples(**settings):
        recipe = Augmentation(crop="size", plain=0.0, empty=1.0, graphics=1.0, **settings)
        return TrainingSamples(photos, recipe, seed=1)

    with pytest.raises(FileNotFoundError, match=r"fonts: .*nothing"):
        samples(fonts=["nothing"])
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.jpg")
    named = samples(fonts=[matplotlib_fonts()])
    own = samples()
    assert any((named.draw(n, 128)[0].image != own.draw(n, 128)[0].image).any() for n in range(20))
