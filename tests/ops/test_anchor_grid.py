"""The anchors of a feature pyramid."""

import math
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st

from s3fd.ops import AnchorGrid, match_anchors, reference
from s3fd.ops.grid import unpack_grid

OPERATOR = torch.ops.s3fd.anchors.default
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

# SSD's and RetinaFace's way: several shapes a cell, not all of them square.
SEVERAL_SHAPES = AnchorGrid(
    strides=(8, 16, 32), sizes=((16, (8, 24.5)), (32, (32, 64), 7), 100), offset=0.25
)

lengths = st.floats(0.1, 1000, allow_nan=False)
levels = st.one_of(
    lengths,
    st.lists(st.one_of(lengths, st.tuples(lengths, lengths)), min_size=1, max_size=3).map(tuple),
)


@st.composite
def grids(draw: st.DrawFn) -> tuple[AnchorGrid, list[tuple[int, int]]]:
    """A grid, and feature maps for it."""
    stride = st.integers(1, 200)
    strides = draw(st.lists(stride | st.tuples(stride, stride), min_size=1, max_size=3))
    sizes = draw(st.lists(levels, min_size=len(strides), max_size=len(strides)))
    feature_sizes = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(0, 4)),
            min_size=len(strides),
            max_size=len(strides),
        )
    )
    backgrounds = draw(st.lists(st.integers(1, 4), min_size=len(strides), max_size=len(strides)))
    offset = draw(st.floats(-1, 2))
    return AnchorGrid(tuple(strides), tuple(sizes), offset, tuple(backgrounds)), feature_sizes


@given(grids())
def test_anchors_follow_level_row_column_shape(
    grid_and_sizes: tuple[AnchorGrid, list[tuple[int, int]]],
) -> None:
    grid, feature_sizes = grid_and_sizes
    expected = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (stride_x, stride_y), shapes, (rows, columns) in zip(
            grid.axis_strides, grid.shapes, feature_sizes, strict=True
        )
        for y in ((row + grid.offset) * stride_y for row in range(rows))
        for x in ((column + grid.offset) * stride_x for column in range(columns))
        for width, height in shapes
    ]
    expected = torch.tensor(expected, dtype=torch.float64).reshape(-1, 4)
    assert torch.equal(grid.anchors(feature_sizes, dtype=torch.float64), expected)


@given(grids(), st.sampled_from(DTYPES))
def test_anchors_are_the_twins(
    grid_and_sizes: tuple[AnchorGrid, list[tuple[int, int]]], dtype: torch.dtype
) -> None:
    grid, feature_sizes = grid_and_sizes
    anchors = grid.anchors(feature_sizes, dtype=dtype)
    assert anchors.dtype == dtype
    assert torch.equal(anchors, reference.anchors(grid, feature_sizes, dtype=dtype))


def test_the_papers_grid() -> None:
    grid = AnchorGrid.s3fd()
    assert grid.strides == (4, 8, 16, 32, 64, 128)
    assert grid.sizes == (16, 32, 64, 128, 256, 512)
    assert grid.num_levels == 6
    assert grid.num_shapes == (1,) * 6
    assert grid.shapes[5] == ((512.0, 512.0),)
    feature_sizes = grid.feature_sizes((640, 640))
    assert feature_sizes == [(160, 160), (80, 80), (40, 40), (20, 20), (10, 10), (5, 5)]
    anchors = grid.anchors(feature_sizes)
    assert anchors.shape == (34125, 4)
    assert anchors[0].tolist() == [-6, -6, 10, 10]
    assert anchors[1].tolist() == [-2, -6, 14, 10]
    assert anchors[-1].tolist() == [320, 320, 832, 832]


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 85, 86, 255, 256, 257])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_all_lengths_are_listed(columns: int, dtype: torch.dtype) -> None:
    feature_sizes = [(1, columns), (0, 0), (2, 3)]
    anchors = SEVERAL_SHAPES.anchors(feature_sizes, dtype=dtype)
    assert torch.equal(anchors, reference.anchors(SEVERAL_SHAPES, feature_sizes, dtype=dtype))


@pytest.mark.parametrize("columns", [16_300, 16_384, 300_000])
@pytest.mark.parametrize("offset", [0.5, 1 / 16, 1 / 32, 0.3])
@pytest.mark.parametrize("side", [16.0, 2**-7 * 3, 2**-8 * 3, 0.1])
def test_anchors_are_rounded_once_wherever_they_are(
    columns: int, offset: float, side: float
) -> None:
    grid = AnchorGrid((4,), (side,), offset)
    assert torch.equal(grid.anchors([(1, columns)]), reference.anchors(grid, [(1, columns)]))


