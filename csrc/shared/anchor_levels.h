// From the packed description of a grid, as operators get it, to its levels.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "shared/anchor_grid.h"

namespace s3fd {

// Reads what s3fd/ops/grid.py packs, number by number: first the offset; then of each level its
// strides along x and y, its number of backgrounds, its number of shapes, and the width and height
// of each of these.
class PackedGrid {
 public:
  explicit PackedGrid(const std::vector<double>& numbers) : numbers_(numbers) {}

  bool is_read() const { return read_ == numbers_.size(); }

  double next() {
    STD_TORCH_CHECK(!is_read(), "s3fd: the description of an anchor grid is cut short");
    return numbers_[read_++];
  }

  // A count of things, at least `least` of them.
  int64_t next_count(double least) {
    const double count = next();
    STD_TORCH_CHECK(count >= least && count <= 0x1p31 && count == std::floor(count),
                    "s3fd: the description of an anchor grid has ", count, " for a count");
    return static_cast<int64_t>(count);
  }

  const double* next_shapes(int64_t count) {
    STD_TORCH_CHECK(static_cast<uint64_t>(count) <= (numbers_.size() - read_) / 2,
                    "s3fd: an anchor grid has fewer shapes than its levels need");
    const double* shapes = numbers_.data() + read_;
    read_ += 2 * static_cast<size_t>(count);
    return shapes;
  }

 private:
  const std::vector<double>& numbers_;
  size_t read_ = 0;
};

// The levels of a packed grid, for maps of these sizes: rows and columns of each level in turn.
// They point into `grid`, which has to outlive them. No level has more than 2^48 anchors, so that
// their numbers can be added and multiplied by 4 without a thought.
inline std::vector<AnchorLevel> make_levels(const std::vector<int64_t>& feature_sizes,
                                            const std::vector<double>& grid) {
  PackedGrid packed(grid);
  const double offset = packed.next();
  std::vector<AnchorLevel> levels;
  levels.reserve(feature_sizes.size() / 2);
  for (size_t l = 0; l < feature_sizes.size() / 2; ++l) {
    AnchorLevel level{};
    level.rows = feature_sizes[2 * l];
    level.columns = feature_sizes[2 * l + 1];
    level.offset = offset;
    level.stride_x = packed.next();
    level.stride_y = packed.next();
    level.backgrounds = packed.next_count(1);
    level.num_shapes = packed.next_count(0);
    level.shapes = packed.next_shapes(level.num_shapes);
    STD_TORCH_CHECK(level.rows >= 0 && level.columns >= 0,
                    "s3fd: negative size of a level of an anchor grid");
    STD_TORCH_CHECK(static_cast<double>(level.rows) * static_cast<double>(level.columns) *
                            static_cast<double>(level.num_shapes) <=
                        0x1p48,
                    "s3fd: a level of the anchor grid has too many anchors");
    levels.push_back(level);
  }
  STD_TORCH_CHECK(packed.is_read() && feature_sizes.size() % 2 == 0,
                  "s3fd: expected the size of every level of an anchor grid");
  return levels;
}

}  // namespace s3fd
