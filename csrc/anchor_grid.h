// The anchors of a feature pyramid: level, row, column and shape <-> anchor, without a list of
// them.
#pragma once

#include <cstdint>

#include "geometry.h"

namespace s3fd {

// One level of a grid. Anchors are ordered by row, then column, then shape; the centre of cell
// (row, column) is ((column + offset) * stride, (row + offset) * stride). `shapes` holds
// num_shapes pairs (width, height) and belongs to the caller.
struct AnchorLevel {
  int64_t rows, columns;
  double stride, offset;
  const double* shapes;
  int64_t num_shapes;

  S3FD_HOST_DEVICE int64_t num_anchors() const { return rows * columns * num_shapes; }

  // Index of an anchor within its level.
  S3FD_HOST_DEVICE int64_t index(int64_t row, int64_t column, int64_t shape) const {
    return (row * columns + column) * num_shapes + shape;
  }

  // An anchor's box: computed in double and rounded once, to T, whoever asks.
  template <typename T>
  S3FD_HOST_DEVICE Box<T> box(int64_t row, int64_t column, int64_t shape) const {
    const double x = (static_cast<double>(column) + offset) * stride;
    const double y = (static_cast<double>(row) + offset) * stride;
    const double half_width = shapes[2 * shape] / 2, half_height = shapes[2 * shape + 1] / 2;
    return {static_cast<T>(x - half_width), static_cast<T>(y - half_height),
            static_cast<T>(x + half_width), static_cast<T>(y + half_height)};
  }
};

}  // namespace s3fd
