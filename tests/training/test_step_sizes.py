import pytest

from s3fd.data import Augmentation
from s3fd.training.step_sizes import check_step_sizes

# 48 images of 256 px, 12 of 512 px and 3 of 1024 px.
SCALES = Augmentation(scales=(1.0, 2.0, 4.0), scale_shares=(0.5, 0.3, 0.2))
WITHOUT_THE_LARGEST = Augmentation(scales=(1.0, 2.0, 4.0), scale_shares=(0.5, 0.5, 0.0))


@pytest.fixture
def config_of(make_config, tmp_path):
    def make(**changes):
        settings = {"input_size": 256, "batch_size": 48, "augmentation": SCALES}
        return make_config(tmp_path, **{**settings, **changes})

    return make


@pytest.mark.parametrize(("parts", "processes"), [(1, 1), (3, 1), (1, 3)])
def test_steps_whose_parts_all_have_an_image_can_be_done(config_of, parts, processes):
    check_step_sizes(config_of(accumulate=parts), processes)


@pytest.mark.parametrize(("parts", "processes"), [(4, 1), (1, 4), (2, 2)])
def test_the_step_of_the_fewest_images_decides(config_of, parts, processes):
    message = (
        f"a step of 3 images of 1024 x 1024 px can't be shared out among {processes} processes "
        f"with {parts} parts each; enlarge it, or lower accumulate"
    )
    with pytest.raises(ValueError, match=message):
        check_step_sizes(config_of(accumulate=parts), processes)
    check_step_sizes(config_of(accumulate=parts, augmentation=WITHOUT_THE_LARGEST), processes)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 1}, {"batch_size": 2, "accumulate": 2}, {"batch_size": 3, "accumulate": 2},
        {"batch_size": 4, "accumulate": 4, "input_size": 128},
    ],
)  # fmt: skip
def test_a_batch_norm_of_one_value_is_said(config_of, change):
    settings = {"input_size": 64, "augmentation": Augmentation(), **change}
    size = settings["input_size"]
    with pytest.raises(ValueError, match=f"can't learn from one image of {size} x {size} px at a"):
        check_step_sizes(config_of(**settings), processes=1)
    check_step_sizes(config_of(**settings, model="vgg16"), processes=1)  # without batch norms


def test_two_values_are_enough_for_a_batch_norm(config_of):
    plain = {"augmentation": Augmentation()}
    check_step_sizes(config_of(input_size=64, batch_size=4, accumulate=2, **plain), processes=1)
    check_step_sizes(config_of(input_size=64, batch_size=2, **plain), processes=2)
    check_step_sizes(config_of(input_size=160, batch_size=1, **plain), processes=1)
