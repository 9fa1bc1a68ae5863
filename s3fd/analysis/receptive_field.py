"""What the units of each level see of the input, and what they look at: S3FD's figure 3.

The paper chooses anchors that are much smaller than the theoretical receptive field of their level
and about as large as the effective one (section 3.1, after Luo et al., "Understanding the Effective
Receptive Field in Deep Convolutional Neural Networks", 2016).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from s3fd.models import S3FD
from s3fd.ops import AnchorGrid
from s3fd.ops._checks import describe
from s3fd.ops.grid import Shape

Network: TypeAlias = Callable[[Tensor], Sequence[Tensor]]
"""``[1, C, H, W]`` to a map ``[1, C_l, H_l, W_l]`` of each level: a module, or a function of
tensors on the CPU."""


class Extent(NamedTuple):
    """A box in pixels of the input, from the centre of the unit's anchor."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> float:
        """The longer one of its sides."""
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def centre(self) -> tuple[float, float]:
        """How far to the right of the anchor's centre it lies, and how far below it."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The field of the unit in the middle of one level.

    Attributes:
        stride: of the level.
        anchors: width and height of the anchors of a cell.
        theoretical: the smallest box that holds every pixel that the unit depends on; None where
            that is the whole input, however large.
        effective: the smallest square around the centre of mass of ``gradient ** 2`` that holds the
            wanted share of its sum.
        gradient: float64 ``[S, S]``, the root mean square, over the random draws and the channels
            of a pixel, of the derivative of the unit; the sum of its squares is 1.
        input: where `gradient` lies.
    """

    stride: int
    anchors: tuple[Shape, ...]
    theoretical: Extent | None
    effective: Extent
    gradient: NDArray[np.float64]
    input: Extent


