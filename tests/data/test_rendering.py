"""Images that a device makes are those that the workers make, but for rounding."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s3fd.data import Augmentation, TrainingBatches, load_batches, packing, wear
from s3fd.data.annotations import AnnotatedImage
from s3fd.data.augmentation import rotated_side
from s3fd.data.colour import colour_distortion
from s3fd.data.jpeg import compressed
from s3fd.data.packing import pack
from s3fd.data.pixels import Span, cut, quarter_turned, turned
from s3fd.data.plans import Planned, Step, do, lay, pixels_of
from s3fd.data.rendering import render
from s3fd.images.resize import mirrored, resized

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])]


def picture(height, width, seed=0):
    """Smooth, with edges and a little noise: what photos are like."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    image = resized(coarse, height, width).astype(float) + rng.normal(0, 4, (height, width, 3))
    y, x = (int(rng.integers(0, max(1, side - 4))) for side in (height, width))
    image[y : y + height // 3, x : x + width // 3] = rng.integers(0, 256, 3)
    return image.clip(0, 255).astype(np.uint8)


def planned_cut(source, x, y, side, size, colours=None, beyond=(10, 200, 30)):
    across = Span.of(x, side, source.shape[1], size)
    down = Span.of(y, side, source.shape[0], size)
    part = source[down.part, across.part]
    start = Planned(part, part.shape)
    return do(cut, start, across, down, size, colours, beyond, side=size)


def made(images, device="cpu"):
    return render(pack(images), device).permute(0, 2, 3, 1).cpu().numpy()


def assert_alike(images, device="cpu", *, most=1, seldom=0):
    """At most `most` levels apart, and by more than `seldom` at one place in a hundred."""
    for given_, image in zip(made(images, device), images, strict=True):
        apart = np.abs(given_.astype(int) - pixels_of(image))
        assert apart.max() <= most
        assert (apart > seldom).mean() < 0.01


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("beyond", ["mirror", (10, 200, 30)])
@pytest.mark.parametrize(
    ("x", "y", "side", "size"),
    [
        (0, 0, 64, 64),
        (5, 9, 40, 40),
        (5, 9, 50, 32),
        (5, 9, 20, 64),
        (-30, -10, 90, 64),  # beyond two edges
        (40, 30, 90, 48),  # beyond the others
        (-100, -150, 300, 64),  # mirrored more than once
        (60, 50, 3, 32),  # a few pixels
    ],
)
def test_a_cut_is_scaled_and_framed_as_on_the_host(x, y, side, size, beyond, device):
    cuts = [planned_cut(picture(80, 96, seed), x, y, side, size, None, beyond) for seed in range(3)]
    assert_alike(cuts, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("times", [2, 4])
def test_halves_are_rounded_as_on_the_host(times, device):
    cuts = [planned_cut(picture(128, 128, seed), 0, 0, 128, 128 // times) for seed in range(4)]
    apart = made(cuts, device).astype(int) - np.stack([pixels_of(tile) for tile in cuts])
    assert abs(apart.mean()) < 1e-3
    assert (apart != 0).mean() < 1e-2


@pytest.mark.parametrize("device", DEVICES)
def test_a_tile_that_nothing_is_done_to_is_what_it_was(device):
    images = [picture(48, 48, seed) for seed in range(4)]
    np.testing.assert_array_equal(made(images, device), np.stack(images))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (quarter_turned, (1,)),
        (quarter_turned, (2,)),
        (quarter_turned, (3,)),
        (mirrored, ()),
        (wear.cover, ((3, 5, 20, 30), (1, 2, 3))),
        (wear.cover, ((3, 5, 20, 30), (10, 8))),  # by a part that it overlaps
        (wear.cover, ((10, 8, 27, 33), (3, 5))),
        (wear.cover, ((0, 0, 64, 64), (7, 7, 7))),
        (wear.darken, (2.5, 0.5)),
        (wear.darken, (0.6, 1.0)),
        (wear.add_noise, (20.0, 1234)),
        (wear.blur, (1.0,)),
        (wear.blur, (2.0,)),
        (wear.blur, (3.3,)),
        (wear.blur, (64 / 30.5,)),  # a half, rounded to even
        (wear.blur, (64.0,)),
    ],
)
def test_each_function_has_a_twin(function, arguments, device):
    tiles = [do(function, planned_cut(picture(64, 64, s), 0, 0, 64, 64), *arguments)
             for s in range(3)]  # fmt: skip
    others = [planned_cut(picture(64, 64, 9), 0, 0, 64, 64)]  # which it leaves alone
    assert_alike([*tiles, *others], device)
    np.testing.assert_array_equal(made([*tiles, *others], device)[-1], picture(64, 64, 9))


@pytest.mark.parametrize("device", DEVICES)
def test_colours_change_where_the_photo_is_and_not_beyond_it(device):
    rng = np.random.default_rng(0)
    cuts = [
        planned_cut(picture(50, 70, seed), -10, -10, 80, 64, colour_distortion(rng, 0.2, 0.2))
        for seed in range(10)
    ]
    assert_alike(cuts, device, most=3, seldom=2)
    assert all((image[0, 0] == [10, 200, 30]).all() for image in made(cuts, device))


@pytest.mark.parametrize("device", DEVICES)
def test_turned_by_any_angle(device):
    side = 48
    tiles = []
    for degrees in (-30.0, -7.5, 0.0, 12.0, 30.0):
        outer = rotated_side(side, degrees)
        tile = planned_cut(picture(90, 90), 3, 4, outer, outer)
        tiles.append(do(turned, tile, degrees, side, side=side))
    assert_alike(tiles, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("quality", [5, 20, 49, 50, 80, 95])
@pytest.mark.parametrize("side", [16, 24, 37, 64])
def test_a_jpeg_loses_what_it_loses_in_a_file(side, quality, device):
    images = np.stack([picture(side, side, seed) for seed in range(4)])
    files = np.stack([wear.compress(image, quality) for image in images]).astype(float)
    levels = torch.from_numpy(images).float().to(device)
    ours = compressed(levels, torch.full((4,), float(quality), device=device)).cpu().numpy()
    assert np.abs(ours - files).mean() < 0.15 * np.abs(files - images).mean()
    assert ours.min() >= 0
    assert ours.max() <= 255
    assert (ours == ours.round()).all()


@pytest.mark.parametrize("quality", [10, 30, 50, 90])
def test_a_plain_jpeg_is_that_of_a_file(quality):
    levels = np.random.default_rng(quality).integers(0, 256, (40, 1, 1, 3), np.uint8)
    images = np.broadcast_to(levels, (40, 16, 16, 3))
    files = np.stack([wear.compress(np.ascontiguousarray(image), quality) for image in images])
    ours = compressed(torch.from_numpy(images.copy()).float(), torch.full((40,), float(quality)))
    assert (ours.numpy() != files).mean() < 0.02
    np.testing.assert_allclose(ours.numpy(), files, atol=2)


def test_each_image_has_a_quality_of_its_own():
    images = torch.from_numpy(np.stack([picture(32, 32)] * 2)).float()
    both = compressed(images, torch.tensor([20.0, 80.0]))
    for number, quality in enumerate((20.0, 80.0)):
        alone = compressed(images[:1], torch.tensor([quality]))
        torch.testing.assert_close(both[number], alone[0], atol=1, rtol=0)


@st.composite
def plans(draw, side):
    """Any tile that a `Tile` can tell: source, cut, and what follows it, in order."""
    number = st.integers
    source = picture(draw(number(1, 90)), draw(number(1, 90)), draw(number(0, 99)))
    degrees = draw(st.none() | st.floats(-45, 45))
    outer = side if degrees is None else rotated_side(side, degrees)
    beyond = draw(st.just("mirror") | st.tuples(*[number(0, 255)] * 3))
    rng = np.random.default_rng(draw(number(0, 99)))
    colours = draw(st.none() | st.just(colour_distortion(rng, 0.3, 0.3)))
    place = draw(st.floats(-60, 90)), draw(st.floats(-60, 90)), draw(st.floats(1, 150))
    tile = planned_cut(source, *place, outer, colours, beyond)
    if degrees is not None:
        tile = do(turned, tile, degrees, side, side=side)
    if turns := draw(number(0, 3)):
        tile = do(quarter_turned, tile, turns)
    if draw(st.booleans()):
        tile = do(mirrored, tile)
    if draw(st.booleans()):
        x1, y1 = draw(number(0, side - 1)), draw(number(0, side - 1))
        x2, y2 = draw(number(x1 + 1, side)), draw(number(y1 + 1, side))
        part = st.tuples(number(0, side - x2 + x1), number(0, side - y2 + y1))
        tile = do(wear.cover, tile, (x1, y1, x2, y2), draw(part | st.tuples(*[number(0, 255)] * 3)))
    if draw(st.booleans()):
        tile = do(wear.blur, tile, draw(st.floats(1, 8)))
    if draw(st.booleans()):
        tile = do(wear.darken, tile, draw(st.floats(0.6, 2.5)), draw(st.floats(0.5, 1)))
    if draw(st.booleans()):
        begin = draw(number(0, len(wear.normal_numbers()) - 3 * side * side))
        tile = do(wear.add_noise, tile, draw(st.floats(2, 20)), begin)
    return tile


@given(st.lists(plans(32), min_size=1, max_size=3), st.lists(plans(16), min_size=4, max_size=4))
def test_any_plans_together_give_what_each_gives_on_the_host(tiles, small):
    # A level between two steps may be rounded to the other side, and contrast makes more of that.
    grid = lay([(tile, 16 * (n % 2), 16 * (n // 2)) for n, tile in enumerate(small)], 32)
    over = lay([(tiles[0], 0, 0), (small[0], 3, 9)], 32)
    assert_alike([*tiles, grid, over], most=8, seldom=2)
    worn = [do(wear.compress, tile, 90) for tile in tiles]
    for ours, tile in zip(made(worn), worn, strict=True):
        assert np.abs(ours.astype(int) - pixels_of(tile)).mean() < 2


def test_what_comes_in_no_known_order_is_made_on_the_host():
    flipped = do(mirrored, planned_cut(picture(40, 40), 0, 0, 40, 32))
    strange = [
        do(wear.blur, do(wear.darken, flipped, 2.0, 0.8), 2.0),
        do(mirrored, flipped),
        do(lambda image: 255 - image, flipped),
        Planned(picture(32, 32), (32, 32, 3), (Step(mirrored, ()),)),
    ]
    np.testing.assert_array_equal(made(strange), np.stack([pixels_of(tile) for tile in strange]))


@pytest.mark.parametrize("device", DEVICES)
def test_tiles_are_laid_beside_and_over_each_other(device):
    small = [planned_cut(picture(40, 40, seed), 0, 0, 40, 21) for seed in range(9)]
    grid = lay([(tile, 21 * (n % 3), 21 * (n // 3)) for n, tile in enumerate(small)], 64)
    over = lay([(picture(64, 64), 0, 0), (small[0], 40, 3)], 64)
    plain = picture(64, 64, 5)
    assert_alike([grid, over, plain], device)
    first = made([grid], device)[0]
    assert (first[:63, 63] == first[:63, 62]).all()
    assert (first[63] == first[62]).all()


def test_how_many_are_made_at_a_time_changes_nothing(monkeypatch):
    tiles = [planned_cut(picture(20 + 7 * n, 60, n), -5, 2, 50, 32) for n in range(8)]
    tiles += [do(turned, planned_cut(picture(60, 60), 0, 0, 45, 45), 20.0, 32, side=32)]
    together = made(tiles)
    assert pack(tiles).groups == (8, 1)
    for limit, most in ((1, 1), (3 * 60 * 60, 5)):
        monkeypatch.setattr(packing, "_PIXELS_AT_A_TIME", limit)
        groups = pack(tiles).groups
        assert sum(groups) == 9
        assert max(groups) <= most
        np.testing.assert_array_equal(made(tiles), together)


ALL = {
    "crop": "size", "grey": 0.2, "sepia": 0.1, "background": 0.1, "empty": 0.1, "rotate": 0.4,
    "quarter_turns": 0.3, "blur": 0.4, "noise": 0.4, "dark": 0.4, "occlusion": 0.5, "cut": 0.2,
    "graphics": 0.3, "plain": 0.2, "scales": (0.5, 1.0), "scale_shares": (0.3, 0.7),
}  # fmt: skip
RECIPES = {
    "sized": Augmentation(**ALL),
    "compressed": Augmentation(**ALL, jpeg=1.0),
    "paper": Augmentation(),
    "collages": Augmentation(collage=(0.3, 0.3, 0.2), plain=0.2, anchor_sampling=0.5),
}


@pytest.fixture
def photos(tmp_path):
    made_up = []
    for number, (height, width) in enumerate([(150, 200), (240, 180), (97, 131), (300, 300)]):
        Image.fromarray(picture(height, width, number)).save(tmp_path / f"{number}.png")
        boxes = np.array([[30, 20, 80, 85], [60, 50, 72, 66]], np.float32)[: number % 3]
        none = np.zeros((0, 4), np.float32)
        made_up.append(AnnotatedImage(tmp_path / f"{number}.png", width, height, boxes, none))
    return made_up


def batches(photos, recipe):
    return TrainingBatches(
        photos, steps=12, batch_size=6, input_size=128, seed=3, augmentation=RECIPES[recipe]
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_shows_the_same_images_and_faces(photos, recipe, device):
    run = batches(photos, recipe)
    for step in range(len(run)):
        here, there = run[step], run.planned(step).render(device)
        assert there.images.device.type == there.boxes.device.type == device
        assert there.images.dtype == torch.uint8
        assert there.images.shape == here.images.shape
        assert there.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(there.boxes.cpu(), here.boxes)
        assert torch.equal(there.ignore.cpu(), here.ignore)
        assert (there.counts, there.whole) == (here.counts, here.whole)
        apart = (there.images.cpu().int() - here.images.int()).abs().float()
        assert apart.mean(dim=(1, 2, 3)).max() < (1.0 if recipe == "compressed" else 0.5)
        assert (apart > 3).float().mean() < (0.03 if recipe == "compressed" else 1e-3)


def test_batches_arrive_made_from_workers_too(photos):
    run = batches(photos, "sized")
    plain = list(load_batches(run, say=print))
    for workers in (0, 2):
        given_ = list(load_batches(run, say=print, workers=workers, render_on="cpu"))
        assert len(given_) == len(plain)
        for ours, theirs in zip(given_, plain, strict=True):
            assert torch.equal(ours.boxes, theirs.boxes)
            apart = (ours.images.int() - theirs.images.int()).abs().float()
            assert apart.mean() < 1
            assert ours.images.shape == theirs.images.shape


def test_photos_that_can_not_be_read_are_named_as_they_are_otherwise(photos, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    spoilt = [dataclasses.replace(photos[1], path=broken), *photos]
    said = {None: [], "cpu": []}
    for device, lines in said.items():
        list(load_batches(batches(spoilt, "sized"), say=lines.append, render_on=device))
    assert said["cpu"] == said[None]
    assert "broken.png" in said["cpu"][0]


@pytest.mark.parametrize("device", ["bogus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_drawn(photos, device):
    with pytest.raises(ValueError, match=r"device: "):
        next(load_batches(batches(photos, "sized"), render_on=device))


def test_workers_draw_and_make_no_pixels_of_photos(photos, monkeypatch):
    run = TrainingBatches(
        photos, steps=6, batch_size=6, input_size=128, seed=3,
        augmentation=dataclasses.replace(RECIPES["compressed"], plain=0.0, empty=0.0, graphics=0.0),
    )  # fmt: skip
    monkeypatch.setattr("s3fd.data.augmentation._MOST_OF_A_SOURCE", 1e9)
    for name in ("pixels.resized", "pixels.recolour", "wear.resized"):
        monkeypatch.setattr(f"s3fd.data.{name}", forbidden)
    tiles = torch.cat([run.planned(step).packed.tiles for step in range(6)])
    used = {name for name, column in zip(packing.Tile._fields, tiles.T, strict=True)
            if column.any()}  # fmt: skip
    assert used == set(packing.Tile._fields)


def forbidden(*arguments):
    raise AssertionError("the workers made pixels")


def test_autocast_of_the_caller_changes_nothing(photos):
    run = batches(photos, "compressed")
    with torch.autocast("cpu", torch.bfloat16):
        inside = [run.planned(step).render("cpu").images for step in range(4)]
    for step, images in enumerate(inside):
        assert torch.equal(images, run.planned(step).render("cpu").images)
        assert not images.is_inference()


def test_a_plan_holds_no_more_than_a_few_times_its_pixels(tmp_path):
    Image.fromarray(picture(900, 900)).save(tmp_path / "large.png")
    face = np.array([[100, 100, 800, 800]], np.float32)
    photo = AnnotatedImage(tmp_path / "large.png", 900, 900, face)
    recipe = Augmentation(crop="size", face_sizes=(8.0, 64.0))
    run = TrainingBatches(
        [photo], steps=8, batch_size=4, input_size=64, seed=1, augmentation=recipe
    )
    for step in range(len(run)):
        plan = run.planned(step)
        assert len(plan.packed.pixels) <= 5 * plan.packed.count * 64 * 64
        apart = (plan.render("cpu").images.int() - run[step].images.int()).abs()
        assert apart.float().mean() < 0.5


@pytest.mark.cuda
@needs_cuda
def test_the_host_waits_for_nothing(photos):
    plans = [batches(photos, "compressed").planned(step).pin_memory() for step in range(12)]
    for plan in plans:  # brings the constants there
        plan.render("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for plan in plans:
            plan.render("cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
