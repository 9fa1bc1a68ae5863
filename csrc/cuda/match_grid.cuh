// The anchors of a grid, as the kernels of matching walk them: for a box, a window of cells of each
// shape, all windows in one stretch that the threads of the box's block share out.
#pragma once

#include "cuda/device_grid.h"
#include "cuda/match_block.cuh"

namespace s3fd::cuda {

static_assert(kMostShapes <= kMatchThreads, "a thread looks after one shape");

class GridAnchors {
 public:
  struct Window {
    uint32_t begin;  // in the stretch
    uint32_t width;  // in cells
    int row, column, level, shape;
  };

  struct Scratch {
    uint32_t cells[kMostShapes];  // in the window of each shape
    Window windows[kMostShapes];  // those that are not empty, by shape
    int num_windows;
    uint32_t num_cells;
  };

  explicit GridAnchors(const DeviceGrid& grid) : grid_(grid) {}

  S3FD_HOST_DEVICE int64_t size() const { return grid_.num_anchors; }

  // An IoU that some anchor has with a proper box: of each shape that nearest to its centre is
  // tried.
  __device__ float some_iou(const Box<float>& box) const {
    const int s = static_cast<int>(threadIdx.x);
    float overlap = 0;
    if (s < grid_.num_shapes) {
      const int l = level_of_shape(s);
      const DeviceGrid::Level& level = grid_.levels[l];
      if (level.rows > 0 && level.columns > 0) {
        const Box<float> anchor = grid_.box<float>(
            l, nearest(box.y1, box.y2, level.stride_y, level.rows),
            nearest(box.x1, box.x2, level.stride_x, level.columns), s - level.first_shape);
        overlap = iou(anchor, area(anchor), box, area(box));
      }
    }
    return max_over_block<kMatchThreads>(overlap);
  }

  // Prepares walk() for a proper box and an IoU.
  __device__ void look(const Box<float>& box, float enough, Scratch& scratch) const {
    const int s = static_cast<int>(threadIdx.x);
    Window window{};
    uint32_t cells = 0;
    if (s < grid_.num_shapes) {
      const int l = level_of_shape(s);
      const bool in_float = grid_.levels[l].is_exact && is_moderate(box);
      cells = in_float ? find_window<float>(box, enough, l, s, window)
                       : find_window<double>(box, enough, l, s, window);
      scratch.cells[s] = cells;
    }
    __syncthreads();
    if (s < grid_.num_shapes) {
      int before = 0;
      for (int other = 0; other < s; ++other) {
        window.begin += scratch.cells[other];
        before += scratch.cells[other] > 0;
      }
      if (cells > 0) scratch.windows[before] = window;
      if (s == grid_.num_shapes - 1) {
        scratch.num_windows = before + (cells > 0);
        scratch.num_cells = window.begin + cells;
      }
    }
    __syncthreads();
  }

  // Calls visit(index, anchor) at least for all anchors whose IoU with the box is positive and not
  // below what look() was given, each in one of the block's threads. Several blocks that look alike
  // can share the walk: each takes its part.
  template <typename Visit>
  __device__ void walk(const Box<float>&, float, const Scratch& scratch, const Visit& visit,
                       int part = 0, int parts = 1) const {
    const uint32_t cells = scratch.num_cells;
    const int last = scratch.num_windows - 1;
    int w = 0;
    for (uint32_t i = part * kMatchThreads + threadIdx.x; i < cells; i += parts * kMatchThreads) {
      while (w < last && scratch.windows[w + 1].begin <= i) ++w;
      const Window& window = scratch.windows[w];
      const uint32_t in_window = i - window.begin, in_row = in_window / window.width;
      const int64_t row = window.row + int64_t{in_row};
      const int64_t column = window.column + int64_t{in_window - in_row * window.width};
      const DeviceGrid::Level& level = grid_.levels[window.level];
      const int64_t index =
          level.first_anchor + (row * level.columns + column) * level.num_shapes + window.shape;
      visit(static_cast<uint32_t>(index),
            grid_.box<float>(window.level, row, column, window.shape));
    }
  }

 private:
  __device__ int level_of_shape(int s) const {
    int l = grid_.num_levels - 1;
    while (s < grid_.levels[l].first_shape) --l;
    return l;
  }

  __device__ int64_t nearest(float low, float high, double stride, int64_t count) const {
    const float cell =
        (0.5f * low + 0.5f * high) / static_cast<float>(stride) - static_cast<float>(grid_.offset);
    const float inside = std::min(std::max(cell + 0.5f, 0.0f), static_cast<float>(count));
    return std::min(static_cast<int64_t>(inside), count - 1);
  }

  // The window of a shape, but for where it begins; returns how many cells it has.
  template <typename Real>
  __device__ uint32_t find_window(const Box<float>& box, float enough, int l, int s,
                                  Window& window) const {
    const int shape = s - grid_.levels[l].first_shape;
    const AnchorReach<Real> reach(grid_.level(l), shape);
    if (reach.iou_bound(box) < enough) return 0;
    const auto [rows, columns] = reach.window(box, enough);
    window = {0,
              static_cast<uint32_t>(columns.size()),
              static_cast<int>(rows.begin),
              static_cast<int>(columns.begin),
              l,
              shape};
    return static_cast<uint32_t>(rows.size() * columns.size());
  }

  DeviceGrid grid_;
};

}  // namespace s3fd::cuda
