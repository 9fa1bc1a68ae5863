// The anchors of a feature pyramid: level, row, column and shape <-> anchor, without a list of
// them, and the window of a level's cells that a box can reach.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "shared/geometry.h"

namespace s3fd {

// An anchor's box, of half its size: computed in Wide and rounded once, to T.
template <typename T, typename Wide>
S3FD_HOST_DEVICE inline Box<T> anchor_box(int64_t row, int64_t column, Wide stride_x, Wide stride_y,
                                          Wide offset, Wide half_width, Wide half_height) {
  const Wide x = (static_cast<Wide>(column) + offset) * stride_x;
  const Wide y = (static_cast<Wide>(row) + offset) * stride_y;
  return {static_cast<T>(x - half_width), static_cast<T>(y - half_height),
          static_cast<T>(x + half_width), static_cast<T>(y + half_height)};
}

// One level of a grid. Anchors are ordered by row, then column, then shape; the centre of cell
// (row, column) is ((column + offset) * stride_x, (row + offset) * stride_y). `shapes` holds
// num_shapes pairs (width, height) and belongs to the caller. A class map has logits of this many
// backgrounds for each shape, and then that of the face.
struct AnchorLevel {
  int64_t rows, columns;
  double stride_x, stride_y, offset;
  const double* shapes;
  int64_t num_shapes, backgrounds;

  S3FD_HOST_DEVICE int64_t num_anchors() const { return rows * columns * num_shapes; }

  // Index of an anchor within its level.
  S3FD_HOST_DEVICE int64_t index(int64_t row, int64_t column, int64_t shape) const {
    return (row * columns + column) * num_shapes + shape;
  }

  // An anchor's box: the same bits whoever asks.
  template <typename T>
  S3FD_HOST_DEVICE Box<T> box(int64_t row, int64_t column, int64_t shape) const {
    return anchor_box<T, double>(row, column, stride_x, stride_y, offset, shapes[2 * shape] / 2,
                                 shapes[2 * shape + 1] / 2);
  }

  // What no coordinate of an anchor of this shape exceeds, in pixels.
  S3FD_HOST_DEVICE double farthest(int64_t shape) const {
    const double right = (static_cast<double>(columns) + std::abs(offset)) * stride_x;
    const double bottom = (static_cast<double>(rows) + std::abs(offset)) * stride_y;
    const double longest_side = std::max(shapes[2 * shape], shapes[2 * shape + 1]);
    return std::max(right, bottom) + longest_side;
  }

  // Whether anchor_box<float, float>() gives the same bits as in double, for all anchors of the
  // level: if all numbers are such multiples of powers of 2 that none of its steps rounds.
  bool is_exact_in_float() const {
    const auto is_multiple = [](double value, double unit) {
      return value / unit == std::floor(value / unit);
    };
    for (const double number : {offset, stride_x, stride_y}) {
      if (!is_multiple(number, 0x1p-4)) return false;
    }
    for (int64_t shape = 0; shape < num_shapes; ++shape) {
      const double *width = shapes + 2 * shape, *height = width + 1;
      if (!is_multiple(*width, 0x1p-7) || !is_multiple(*height, 0x1p-7)) return false;
      if (!(farthest(shape) < 0x1p16)) return false;
    }
    return true;
  }
};

// Cells [begin, end) of a row or of a column of them.
struct CellRange {
  int64_t begin, end;

  S3FD_HOST_DEVICE int64_t size() const { return end - begin; }
};

struct CellWindow {
  CellRange rows, columns;
};

// The anchors of one shape on one level, and which of them a box can reach. Real is double, or
// float for levels that are exact in it and boxes for which is_moderate().
template <typename Real>
class AnchorReach {
 public:
  S3FD_HOST_DEVICE AnchorReach(const AnchorLevel& level, int64_t shape)
      : rows_(level.rows),
        columns_(level.columns),
        per_x_(1 / static_cast<Real>(level.stride_x)),
        per_y_(1 / static_cast<Real>(level.stride_y)),
        offset_(static_cast<Real>(level.offset)),
        width_(static_cast<Real>(level.shapes[2 * shape])),
        height_(static_cast<Real>(level.shapes[2 * shape + 1])),
        rounding_(kIsExact ? Real(0) : static_cast<Real>(level.farthest(shape) * 0x1p-23)) {}

