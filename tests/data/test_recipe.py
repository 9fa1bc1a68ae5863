import pytest

from s3fd.data import Augmentation


def test_lists_of_a_configuration_become_tuples():
    assert Augmentation(collage=[0.2, 0.1]) == Augmentation(collage=(0.2, 0.1))


@pytest.mark.parametrize(
    "change",
    [
        {"crop": "square"}, {"flip": 1.5}, {"grey": -0.1}, {"plain": 2}, {"anchor_sampling": 7},
        {"collage": (0.7, 0.7)}, {"collage": (-0.1,)}, {"scales": (0.0,)},
        {"scale_shares": (0.5,)}, {"scales": (1.0, 2.0)},
        {"fonts": ("a.ttf",)}, {"fonts": ("a.ttf",), "crop": "size"},
        {"fonts": "a.ttf", "crop": "size", "graphics": 0.1},
        {"fonts": ("a.ttf", ""), "crop": "size", "graphics": 0.1},
        {"empty": 0.2, "plain": 0.5, "background": 0.4, "crop": "size"},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(change):
    name = next(iter(change)) if change != {"scales": (1.0, 2.0)} else "scale_shares"
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        Augmentation(**change)
