// Anchors in any order, as matching walks them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/match_candidate.h"
#include "cpu/simd.h"
#include "shared/anchor_bounds.h"
#include "shared/geometry.h"

namespace s3fd::cpu {

// Blocks of neighbours in their order. A box looks only into the blocks whose bounds it can overlap
// enough: few if anchors are listed row by row, as they usually are.
class ListAnchors {
 public:
  ListAnchors(const Box<float>* anchors, int64_t size) : size_(size) {
    const auto blocks = static_cast<size_t>((size + kBlock - 1) / kBlock);
    for (auto* side : {&x1_, &y1_, &x2_, &y2_, &areas_}) side->resize(blocks * kBlock);
    for (auto* bound : {&left_, &top_, &right_, &bottom_, &smallest_, &largest_}) {
      bound->resize(blocks);
    }
    for (size_t block = 0; block < blocks; ++block) {
      const auto first = static_cast<int64_t>(block * kBlock);
      fill_block(block, anchors + first, std::min(kBlock, size - first));
    }
  }

  int64_t size() const { return size_; }

  // Calls visit(index, anchor, IoU) for all anchors whose IoU with a proper box is positive and not
  // below least(), and perhaps for others. The most promising block comes first; least() may grow
  // meanwhile.
  template <typename Least, typename Visit>
  void for_each_overlap(const Box<float>& box, const Least& least, const Visit& visit) const {
    std::vector<float> bounds(left_.size());
    const size_t best = bound_blocks(box, bounds.data());
    if (best == bounds.size()) return;
    visit_block(best, box, least(), visit);
    for (size_t block = 0; block < bounds.size(); ++block) {
      if (block == best || !(bounds[block] > 0)) continue;
      const double enough = least();
      if (AnchorBounds::allows(bounds[block], enough)) visit_block(block, box, enough, visit);
    }
  }

  // Calls visit(index, anchor) at least for all anchors that share something with the box.
  template <typename Visit>
  void for_each_touched(const Box<float>& box, const Visit& visit) const {
    std::vector<float> bounds(left_.size());
    bound_blocks(box, bounds.data());
    for (int64_t i = 0; i < size_; ++i) {
      if (i % kBlock == 0 && !(bounds[i / kBlock] > 0)) {
        i += kBlock - 1;
      } else {
        visit(i, Box<float>{x1_[i], y1_[i], x2_[i], y2_[i]});
      }
    }
  }

 private:
  static constexpr int64_t kBlock = 64;

  void fill_block(size_t block, const Box<float>* anchors, int64_t count) {
    AnchorBounds bounds = AnchorBounds::none();
    for (int64_t i = 0; i < count; ++i) {
      const Box<float>& anchor = anchors[i];
      const size_t at = block * kBlock + static_cast<size_t>(i);
      x1_[at] = anchor.x1, y1_[at] = anchor.y1, x2_[at] = anchor.x2, y2_[at] = anchor.y2;
      areas_[at] = area(anchor);
      bounds.add(AnchorBounds::of(anchor));
    }
    left_[block] = bounds.left, top_[block] = bounds.top;
    right_[block] = bounds.right, bottom_[block] = bounds.bottom;
    smallest_[block] = bounds.smallest, largest_[block] = bounds.largest;
  }

  // The bounds of all blocks; which one is the largest, or the number of blocks if all are 0.
  size_t bound_blocks(const Box<float>& box, float* __restrict bounds) const {
    const size_t count = left_.size();
    const float box_area = area(box);
    const float *left = left_.data(), *top = top_.data(), *right = right_.data();
    const float *bottom = bottom_.data(), *smallest = smallest_.data(), *largest = largest_.data();
    vectorized([&] {
      for (size_t i = 0; i < count; ++i) {
        bounds[i] =
            AnchorBounds{left[i], top[i], right[i], bottom[i], smallest[i], largest[i]}.iou_bound(
                box, box_area);
      }
    });
    size_t best = count;
    for (size_t i = 0; i < count; ++i) {
      if (bounds[i] > (best == count ? 0.0f : bounds[best])) best = i;
    }
    return best;
  }

  template <typename Visit>
  void visit_block(size_t block, const Box<float>& box, double enough, const Visit& visit) const {
    const size_t first = block * kBlock;
    const float box_area = area(box);
    const auto low = static_cast<float>(enough * (1 - AnchorBounds::kSlack));
    const float *x1 = &x1_[first], *y1 = &y1_[first], *x2 = &x2_[first], *y2 = &y2_[first];
    const float* areas = &areas_[first];
    float overlaps[kBlock];
    float* __restrict out = overlaps;
    const int32_t any = vectorized([=] {
      int32_t found = 0;
      for (int64_t i = 0; i < kBlock; ++i) {
        out[i] = iou({x1[i], y1[i], x2[i], y2[i]}, areas[i], box, box_area);
        found |= (out[i] > 0) & (out[i] >= low);
      }
      return found;
    });
    if (!any) return;
    for (int64_t i = 0; i < kBlock; ++i) {
      if (overlaps[i] > 0 && overlaps[i] >= low) {
        visit(Candidate{overlaps[i], static_cast<int64_t>(first) + i});
      }
    }
  }

  int64_t size_;
  std::vector<float> x1_, y1_, x2_, y2_, areas_;
  // Of the proper anchors of each block.
  std::vector<float> left_, top_, right_, bottom_, smallest_, largest_;
};

}  // namespace s3fd::cpu
