"""The backbone of the small S3FDs that were published for Caffe, with five levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from s3fd.messages import shown
from s3fd.models.conv_norm import ConvNorm
from s3fd.ops import AnchorGrid
from s3fd.ops._checks import check_integer

EPSILON = 1e-3

_conv_norm = partial(ConvNorm, epsilon=EPSILON)
"""What all batch norms of this family add to the variance."""


@dataclass(frozen=True)
class MobileNetV2Layout:
    """Widths and depths of a `MobileNetV2Backbone`: members of the family differ in nothing else.

    Attributes:
        stem: channels of each of the 3x3 convolutions at stride 2 that come first.
        separable: channels of the depthwise separable convolution after them.
        blocks: ``(expanded, outputs, stride)`` of each inverted residual. Three of them have
            stride 2, the others 1.
        last: channels of the 1x1 convolution that ends the trunk, at stride 16.
        extras: ``(reduced, outputs)`` of each of the three levels after it.

    Raises:
        TypeError, ValueError: it is not as described.
    """

    stem: tuple[int, ...]
    separable: int
    blocks: tuple[tuple[int, int, int], ...]
    last: int
    extras: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        blocks = _sequence("blocks", self.blocks)
        extras = _sequence("extras", self.extras)
        check_integer("separable", self.separable, minimum=1)
        check_integer("last", self.last, minimum=1)
        plain: dict[str, object] = {  # as a file keeps them, whatever kind of integers came
            "separable": int(self.separable),
            "last": int(self.last),
            "stem": _integers("stem", self.stem),
            "blocks": tuple(_integers(f"blocks[{i}]", row, 3) for i, row in enumerate(blocks)),
            "extras": tuple(_integers(f"extras[{i}]", row, 2) for i, row in enumerate(extras)),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if not self.stem:
            raise ValueError("stem: expected at least one convolution, got none")
        strides = [stride for *_, stride in self.blocks]
        if strides.count(2) != 3 or strides.count(1) != len(strides) - 3:
            raise ValueError(f"blocks: expected three with stride 2, others with 1, got {strides}")
        if len(extras) != 3:
            raise ValueError(f"extras: expected three levels, got {len(extras)}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> MobileNetV2Layout:
        """The layout whose fields these are.

        Raises:
            ValueError: these are not its fields, or not as `MobileNetV2Layout` describes them.
        """
        names = [field.name for field in fields(cls)]
        if sorted(values) != sorted(names):
            raise ValueError(f"layout: expected the fields {names}, got {list(values)}")
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError as error:
            raise ValueError(f"layout: {error}") from None


class MobileNetV2Backbone(nn.Module):
    """Inverted residuals (MobileNetV2, arXiv 1801.04381) with five levels at strides 8 to 128.

    What the ``mod`` networks of the repository bonseyes/SFD have in common. The finest level, with
    two anchors a cell, reads the expansion of the block that halves the resolution to stride 16,
    as SSDLite does; the next one the end of the trunk. Depthwise convolutions halve the resolution
    thrice more.

    Args:
        layout: its widths and depths.
    """

    grid = AnchorGrid(strides=(8, 16, 32, 64, 128), sizes=((16, 32), 64, 128, 256, 512))

    def __init__(self, layout: MobileNetV2Layout) -> None:
        super().__init__()
        widths = (3, *layout.stem)
        self.stem = nn.Sequential(
            *(
                _conv_norm(inputs, outputs, stride=2 if index == 0 else 1)
                for index, (inputs, outputs) in enumerate(pairwise(widths))
            )
        )
        self.separable = _separable(layout.stem[-1], layout.separable, activation=False)
        inputs = (layout.separable, *(outputs for _, outputs, _ in layout.blocks))
        self.blocks = nn.ModuleList(
            InvertedResidual(width, *block)
            for width, block in zip(inputs, layout.blocks, strict=False)
        )
        self.last = _conv_norm(inputs[-1], layout.last, kernel_size=1)
        inputs = (layout.last, *(outputs for _, outputs in layout.extras))
        self.extras = nn.ModuleList(
            nn.Sequential(
                _conv_norm(width, reduced, kernel_size=1),
                *_separable(reduced, outputs, stride=2),
            )
            for width, (reduced, outputs) in zip(inputs, layout.extras, strict=False)
        )
        halving = [index for index, (*_, stride) in enumerate(layout.blocks) if stride == 2]
        self._finest = halving[-1]
        self.channels = (layout.blocks[self._finest][0], *inputs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[B, 3, H, W]`` to the features of the five levels, finest first."""
        return list(self._levels(x))

    def _levels(self, x: Tensor) -> Iterator[Tensor]:
        x = self.separable(self.stem(x))
        for index, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            expanded = block.expand(x)
            if index == self._finest:
                yield expanded
            x = block.project(x, expanded)
        x = self.last(x)
        yield x
        for extra in self.extras:
            x = extra(x)
            yield x


class InvertedResidual(nn.Module):
    """Expands the channels, filters each by itself, and projects them linearly to a few.

    The input is added where it has the shape of the output.
    """

    def __init__(self, inputs: int, expanded: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = _conv_norm(inputs, expanded, kernel_size=1)
        self.filter = _separable(expanded, outputs, stride=stride, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def project(self, x: Tensor, expanded: Tensor) -> Tensor:
        """The output of the block.

        Args:
            x: its input, ``[B, inputs, H, W]``.
            expanded: what `expand` made of that.
        """
        y: Tensor = self.filter(expanded)
        return y + x if self.residual else y


def _separable(
    inputs: int, outputs: int, *, stride: int = 1, activation: bool = True
) -> nn.Sequential:
    """A depthwise convolution, and a 1x1 one after it."""
    return nn.Sequential(
        _conv_norm(inputs, inputs, stride=stride, groups=inputs),
        _conv_norm(inputs, outputs, kernel_size=1, activation=activation),
    )


def _sequence(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: expected a sequence, got {shown(value)}")
    return value


def _integers(name: str, value: object, length: int | None = None) -> tuple[int, ...]:
    """Positive integers, as a tuple: JSON has lists."""
    numbers = _sequence(name, value)
    if length not in (None, len(numbers)):
        raise ValueError(f"{name}: expected {length} integers, got {list(numbers)}")
    for number in numbers:
        check_integer(name, number, minimum=1)
    return tuple(int(number) for number in numbers)  # type: ignore[call-overload]
