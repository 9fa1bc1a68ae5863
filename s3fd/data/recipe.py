"""Which augmentation a run uses, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; by default that of the paper (section 3.4).

    Attributes:
        colour: distort brightness, contrast, saturation and hue.
        grey: share of patches that lose their colours, if `colour`.
        crop: ``"patch"``, one of the paper's five square patches (`patches.paper_patch`),
            ``"face"``, mostly around a face (`patches.face_patch`), or ``"photo"``, all of a photo
            (`patches.photo_patch`).
        flip: probability that a patch is mirrored.
        anchor_sampling: share of patches chosen by data-anchor sampling instead
            (`patches.anchor_patch`).
        collage: share of images that are a collage of 2 x 2, 3 x 3, … patches: small faces occur
            more often.
        plain: share of images that are one small patch on a plain ground: photos have walls and
            skies, and to the coarse levels, which see little but smooth surfaces, these look like
            large faces.
        scales: side of an input relative to the run's input size. Larger inputs teach the coarse
            levels, whose anchors do not fit into a small one. A batch of larger images has fewer,
            so that every step costs about the same.
        scale_shares: share of steps of each of the scales.

    Raises:
        ValueError: a share is not in 0 to 1, or the shares of something do not add up.

    Example:
        >>> Augmentation(anchor_sampling=0.5).crop
        'patch'
    """

    colour: bool = True
    grey: float = 0.0
    crop: Literal["patch", "face", "photo"] = "patch"
    flip: float = 0.5
    anchor_sampling: float = 0.0
    collage: tuple[float, ...] = ()
    plain: float = 0.0
    scales: tuple[float, ...] = (1.0,)
    scale_shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("collage", "scales", "scale_shares"):  # a configuration file has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.crop not in ("patch", "face", "photo"):
            raise ValueError(f"crop: expected 'patch', 'face' or 'photo', got {self.crop!r}")
        shares = {name: (getattr(self, name),) for name in ("grey", "flip", "anchor_sampling",
                                                            "plain")}  # fmt: skip
        for name, values in {**shares, "collage": self.collage,
                             "scale_shares": self.scale_shares}.items():  # fmt: skip
            if not all(0 <= value <= 1 for value in values):
                raise ValueError(f"{name}: expected shares in 0 to 1, got {values}")
        if sum(self.collage) > 1 + 1e-9:
            raise ValueError(
                f"collage: expected shares that add up to at most 1, got {self.collage}"
            )
        if len(self.scales) != len(self.scale_shares) or not math.isclose(
            sum(self.scale_shares), 1.0
        ):
            raise ValueError(
                "scale_shares: expected one share for each of scales, adding up to 1, got "
                f"{self.scale_shares} for {self.scales}"
            )
        if not all(0.1 <= scale <= 10 for scale in self.scales):
            raise ValueError(f"scales: expected factors in 0.1 to 10, got {self.scales}")

    @classmethod
    def small_inputs(cls) -> Augmentation:
        """What the bundled weights are trained with: small inputs, few steps, small faces."""
        return cls(
            grey=0.1,
            crop="face",
            collage=(0.22, 0.08, 0.04),
            plain=0.3,
            scales=(1.0, 1.25, 1.75, 2.5),
            scale_shares=(0.35, 0.1, 0.15, 0.4),
        )
