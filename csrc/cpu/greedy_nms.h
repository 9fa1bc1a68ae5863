// Greedy non-maximum suppression, exact, without comparing every pair of boxes.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "cpu/box_index.h"
#include "geometry.h"

namespace s3fd::cpu {

// Boxes in the order of an index, side by side, and which of them have been suppressed.
template <typename T>
class SuppressedBoxes {
 public:
  SuppressedBoxes(const std::vector<Box<T>>& boxes, const BoxIndex<T>& index, double iou_threshold)
      : highest_(static_cast<T>(iou_threshold)) {
    if (static_cast<double>(highest_) > iou_threshold) {
      highest_ = std::nextafter(highest_, -std::numeric_limits<T>::infinity());
    }
    const size_t n = index.members().size(), padded = (n + kBlock - 1) / kBlock * kBlock;
    for (auto* side : {&x1_, &y1_, &x2_, &y2_, &areas_}) side->resize(padded);
    suppressed_.resize(padded);
    for (size_t i = 0; i < n; ++i) {
      const Box<T>& box = boxes[index.members()[i]];
      x1_[i] = box.x1, y1_[i] = box.y1, x2_[i] = box.x2, y2_[i] = box.y2;
      areas_[i] = area(box);
    }
  }

  bool contains(int32_t position) const { return suppressed_[position] != 0; }

  // Adds those at [begin, end) that overlap a box too much, in whole blocks: a neighbour is added
  // only if it deserves it. A plain loop over arrays, which compilers vectorise.
  void add_overlapping(const Box<T>& box, int32_t begin, int32_t end) {
    const T box_area = area(box), highest = highest_;
    for (int32_t first = begin / kBlock * kBlock; first < end; first += kBlock) {
      const T *x1 = &x1_[first], *y1 = &y1_[first], *x2 = &x2_[first], *y2 = &y2_[first];
      const T* areas = &areas_[first];
      Flag* __restrict suppressed = &suppressed_[first];
      for (int32_t i = 0; i < kBlock; ++i) {
        suppressed[i] |= iou(box, box_area, {x1[i], y1[i], x2[i], y2[i]}, areas[i]) > highest;
      }
    }
  }

 private:
  static constexpr int32_t kBlock = 8;
  using Flag = std::conditional_t<std::is_same_v<T, double>, int64_t, int32_t>;  // as wide as T

  T highest_;  // IoU that does not suppress: the threshold, rounded down
  std::vector<T> x1_, y1_, x2_, y2_, areas_;
  std::vector<Flag> suppressed_;
};

// Which boxes stay, by number, rising: at most `keep` of them. The boxes come by falling score; one
// stays if its IoU with no box that stays before it exceeds the threshold. Each that stays
// suppresses what is near it. Cost: that of sorting, and for each box that stays, what is alike.
template <typename T>
std::vector<int32_t> greedy_nms(const std::vector<Box<T>>& boxes, double iou_threshold,
                                int64_t keep = std::numeric_limits<int64_t>::max()) {
  std::vector<int32_t> kept;
  const BoxIndex<T> index(boxes, iou_threshold);
  SuppressedBoxes<T> suppressed(boxes, index, iou_threshold);
  for (size_t i = 0; i < boxes.size() && static_cast<int64_t>(kept.size()) < keep; ++i) {
    const int32_t position = index.position(static_cast<int32_t>(i));
    const bool overlaps_anything = position != BoxIndex<T>::kNowhere && iou_threshold < 1;
    if (overlaps_anything && suppressed.contains(position)) continue;
    kept.push_back(static_cast<int32_t>(i));
    if (!overlaps_anything) continue;
    index.near(boxes[i], position, [&](int32_t begin, int32_t end) {
      suppressed.add_overlapping(boxes[i], begin, end);
    });
  }
  return kept;
}

}  // namespace s3fd::cpu
