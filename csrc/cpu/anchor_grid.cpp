// Lists the anchors of a grid, level after level.

#include <torch/csrc/stable/library.h>

#include "cpu/parallel.h"
#include "shared/anchor_levels.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// Anchors that one task writes at least.
constexpr int64_t kAnchorsPerTask = 16384;

// `like` is an empty tensor: it brings the dtype and the device.
Tensor anchors(const Tensor& like, const std::vector<int64_t>& feature_sizes,
               const std::vector<double>& grid) {
  const auto levels = make_levels(feature_sizes, grid);
  int64_t total = 0;
  for (const AnchorLevel& level : levels) total += level.num_anchors();
  Tensor output = empty({total, 4}, like.scalar_type(), like);
  dispatch_floating(like.scalar_type(), "anchors", [&]<typename T>() {
    T* level_begin = static_cast<T*>(output.mutable_data_ptr());
    for (const AnchorLevel& level : levels) {
      const int64_t anchors_per_row = level.columns * level.num_shapes;
      if (anchors_per_row == 0) continue;
      parallel_for(0, level.rows, kAnchorsPerTask / anchors_per_row + 1,
                   [&](int64_t begin, int64_t end) {
                     T* out = level_begin + begin * anchors_per_row * 4;
                     for (int64_t row = begin; row < end; ++row) {
                       for (int64_t column = 0; column < level.columns; ++column) {
                         for (int64_t shape = 0; shape < level.num_shapes; ++shape, out += 4) {
                           const auto box = level.box<T>(row, column, shape);
                           out[0] = box.x1;
                           out[1] = box.y1;
                           out[2] = box.x2;
                           out[3] = box.y2;
                         }
                       }
                     }
                   });
      level_begin += level.num_anchors() * 4;
    }
  });
  return output;
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("anchors", TORCH_BOX(&s3fd::cpu::anchors));
}
