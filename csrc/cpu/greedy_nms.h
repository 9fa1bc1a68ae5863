// Greedy non-maximum suppression, exact, without comparing every pair of boxes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "cpu/box_index.h"
#include "cpu/simd.h"
#include "shared/geometry.h"
#include "shared/threshold.h"

namespace s3fd::cpu {

// Boxes side by side, and which of them have been suppressed.
template <typename T>
class SuppressedBoxes {
 public:
  explicit SuppressedBoxes(double iou_threshold) : highest_(largest_not_above<T>(iou_threshold)) {}

  // Takes box_at(0) ... box_at(size - 1).
  template <typename BoxAt>
  void assign(int32_t size, const BoxAt& box_at) {
    const size_t padded = (static_cast<size_t>(size) + kBlock - 1) / kBlock * kBlock;
    for (auto* side : {&x1_, &y1_, &x2_, &y2_, &areas_}) side->assign(padded, T(0));
    suppressed_.assign(padded, 0);
    for (int32_t i = 0; i < size; ++i) {
      const Box<T>& box = box_at(i);
      x1_[i] = box.x1, y1_[i] = box.y1, x2_[i] = box.x2, y2_[i] = box.y2;
      areas_[i] = area(box);
    }
  }

  bool contains(int32_t position) const { return suppressed_[position] != 0; }

  // Adds those at [begin, end) that overlap a box too much, in whole blocks: a neighbour is added
  // only if it deserves it.
  void add_overlapping(const Box<T>& box, int32_t begin, int32_t end) {
    for (int32_t first = begin / kBlock * kBlock; first < end; first += kBlock) {
      add_block(box, area(box), first);
    }
  }

  // The same for all boxes from `first` on, or a little before. Returns how many it has added.
  int64_t add_overlapping_from(const Box<T>& box, int32_t first) {
    const auto size = static_cast<int32_t>(suppressed_.size());
    return vectorized([&] { return add_all(box, area(box), first / kBlock * kBlock, size); });
  }

 private:
  static constexpr int32_t kBlock = 8;
  using Flag = std::conditional_t<std::is_same_v<T, double>, int64_t, int32_t>;  // as wide as T

  // A plain loop over arrays, which compilers vectorise.
  void add_block(const Box<T>& box, T box_area, int32_t first) {
    const T highest = highest_;
    const T *x1 = &x1_[first], *y1 = &y1_[first], *x2 = &x2_[first], *y2 = &y2_[first];
    const T* areas = &areas_[first];
    Flag* __restrict suppressed = &suppressed_[first];
    for (int32_t i = 0; i < kBlock; ++i) {
      suppressed[i] |= iou(box, box_area, {x1[i], y1[i], x2[i], y2[i]}, areas[i]) > highest;
    }
  }

  Flag add_all(const Box<T> box, T box_area, int32_t first, int32_t size) {
    const T *x1 = x1_.data(), *y1 = y1_.data(), *x2 = x2_.data(), *y2 = y2_.data();
    const T *areas = areas_.data(), highest = highest_;
    Flag* __restrict suppressed = suppressed_.data();
    Flag added = 0;
    for (int32_t i = first; i < size; ++i) {
      const Flag overlaps = iou(box, box_area, {x1[i], y1[i], x2[i], y2[i]}, areas[i]) > highest;
      added += overlaps & ~suppressed[i];
      suppressed[i] |= overlaps;
    }
    return added;
  }

  T highest_;  // IoU that does not suppress
  std::vector<T> x1_, y1_, x2_, y2_, areas_;
  std::vector<Flag> suppressed_;
};

// Keeps the best boxes for as long as each of them suppresses a good part of all, or to the end if
// there are few: comparing it with every box that is left is then less work than an index of them.
// Appends what it keeps, and returns the boxes, by number, that it leaves undecided.
template <typename T>
std::vector<int32_t> keep_dominant(const std::vector<Box<T>>& boxes, double iou_threshold,
                                   int64_t keep, std::vector<int32_t>& kept) {
  constexpr int64_t kGoodPart = 64;
  constexpr int32_t kFew = 3072;
  const auto size = static_cast<int32_t>(boxes.size());
  SuppressedBoxes<T> suppressed(iou_threshold);
  suppressed.assign(size, [&](int32_t i) -> const Box<T>& { return boxes[i]; });
  int32_t next = 0;
  for (bool worthwhile = true; worthwhile && next < size; ++next) {
    if (suppressed.contains(next)) continue;
    if (static_cast<int64_t>(kept.size()) == keep) return {};
    kept.push_back(next);
    const int64_t added = suppressed.add_overlapping_from(boxes[next], next + 1);
    worthwhile = size <= kFew || added * kGoodPart >= size;
  }
  std::vector<int32_t> left;
  for (; next < size; ++next) {
    if (!suppressed.contains(next)) left.push_back(next);
  }
  return left;
}

// Which boxes stay, by number, rising: at most `keep` of them. The boxes come by falling score; one
// stays if its IoU with no box that stays before it exceeds the threshold. Each that stays
// suppresses what is near it. Cost: that of sorting, and for each box that stays, what is alike.
template <typename T>
std::vector<int32_t> greedy_nms(const std::vector<Box<T>>& all, double iou_threshold,
                                int64_t keep = std::numeric_limits<int64_t>::max()) {
  std::vector<int32_t> kept;
  if (iou_threshold >= 1) {  // no IoU is larger
    kept.resize(static_cast<size_t>(std::min<int64_t>(keep, static_cast<int64_t>(all.size()))));
    std::iota(kept.begin(), kept.end(), 0);
    return kept;
  }
  const std::vector<int32_t> left = keep_dominant(all, iou_threshold, keep, kept);
  std::vector<Box<T>> boxes;
  boxes.reserve(left.size());
  for (const int32_t i : left) boxes.push_back(all[i]);

  const BoxIndex<T> index(boxes, iou_threshold);
  SuppressedBoxes<T> suppressed(iou_threshold);
  suppressed.assign(
      static_cast<int32_t>(index.members().size()),
      [&](int32_t position) -> const Box<T>& { return boxes[index.members()[position]]; });
  for (size_t i = 0; i < boxes.size() && static_cast<int64_t>(kept.size()) < keep; ++i) {
    const int32_t position = index.position(static_cast<int32_t>(i));
    const bool overlaps_anything = position != BoxIndex<T>::kNowhere;
    if (overlaps_anything && suppressed.contains(position)) continue;
    kept.push_back(left[i]);
    if (!overlaps_anything) continue;
    index.near(boxes[i], position, [&](int32_t begin, int32_t end) {
      suppressed.add_overlapping(boxes[i], begin, end);
    });
  }
  return kept;
}

}  // namespace s3fd::cpu
