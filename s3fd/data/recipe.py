"""Which augmentation a run uses, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from s3fd.messages import shown
from s3fd.settings import Range, check_settings

Crop = Literal["patch", "face", "photo", "size"]
_Share: TypeAlias = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; by default that of the paper (section 3.4).

    Attributes:
        colour: distort brightness, contrast, saturation and hue.
        grey: share of patches that lose their colours, if `colour`.
        sepia: share of patches that turn brown as old prints, likewise.
        crop: ``"patch"``, one of the paper's five square patches (`patches.paper_patch`),
            ``"face"``, mostly around a face (`patches.face_patch`), ``"photo"``, all of a photo
            (`patches.photo_patch`), or ``"size"``: every size of `face_sizes` equally often, on a
            logarithmic scale, alone or in collages that are the finer the smaller the faces are
            (`sized_drawing.SizedDrawing`). `anchor_sampling` and `collage` have no part in that.
        flip: probability that a patch is mirrored.
        anchor_sampling: share of patches chosen by data-anchor sampling instead
            (`patches.anchor_patch`).
        collage: share of images that are a collage of 2 x 2, 3 x 3, … patches: small faces occur
            more often.
        face_sizes: smallest and largest face of ``crop="size"``, in pixels of the input.
        background: share of images that are one small patch on a photo without faces, for
            ``crop="size"``.
        empty: share of images without a face, plain grounds and photos without faces alike, for
            ``crop="size"``; they teach by the run's `empty_negatives`.
        distractors: share of patches around what looks like a face instead of around a face, for
            ``crop="size"``, where photos have `AnnotatedImage.distractors`.
        rotate: share of patches that are turned by up to 30 degrees, for ``crop="size"``.
        quarter_turns: share of patches that are turned by 90, 180 or 270 degrees, likewise.
        blur: share of patches that lose their fine detail, likewise.
        noise: share of patches that get noise, likewise.
        jpeg: share of patches that are compressed to a quality of 10 to 80, likewise.
        dark: share of patches that get a bad light, likewise.
        occlusion: share of patches in which something covers a part of a face, likewise.
        cut: share of patches whose edge cuts a part off a face, likewise.
        plain: share of images that are one small patch on a plain ground: photos have walls and
            skies, and to the coarse levels, which see little but smooth surfaces, these look like
            large faces.
        graphics: share of plain grounds, and of patches of photos without faces, on which letters
            or shapes are drawn, for ``crop="size"`` (`graphics.with_graphics`).
        fonts: typefaces of these letters, files or folders of them (`graphics.typefaces`); by
            default the one that Pillow brings.
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
    grey: _Share = 0.0
    sepia: _Share = 0.0
    crop: Crop = "patch"
    face_sizes: tuple[float, ...] = (8.0, 768.0)
    background: _Share = 0.0
    empty: _Share = 0.0
    distractors: _Share = 0.0
    rotate: _Share = 0.0
    quarter_turns: _Share = 0.0
    blur: _Share = 0.0
    noise: _Share = 0.0
    jpeg: _Share = 0.0
    dark: _Share = 0.0
    occlusion: _Share = 0.0
    cut: _Share = 0.0
    graphics: _Share = 0.0
    fonts: tuple[Path, ...] = ()
    flip: _Share = 0.5
    anchor_sampling: _Share = 0.0
    collage: tuple[float, ...] = ()
    plain: _Share = 0.0
    scales: tuple[float, ...] = (1.0,)
    scale_shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        # A configuration file has lists.
        for name in ("collage", "scales", "scale_shares", "face_sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._take_fonts()
        check_settings(self)
        if len(self.face_sizes) != 2 or not 1 <= self.face_sizes[0] < self.face_sizes[1]:
            raise ValueError(
                "face_sizes: expected the smallest and the largest in pixels, from 1, got "
                f"{self.face_sizes}"
            )
        for name in ("collage", "scale_shares"):
            if not all(0 <= value <= 1 for value in getattr(self, name)):
                raise ValueError(f"{name}: expected shares in 0 to 1, got {getattr(self, name)}")
        if sum(self.collage) > 1 + 1e-9:
            raise ValueError(
                f"collage: expected shares that add up to at most 1, got {self.collage}"
            )
        kinds = self.plain + self.background + self.empty
        if self.crop == "size" and kinds > 1 + 1e-9:
            raise ValueError(
                "empty: expected plain, background and empty that add up to at most 1, got "
                f"{kinds:g}"
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

    def _take_fonts(self) -> None:
        fonts = self.fonts
        if isinstance(fonts, str | Path) or Path() in map(Path, fonts):
            raise ValueError(f"fonts: expected a list of files and folders, got {shown(fonts)}")
        if fonts and not (self.crop == "size" and self.graphics):
            raise ValueError(
                'fonts: expected none, since letters are drawn if crop is "size" and graphics is '
                f"above 0; got {shown(fonts)}"
            )
        object.__setattr__(self, "fonts", tuple(map(Path, fonts)))

    @classmethod
    def small_inputs(cls) -> Augmentation:
        """What the bundled weights are trained with: small inputs, few steps, small faces."""
        return cls(
            grey=0.1,
            sepia=0.02,
            crop="size",
            background=0.1,
            empty=0.1,
            distractors=0.2,
            rotate=0.15,
            quarter_turns=0.08,
            blur=0.25,
            noise=0.15,
            jpeg=0.2,
            dark=0.15,
            occlusion=0.2,
            cut=0.1,
            graphics=0.6,
            plain=0.08,
            scales=(1.0, 1.25, 1.75, 2.5, 4.0),
            scale_shares=(0.35, 0.15, 0.2, 0.23, 0.07),
        )
