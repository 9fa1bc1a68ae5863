// From the lists that describe a grid in an operator's arguments to its levels.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <vector>

#include "shared/anchor_grid.h"

namespace s3fd {

// The levels of a grid. feature_sizes: rows and columns of each level in turn; shapes: the
// (width, height) pairs of all levels, num_shapes[l] of them for level l. The levels point into
// `shapes`, which has to outlive them. No level has more than 2^48 anchors, so that their numbers
// can be added and multiplied by 4 without a thought.
inline std::vector<AnchorLevel> make_levels(const std::vector<int64_t>& feature_sizes,
                                            const std::vector<double>& strides,
                                            const std::vector<double>& shapes,
                                            const std::vector<int64_t>& num_shapes, double offset) {
  STD_TORCH_CHECK(feature_sizes.size() == 2 * strides.size() && num_shapes.size() == strides.size(),
                  "s3fd: the lists that describe an anchor grid differ in length");
  std::vector<AnchorLevel> levels;
  uint64_t used = 0;
  for (size_t l = 0; l < strides.size(); ++l) {
    const int64_t rows = feature_sizes[2 * l], columns = feature_sizes[2 * l + 1];
    STD_TORCH_CHECK(rows >= 0 && columns >= 0 && num_shapes[l] >= 0,
                    "s3fd: negative size in the description of an anchor grid");
    STD_TORCH_CHECK(static_cast<double>(rows) * static_cast<double>(columns) *
                            static_cast<double>(num_shapes[l]) <=
                        0x1p48,
                    "s3fd: a level of the anchor grid has too many anchors");
    STD_TORCH_CHECK(static_cast<uint64_t>(num_shapes[l]) <= shapes.size() / 2 - used,
                    "s3fd: an anchor grid has fewer shapes than its levels need");
    levels.push_back({rows, columns, strides[l], offset, shapes.data() + 2 * used, num_shapes[l]});
    used += static_cast<uint64_t>(num_shapes[l]);
  }
  return levels;
}

}  // namespace s3fd