  // The IoU of a proper box with an anchor that lies as well as possible, or more.
  S3FD_HOST_DEVICE Real iou_bound(const Box<float>& box) const {
    const Real box_width = Real(box.x2) - box.x1, box_height = Real(box.y2) - box.y1;
    const Real shared =
        std::min(width_ + 2 * rounding_, box_width) * std::min(height_ + 2 * rounding_, box_height);
    const Real together = least_area() + box_width * box_height - shared;
    return shared / std::max(together, shared) * (1 + kSlack);
  }

  // At least all cells whose anchor has a positive IoU with a proper box that is not below
  // `enough`. IoU >= enough means shared >= enough / (1 + enough) * (sum of the areas), and so a
  // least share of either axis, since of the other one no more can be shared than the smaller
  // length.
  S3FD_HOST_DEVICE CellWindow window(const Box<float>& box, Real enough) const {
    const Real margin = 2 * rounding_;
    const Real box_width = Real(box.x2) - box.x1, box_height = Real(box.y2) - box.y1;
    const Real shared =
        enough / (1 + enough) * (1 - kSlack) * (least_area() + box_width * box_height);
    const Real share_x = shared / std::min(height_ + margin, box_height) - margin;
    const Real share_y = shared / std::min(width_ + margin, box_width) - margin;
    return {cells(box.y1, box.y2, std::max(share_y, Real(0)), height_, per_y_, rows_),
            cells(box.x1, box.x2, std::max(share_x, Real(0)), width_, per_x_, columns_)};
  }

 private:
  static constexpr bool kIsExact = std::is_same_v<Real, float>;
  // Bounds are computed from sizes that are rounded, and compared with IoUs that are rounded to
  // float: this much leaves room for both.
  static constexpr Real kSlack = Real(1e-5);
  // And this much of the numbers that a cell's position is computed from.
  static constexpr Real kCellSlack = kIsExact ? Real(2e-6) : Real(1e-9);

  S3FD_HOST_DEVICE Real least_area() const {
    return std::max(width_ - 2 * rounding_, Real(0)) * std::max(height_ - 2 * rounding_, Real(0));
  }

  // The cells of an axis whose anchors share at least `share` of it with [low, high].
  S3FD_HOST_DEVICE CellRange cells(Real low, Real high, Real share, Real length, Real per_pixel,
                                   int64_t count) const {
    const Real first = (low + share - length / 2) * per_pixel - offset_;
    const Real last = (high - share + length / 2) * per_pixel - offset_;
    const Real scale = (std::abs(low) + std::abs(high) + share + length) * per_pixel;
    const Real slack = kCellSlack * (1 + std::abs(offset_) + scale);
    const Real begin = std::max(std::ceil(first - slack), Real(0));
    const Real end = std::min(std::floor(last + slack) + 1, static_cast<Real>(count));
    if (!(begin < end)) return {0, 0};
    return {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
  }

  int64_t rows_, columns_;
  Real per_x_, per_y_;  // cells per pixel: a product is several times as quick as a quotient
  Real offset_, width_, height_;
  Real rounding_;  // how far from where they should be the edges of anchors are at most
};

// Whether float holds the numbers of a proper box, and of what AnchorReach makes of them, to within
// kCellSlack.
S3FD_HOST_DEVICE inline bool is_moderate(const Box<float>& box) {
  const float shorter = std::min(box.x2 - box.x1, box.y2 - box.y1);
  const float left_or_top = std::min(box.x1, box.y1), right_or_bottom = std::max(box.x2, box.y2);
  return shorter >= 0x1p-8f && left_or_top >= -0x1p20f && right_or_bottom <= 0x1p20f;
}

}  // namespace s3fd