def test_large_maps_are_shared_out_among_threads() -> None:
    grid = AnchorGrid.s3fd()
    feature_sizes = grid.feature_sizes((2048, 1500))
    assert torch.equal(grid.anchors(feature_sizes), reference.anchors(grid, feature_sizes))


def test_feature_sizes_round_up() -> None:
    assert AnchorGrid((4, 128), (16, 512)).feature_sizes((1, 129)) == [(1, 33), (1, 2)]


def test_levels_without_cells_have_no_anchors() -> None:
    assert AnchorGrid.s3fd().anchors([(0, 5)] * 6).shape == (0, 4)
    grid = AnchorGrid((8, 16), (16, 32))
    assert grid.anchors([(0, 0), (1, 1)]).tolist() == [[-8, -8, 24, 24]]


def test_lists_are_as_good_as_tuples_and_grids_compare_and_hash() -> None:
    grid = AnchorGrid([8, 16, 32], [[16, [8, 24.5]], (32, (32, 64), 7), 100], 0.25)  # type: ignore[arg-type,list-item]
    assert grid == SEVERAL_SHAPES
    assert hash(grid) == hash(SEVERAL_SHAPES)
    assert grid != AnchorGrid.s3fd()
    with pytest.raises(AttributeError):
        grid.offset = 0.0  # type: ignore[misc]


def test_strides_may_differ_by_axis() -> None:
    grid = AnchorGrid(strides=((8, 16), (32, 32)), sizes=(16, 64))
    assert grid.strides == ((8, 16), 32)
    assert grid.axis_strides == ((8, 16), (32, 32))
    assert grid.feature_sizes((32, 64)) == [(2, 8), (1, 2)]
    anchors = grid.anchors([(2, 2), (0, 0)])
    assert anchors[:, :2].tolist() == [[-4, 0], [4, 0], [-4, 16], [4, 16]]


def test_backgrounds_are_of_all_levels_or_of_each() -> None:
    assert AnchorGrid((8, 16), (16, 32)).num_backgrounds == (1, 1)
    assert AnchorGrid((8, 16), (16, 32), backgrounds=2).num_backgrounds == (2, 2)
    assert AnchorGrid((8, 16), (16, 32), backgrounds=(2, 1)).num_backgrounds == (2, 1)
    assert AnchorGrid((8,), (16,), backgrounds=2) == AnchorGrid((8,), (16,), backgrounds=(2,))
    assert AnchorGrid((8,), (16,), backgrounds=2) != AnchorGrid((8,), (16,))
    assert AnchorGrid.s3fd().num_backgrounds == (3, 1, 1, 1, 1, 1)
    assert AnchorGrid.s3fd(backgrounds=1).num_backgrounds == (1,) * 6


@given(grids())
def test_what_is_packed_for_operators_is_the_whole_grid(
    grid_and_sizes: tuple[AnchorGrid, list[tuple[int, int]]],
) -> None:
    grid, _ = grid_and_sizes
    unpacked = unpack_grid(grid.packed)
    assert unpacked.packed == grid.packed
    assert unpacked.strides == grid.strides
    assert unpacked.shapes == grid.shapes
    assert unpacked.offset == grid.offset
    assert unpacked.num_backgrounds == grid.num_backgrounds


@pytest.mark.parametrize("grid", [AnchorGrid.s3fd(), SEVERAL_SHAPES])
@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(grid: AnchorGrid, dtype: torch.dtype) -> None:
    arguments = grid.operator_arguments(grid.feature_sizes((64, 96)))
    torch.library.opcheck(OPERATOR, (torch.empty(0, dtype=dtype), *arguments))


