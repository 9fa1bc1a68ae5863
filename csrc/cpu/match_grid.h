// The anchors of a grid, as matching walks them: only those cells whose anchor can overlap a box
// enough.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/match_candidate.h"
#include "shared/anchor_grid.h"
#include "shared/geometry.h"

namespace s3fd::cpu {

class GridAnchors {
 public:
  explicit GridAnchors(std::vector<AnchorLevel> levels) : levels_(std::move(levels)) {
    for (const AnchorLevel& level : levels_) {
      for (int64_t shape = 0; shape < level.num_shapes; ++shape) {
        shapes_.push_back({&level, shape, size_, AnchorReach<double>(level, shape)});
      }
      size_ += level.num_anchors();
    }
  }

  int64_t size() const { return size_; }

  // As ListAnchors has it.
  template <typename Least, typename Visit>
  void for_each_overlap(const Box<float>& box, const Least& least, const Visit& visit) const {
    const float box_area = area(box);
    for_each_near(box, least, [&](int64_t index, const Box<float>& anchor) {
      const float overlap = iou(anchor, area(anchor), box, box_area);
      if (overlap > 0) visit(Candidate{overlap, index});
    });
  }

  template <typename Visit>
  void for_each_touched(const Box<float>& box, const Visit& visit) const {
    for_each_near(box, [] { return 0.0; }, visit);
  }

 private:
  // Calls visit(index, anchor) at least for all anchors whose IoU with a proper box is positive and
  // not below least(). Shapes that can overlap the box best come first; least() may grow meanwhile.
  template <typename Least, typename Visit>
  void for_each_near(const Box<float>& box, const Least& least, const Visit& visit) const {
    struct Ranked {
      double bound;
      const Shape* shape;
    };
    std::vector<Ranked> order;
    order.reserve(shapes_.size());
    for (const Shape& shape : shapes_) order.push_back({shape.reach.iou_bound(box), &shape});
    std::sort(order.begin(), order.end(),
              [](const Ranked& a, const Ranked& b) { return a.bound > b.bound; });
    for (const auto& [bound, shape] : order) {
      const double enough = least();
      if (bound < enough) break;
      visit_window(*shape, box, enough, visit);
    }
  }

  // The anchors of one shape on one level, whose anchors begin at `first`.
  struct Shape {
    const AnchorLevel* level;
    int64_t shape, first;
    AnchorReach<double> reach;
  };

  template <typename Visit>
  static void visit_window(const Shape& shape, const Box<float>& box, double enough,
                           const Visit& visit) {
    const AnchorLevel& level = *shape.level;
    const auto [rows, columns] = shape.reach.window(box, enough);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        visit(shape.first + level.index(row, column, shape.shape),
              level.template box<float>(row, column, shape.shape));
      }
    }
  }

  std::vector<AnchorLevel> levels_;
  std::vector<Shape> shapes_;
  int64_t size_ = 0;
};

}  // namespace s3fd::cpu