def receptive_fields(
    network: Network,
    grid: AnchorGrid,
    *,
    channels: int = 3,
    energy: float = 0.95,
    samples: int = 8,
    largest_input: int = 2048,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> list[ReceptiveField]:
    """Theoretical and effective receptive field of each level of any network.

    **Theoretical.** Exact, and found without a look at the layers: a unit depends on a pixel if and
    only if a NaN there makes it NaN, whatever the weights. So dilation, padding, top-down paths and
    attention are all accounted for, as long as an operation does not hide NaN.

    **Effective.** Inputs are drawn from the standard normal distribution. The derivative of the
    unit, a random mixture of its channels, is squared and averaged; so its *energy* is what noise
    in a pixel adds to the variance of the unit, to first order.

    Args:
        network: a module in evaluation mode, or a function.
        grid: strides of the levels, and sizes of the anchors that their fields are compared with.
        channels: of the input.
        energy: share of the squared gradient that the effective field shall hold, in (0, 1).
        samples: random draws for each level.
        largest_input: where to stop if a field does not fit, in pixels.
        seed: of the draws.
        advance: called after each draw.

    Returns:
        The field of the unit in the middle of each level.

    Raises:
        TypeError: the network does not return a sequence of tensors.
        ValueError: an option is out of its range; the network is in training mode, returns other
            maps than the grid describes or values that are not finite, or no gradient leaves one
            of its levels.

    Example:
        >>> from torch import nn
        >>> layer = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1).eval()
        >>> (field,) = receptive_fields(lambda x: [layer(x)], AnchorGrid((2,), (4,)))
        >>> field.theoretical
        Extent(left=-2.0, top=-2.0, right=1.0, bottom=1.0)
    """
    if isinstance(network, nn.Module) and network.training:
        raise ValueError(
            "network: expected evaluation mode, since batch norms in training mode make a unit "
            "depend on the whole batch; call network.eval()"
        )
    if not 0 < energy < 1:
        raise ValueError(f"energy: expected a share between 0 and 1, got {energy}")
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    if any(x != y for x, y in grid.axis_strides):
        raise ValueError(f"grid: expected one stride for both axes of a level, got {grid.strides}")
    step = math.lcm(*(stride for stride, _ in grid.axis_strides))
    if largest_input < step:
        raise ValueError(
            f"largest_input: expected at least {step}, the common multiple of the strides, "
            f"got {largest_input}"
        )
    unit_of = partial(_Unit, network, grid, channels, torch.Generator().manual_seed(seed))
    side, largest = step, largest_input // step * step
    fields = []
    for level in range(grid.num_levels):
        unit = unit_of(level)
        while not (fits := unit.is_inside(side)) and side < largest:
            side = min(side + step * max(1, side // (4 * step)), largest)
        squares = np.zeros((side, side))
        for _ in range(samples):
            squares += unit.energy(side) / samples
            if advance is not None:
                advance()
        start = -unit.anchor_centre(side)
        fields.append(
            ReceptiveField(
                stride=grid.axis_strides[level][0],
                anchors=grid.shapes[level],
                theoretical=unit.theoretical(squares) if fits else None,
                effective=_shifted(_central_square(squares, energy), start),
                gradient=np.sqrt(squares),
                input=Extent(start, start, start + side, start + side),
            )
        )
    return fields


class Predictions(nn.Module):
    """What an `S3FD` predicts, as a network for `receptive_fields`.

    Args:
        model: is put into evaluation mode. Its class and box maps are joined, so that the 3 x 3
            convolutions of the head belong to the field, as in the paper's table 1.
    """

    def __init__(self, model: S3FD) -> None:
        super().__init__()
        self.model = model.eval()
        self.eval()

    def forward(self, noise: Tensor) -> list[Tensor]:
        """``[1, 3, H, W]`` of the standard normal distribution; it becomes a grey, noisy photo."""
        levels = self.model(self.model.preprocess(127.5 + 64 * noise))
        return [torch.cat(maps, dim=1) for maps in zip(*levels, strict=True)]


class _Unit:
    """The unit in the middle of one level of a network."""

    def __init__(
        self,
        network: Network,
        grid: AnchorGrid,
        channels: int,
        random: torch.Generator,
        level: int,
    ) -> None:
        self.network, self.grid, self.channels = network, grid, channels
        self.random, self.level = random, level
        self.stride = grid.axis_strides[level][0]
        self.device = torch.device("cpu")
        if isinstance(network, nn.Module):
            self.device = next((p.device for p in network.parameters()), self.device)
        # Across the axis that is probed, the input need not be larger than the coarsest stride.
        self.breadth = math.lcm(*(stride for stride, _ in grid.axis_strides))
        with torch.no_grad():
            blank = torch.zeros(1, channels, self.breadth, self.breadth, device=self.device)
            if not self._values(blank).isfinite().all():
                raise ValueError(f"network: level {level} is not finite on an input of zeros")

    def anchor_centre(self, side: int) -> float:
        return (side // self.stride // 2 + self.grid.offset) * self.stride

    def is_inside(self, side: int) -> bool:
        """Whether the unit sees nothing outside of an input of this side.

        Its own border would not tell: a dilated kernel may step over it. So the same unit is probed
        in a larger input.
        """
        margin = self.breadth * math.ceil(max(side / 4, 32) / self.breadth)
        return not any(
            self._sees(margin, side + 2 * margin, axis=axis, from_end=from_end)
            for axis in (2, 3)
            for from_end in (False, True)
        )

    def theoretical(self, squares: NDArray[np.float64]) -> Extent:
        """The box of what the unit sees of an input with energy ``squares``, ``[S, S]``.

        Where a gradient arrives the unit sees the pixel; one more probe a side shows that there is
        nothing beyond, or else a search finds it.
        """
        side = len(squares)
        edges = []
        for axis in (3, 2):
            reached = np.flatnonzero(squares.sum(axis=3 - axis))  # columns, then rows
            for from_end in (False, True):
                seen = int(side - reached[-1] if from_end else reached[0] + 1)
                sees = partial(self._sees, side=side, axis=axis, from_end=from_end)
                edges.append(_fewest(sees, seen) - 1)
        left, right, top, bottom = edges
        return _shifted(Extent(left, top, side - right, side - bottom), -self.anchor_centre(side))

    def energy(self, side: int) -> NDArray[np.float64]:
        """The squared gradient for one random input, summed over channels: ``[S, S]``, sum 1."""
        size = (1, self.channels, side, side)
        noise = torch.randn(size, generator=self.random).to(self.device).requires_grad_()
        values = self._values(noise)  # [C]
        mixture = torch.randn(values.shape, generator=self.random).to(values)
        (gradient,) = torch.autograd.grad((values * mixture).sum(), noise)
        squares = gradient[0].cpu().double().square().sum(dim=0)  # [S, S]
        total = float(squares.sum())
        if not 0 < total < math.inf:
            raise ValueError(
                f"network: the gradient of level {self.level} has a squared sum of {total}; "
                "expected a positive, finite one (dead units? not differentiable?)"
            )
        share: NDArray[np.float64] = (squares / total).numpy()
        return share

    @torch.no_grad()
    def _sees(self, pixels: int, side: int, *, axis: int, from_end: bool) -> bool:
        """Whether the unit depends on any of so many rows (axis 2) or columns (3) at a border."""
        if pixels == 0:
            return False
        size = (side, self.breadth) if axis == 2 else (self.breadth, side)
        images = torch.zeros(1, self.channels, *size, device=self.device)
        images.narrow(axis, side - pixels if from_end else 0, pixels).fill_(math.nan)
        with _without_fast_transforms():
            return bool(self._values(images).isnan().any())

    def _values(self, images: Tensor) -> Tensor:
        """The channels of the unit, ``[C]``."""
        maps = self.network(images)
        if not isinstance(maps, Sequence) or not all(isinstance(m, Tensor) for m in maps):
            raise TypeError(f"network: expected a list of maps [1, C, H, W], got {describe(maps)}")
        row, column = (length // self.stride // 2 for length in images.shape[2:])
        if len(maps) != self.grid.num_levels:
            raise ValueError(
                f"network: expected {self.grid.num_levels} maps, one a level, got {len(maps)}"
            )
        level = maps[self.level]
        if level.dim() != 4 or level.shape[2] <= row or level.shape[3] <= column:
            raise ValueError(
                f"network: expected a map [1, C, H, W] of level {self.level} with a cell every "
                f"{self.stride} pixels of {list(images.shape)}, got {list(level.shape)}"
            )
        return level[0, :, row, column]


@contextmanager
def _without_fast_transforms() -> Iterator[None]:
    """Winograd and Fourier convolutions would let a NaN reach outputs that don't depend on it."""
    with torch.backends.cudnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
        yield


def _fewest(sees: Callable[[int], bool], known: int) -> int:
    """The smallest number that ``sees`` is true of, where it is true of ``known``."""
    if not sees(known - 1):
        return known
    return bisect_left(range(known - 1), True, key=sees)


def _central_square(squares: NDArray[np.float64], energy: float) -> Extent:
    """The smallest square around the centre of mass that holds this share of the sum."""
    middles = np.arange(len(squares)) + 0.5  # of the pixels
    x = float(squares.sum(axis=0) @ middles / squares.sum())
    y = float(squares.sum(axis=1) @ middles / squares.sum())
    reach = np.maximum(np.abs(middles - x), np.abs(middles - y)[:, None]).ravel()  # [S * S]
    order = np.argsort(reach, kind="stable")
    held = np.cumsum(squares.ravel()[order])
    half = float(reach[order[np.searchsorted(held, energy * held[-1])]]) + 0.5
    return Extent(x - half, y - half, x + half, y + half)


def _shifted(extent: Extent, by: float) -> Extent:
    return Extent(*(edge + by for edge in extent))