def test_compiles_into_one_graph_for_any_size() -> None:
    grid = SEVERAL_SHAPES
    compiled = torch.compile(
        lambda x: grid.anchors(grid.feature_sizes((x.shape[0], x.shape[1]))),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for size in (64, 96):
        expected = grid.anchors(grid.feature_sizes((size, 2 * size)))
        assert torch.equal(compiled(torch.empty(size, 2 * size)), expected)


def test_devices_without_a_kernel_run_that_of_the_cpu() -> None:
    arguments = SEVERAL_SHAPES.operator_arguments([(2, 3)] * 3)
    like = torch.empty(0)
    assert torch.equal(run_elsewhere(OPERATOR, like, *arguments), OPERATOR(like, *arguments))
    assert SEVERAL_SHAPES.anchors([(2, 3)] * 3, device="meta").shape == (36, 4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_numbers_of_the_cpu() -> None:
    anchors = SEVERAL_SHAPES.anchors([(5, 3)] * 3, device="cuda")
    assert torch.equal(anchors.cpu(), SEVERAL_SHAPES.anchors([(5, 3)] * 3))


def test_match_is_match_anchors_of_the_listed_anchors() -> None:
    feature_sizes = SEVERAL_SHAPES.feature_sizes((64, 64))
    boxes = [torch.tensor([[3.0, 4.0, 20.0, 30.0], [0.0, 0.0, 64.0, 64.0]]), torch.empty(0, 4)]
    ignore = [torch.empty(0, 4), torch.tensor([[0.0, 0.0, 40.0, 40.0]])]
    matched = SEVERAL_SHAPES.match(feature_sizes, boxes, top_n=3, ignore=ignore)
    anchors = SEVERAL_SHAPES.anchors(feature_sizes)
    assert torch.equal(matched, match_anchors(anchors, boxes, top_n=3, ignore=ignore))
    assert (matched[1] == -2).any()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (((), ()), ValueError, "at least one level"),
        (((8, 16), (16,)), ValueError, "got 2 strides and 1 sizes"),
        ((8, (16,)), TypeError, "strides: expected a sequence"),
        (((8,), 16), TypeError, "sizes: expected a sequence"),
        (((0,), (16,)), ValueError, r"strides\[0\]"),
        (((8.5,), (16,)), TypeError, r"strides\[0\]"),
        (((8,), (-16,)), ValueError, r"sizes\[0\].*positive"),
        (((8,), (math.nan,)), ValueError, r"sizes\[0\].*finite"),
        (((8,), ("16",)), TypeError, r"sizes\[0\]"),
        (((8,), ((),)), ValueError, "at least one shape"),
        (((8,), (((1, 2, 3),),)), ValueError, r"\(width, height\) pairs"),
        (((8,), (16,), math.inf), ValueError, "offset"),
        (((8,), (16,), "a"), TypeError, "offset"),
        ((((8, 0),), (16,)), ValueError, r"strides\[0\]"),
        ((((8, 8, 8),), (16,)), TypeError, r"strides\[0\]"),
        (((8,), (16,), 0.5, 0), ValueError, "backgrounds: expected an integer >= 1"),
        (((8,), (16,), 0.5, (1, 1)), ValueError, "backgrounds: expected an integer, or one for"),
        (((8,), (16,), 0.5, (1.5,)), TypeError, r"backgrounds\[0\]"),
    ],
)
def test_bad_grids_are_refused(
    arguments: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        AnchorGrid(*arguments)


@pytest.mark.parametrize(
    ("feature_sizes", "error", "text"),
    [
        ([(1, 1)], ValueError, r"feature_sizes: expected \(rows, columns\) of 3 levels, got 1"),
        ([(1, 1), (1, 1), (1, -1)], ValueError, r"feature_sizes\[2\]"),
        ([(1, 1), (1, 1.5), (1, 1)], TypeError, r"feature_sizes\[1\]"),
        ([(1, 1), (1, 1), 1], TypeError, r"feature_sizes\[2\]"),
        (3, TypeError, "feature_sizes"),
    ],
)
def test_bad_feature_sizes_are_refused(
    feature_sizes: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        SEVERAL_SHAPES.anchors(feature_sizes)


def test_bad_image_sizes_and_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="image_size"):
        AnchorGrid.s3fd().feature_sizes((640.0, 640))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_size"):
        AnchorGrid.s3fd().feature_sizes((640, 640, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dtype"):
        AnchorGrid.s3fd().anchors([(1, 1)] * 6, dtype=torch.int64)


def test_the_kernel_itself_refuses_lists_that_do_not_fit() -> None:
    like = torch.empty(0)
    packed = AnchorGrid((8,), (16,)).packed
    for feature_sizes, grid in (
        ([1, 1, 1], packed),
        ([1, 1, 1, 1], packed),
        ([], packed),
        ([1, 1], packed[:-2]),
        ([-1, 1], packed),
        ([2**32, 2**32], packed),
    ):
        with pytest.raises(RuntimeError, match="anchor grid"):
            OPERATOR(like, feature_sizes, grid)
