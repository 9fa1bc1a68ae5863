// A grid of anchors as a kernel takes it: by value, so that no launch waits for a copy.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <vector>

#include "cuda/primitives/divide.h"
#include "cuda/primitives/grid_constant.h"
#include "cuda/primitives/launch.h"
#include "shared/anchor_grid.h"
#include "shared/anchor_levels.h"

namespace s3fd::cuda {

// Levels and shapes that fit into the parameters of a kernel with room for its other arguments.
constexpr int kMostLevels = 16, kMostShapes = 96;
static_assert(kMostShapes <= 0xff, "levels count their shapes in a byte");

struct DeviceGrid {
  struct Level {
    int64_t rows, columns, first_anchor;
    double stride_x, stride_y;
    int backgrounds;
    uint8_t first_shape, num_shapes;
    bool is_exact;  // in float: see AnchorLevel::is_exact_in_float()
  };

  Level levels[kMostLevels];
  double shapes[2 * kMostShapes];  // widths and heights in turn
  double offset;
  int num_levels, num_shapes;
  int64_t num_anchors;

  // The same arithmetic as on the CPU: anchors are equal to the last bit.
  __device__ AnchorLevel level(int l) const {
    const Level& it = levels[l];
    return {it.rows,       it.columns,    it.stride_x,
            it.stride_y,   offset,        shapes + 2 * it.first_shape,
            it.num_shapes, it.backgrounds};
  }

  // The level of an anchor that exists.
  __device__ int level_of(int64_t anchor) const {
    int l = num_levels - 1;
    while (anchor < levels[l].first_anchor) --l;
    return l;
  }

  template <typename T>
  __device__ Box<T> box(int64_t anchor) const {
    const int l = level_of(anchor);
    const int64_t in_level = anchor - levels[l].first_anchor;
    const int64_t cell = divide(in_level, levels[l].num_shapes);
    const int64_t row = divide(cell, levels[l].columns);
    return box<T>(l, row, cell - row * levels[l].columns,
                  static_cast<int>(in_level - cell * levels[l].num_shapes));
  }

  // In float where that is the same: many GPUs have few units for doubles.
  template <typename T>
  __device__ Box<T> box(int l, int64_t row, int64_t column, int shape) const {
    if (!levels[l].is_exact) return level(l).template box<T>(row, column, shape);
    const double* sides = shapes + 2 * (levels[l].first_shape + shape);
    return anchor_box<T, float>(row, column, static_cast<float>(levels[l].stride_x),
                                static_cast<float>(levels[l].stride_y), static_cast<float>(offset),
                                static_cast<float>(sides[0] / 2), static_cast<float>(sides[1] / 2));
  }
};

inline DeviceGrid make_device_grid(const std::vector<AnchorLevel>& levels) {
  DeviceGrid grid{};
  STD_TORCH_CHECK(levels.size() <= kMostLevels, "s3fd: the CUDA kernels know grids of at most ",
                  kMostLevels, " levels, not ", levels.size());
  for (const AnchorLevel& level : levels) {
    STD_TORCH_CHECK(grid.num_shapes + level.num_shapes <= kMostShapes,
                    "s3fd: the CUDA kernels know grids of at most ", kMostShapes,
                    " shapes in all levels together");
    grid.levels[grid.num_levels++] = {level.rows,
                                      level.columns,
                                      grid.num_anchors,
                                      level.stride_x,
                                      level.stride_y,
                                      static_cast<int>(level.backgrounds),
                                      static_cast<uint8_t>(grid.num_shapes),
                                      static_cast<uint8_t>(level.num_shapes),
                                      level.is_exact_in_float()};
    for (int64_t i = 0; i < level.num_shapes; ++i, ++grid.num_shapes) {
      grid.shapes[2 * grid.num_shapes] = level.shapes[2 * i];
      grid.shapes[2 * grid.num_shapes + 1] = level.shapes[2 * i + 1];
    }
    grid.num_anchors += level.num_anchors();
    grid.offset = level.offset;
  }
  return grid;
}

}  // namespace s3fd::cuda
