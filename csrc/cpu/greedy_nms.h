// Greedy non-maximum suppression, exact, without comparing every pair of boxes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "geometry.h"

namespace s3fd::cpu {

// Takes boxes by falling score and tells of each whether it stays: whether its IoU with no box
// that stayed before exceeds the threshold.
//
// Two boxes whose IoU exceeds t are alike: the shorter width is more than t times the longer one,
// their centres are less than reach() apart, and so for the heights. Hence boxes that stay are
// filed by size class (the powers of two below width and height) and, within a class, by the cell
// that their centre lies in; a box looks only into the cells of those classes in which one that
// suppresses it can be. Cells are as large as the class's boxes, so that they are few, and boxes
// that stay can't crowd in one. Cost: N log N for sorting, then N times what is alike and stayed.
//
// The bounds are those of exact arithmetic; kSlack covers the rounding of the IoU in T. Boxes so
// small that their areas are rounded more coarsely, or so long that a double can't hold twice their
// length, are not filed, but looked at one by one.
template <typename T>
class GreedyNms {
 public:
  explicit GreedyNms(double iou_threshold) : threshold_(iou_threshold) {
    bound_ = std::max(0.0, iou_threshold - kSlack);
    fineness_ = std::clamp(2 * (1 - iou_threshold), 1.0 / 64, 1.0);
  }

  // The next box, by falling score: true if it stays.
  bool keep(const Box<T>& box) {
    const Kept candidate{box, area(box), 0, kNone, kNone};
    // A box that overlaps nothing, and any box where even IoU 1 suppresses nothing.
    if (!is_proper(candidate) || threshold_ >= 1) return true;
    if (!is_filed(candidate)) {
      if (suppressed_by_any(candidate)) return false;
      unfiled_.push_back(candidate);
      return true;
    }
    const Extent x(box.x1, box.x2), y(box.y1, box.y2);
    if (suppressed_by_unfiled(candidate)) return false;
    for (const SizeClass& size_class : classes_) {
      if (suppressed_in(size_class, candidate, x, y)) return false;
    }
    file(candidate, x, y);
    return true;
  }

 private:
  static constexpr double kSlack = 1e-5;
  static constexpr int32_t kNone = -1;
  static constexpr double kSmallestArea = std::is_same_v<T, float> ? 1e-30 : 1e-280;
  static constexpr double kShortest = 1e-300, kLongest = 1e300;

  struct Kept {
    Box<T> box;
    T area;
    uint64_t hash;
    int32_t next_in_cell, next_in_class;
  };

  // A box along one axis.
  struct Extent {
    double centre, length;
    int exponent;  // length lies in [2^exponent, 2^(exponent + 1))

    Extent(T low, T high)
        : centre(0.5 * static_cast<double>(low) + 0.5 * static_cast<double>(high)),
          length(static_cast<double>(high - low)),
          exponent(static_cast<int>(std::bit_cast<uint64_t>(length) >> 52) - 1023) {}
  };

  struct SizeClass {
    int x_exponent, y_exponent;
    double longest_x, longest_y;  // its boxes are shorter than this
    double cell_x, cell_y;
    int64_t count;
    int32_t first;
  };

  struct Cells {
    int64_t first, last;
  };

  static bool is_proper(const Kept& kept) {
    return kept.box.x2 > kept.box.x1 && kept.box.y2 > kept.box.y1 && kept.area > 0 &&
           kept.area <= std::numeric_limits<T>::max();
  }

  static bool is_filed(const Kept& kept) {
    const double width = static_cast<double>(kept.box.x2 - kept.box.x1);
    const double height = static_cast<double>(kept.box.y2 - kept.box.y1);
    return kept.area >= kSmallestArea && std::min(width, height) >= kShortest &&
           std::max(width, height) <= kLongest;
  }

  bool suppresses(const Kept& kept, const Kept& candidate) const {
    return static_cast<double>(iou(kept.box, kept.area, candidate.box, candidate.area)) >
           threshold_;
  }

  bool suppressed_by_unfiled(const Kept& candidate) const {
    return std::any_of(unfiled_.begin(), unfiled_.end(),
                       [&](const Kept& kept) { return suppresses(kept, candidate); });
  }

  bool suppressed_by_any(const Kept& candidate) const {
    return suppressed_by_unfiled(candidate) ||
           std::any_of(filed_.begin(), filed_.end(),
                       [&](const Kept& kept) { return suppresses(kept, candidate); });
  }

  bool suppressed_in(const SizeClass& size_class, const Kept& candidate, const Extent& x,
                     const Extent& y) const {
    if (x.length < bound_ * size_class.longest_x / 2 || size_class.longest_x < bound_ * x.length ||
        y.length < bound_ * size_class.longest_y / 2 || size_class.longest_y < bound_ * y.length) {
      return false;
    }
    const Cells columns = cells_within_reach(x, size_class.longest_x, size_class.cell_x);
    const Cells rows = cells_within_reach(y, size_class.longest_y, size_class.cell_y);
    const double cells = static_cast<double>(columns.last - columns.first + 1) *
                         static_cast<double>(rows.last - rows.first + 1);
    if (cells > static_cast<double>(size_class.count)) {
      for (int32_t i = size_class.first; i != kNone; i = filed_[i].next_in_class) {
        if (suppresses(filed_[i], candidate)) return true;
      }
      return false;
    }
    for (int64_t row = rows.first; row <= rows.last; ++row) {
      for (int64_t column = columns.first; column <= columns.last; ++column) {
        // Cells may share a bucket: a box of another cell is then looked at in vain.
        int32_t i = buckets_[hash(size_class, column, row) & (buckets_.size() - 1)];
        for (; i != kNone; i = filed_[i].next_in_cell) {
          if (suppresses(filed_[i], candidate)) return true;
        }
      }
    }
    return false;
  }

  // Distance of the centres below which a box can overlap one that is at most `longest` long by
  // more than the bound: their common part is at most (a + b) / 2 - distance, and IoU at most that
  // over the longer of the two.
  double reach(double length, double longest) const {
    const double other = bound_ < 0.5 ? longest : std::min(length, longest);
    return (length + other) / 2 - bound_ * std::max(length, other);
  }

  Cells cells_within_reach(const Extent& extent, double longest, double cell) const {
    const double distance = reach(extent.length, longest) + kSlack * (extent.length + longest) +
                            0x1p-50 * std::abs(extent.centre);
    return {cell_of(extent.centre - distance, cell), cell_of(extent.centre + distance, cell)};
  }

  // A coordinate is at most 2^53 times the shortest length that two coordinates of its size can
  // differ by, and a cell at least 1/64 of that: no overflow.
  static int64_t cell_of(double centre, double cell) {
    return static_cast<int64_t>(std::floor(centre / cell));
  }

  static uint64_t hash(const SizeClass& size_class, int64_t column, int64_t row) {
    uint64_t h = static_cast<uint64_t>(column) * 0x9E3779B97F4A7C15u;
    h = (h ^ (h >> 29) ^ static_cast<uint64_t>(row)) * 0xBF58476D1CE4E5B9u;
    h ^= (h >> 32) ^ static_cast<uint64_t>(size_class.x_exponent * 4099 + size_class.y_exponent);
    h *= 0x94D049BB133111EBu;
    return h ^ (h >> 31);
  }

  void file(Kept kept, const Extent& x, const Extent& y) {
    if (filed_.size() == buckets_.size()) grow();
    SizeClass& size_class = class_of(x.exponent, y.exponent);
    kept.hash = hash(size_class, cell_of(x.centre, size_class.cell_x),
                     cell_of(y.centre, size_class.cell_y));
    kept.next_in_class = size_class.first;
    size_class.first = static_cast<int32_t>(filed_.size());
    ++size_class.count;
    filed_.push_back(kept);
    link(size_class.first);
  }

  SizeClass& class_of(int x_exponent, int y_exponent) {
    for (SizeClass& known : classes_) {
      if (known.x_exponent == x_exponent && known.y_exponent == y_exponent) return known;
    }
    const double longest_x = std::ldexp(1.0, x_exponent + 1);
    const double longest_y = std::ldexp(1.0, y_exponent + 1);
    return classes_.emplace_back(SizeClass{x_exponent, y_exponent, longest_x, longest_y,
                                           longest_x * fineness_, longest_y * fineness_, 0, kNone});
  }

  void link(int32_t i) {
    int32_t& head = buckets_[filed_[i].hash & (buckets_.size() - 1)];
    filed_[i].next_in_cell = head;
    head = i;
  }

  void grow() {
    buckets_.assign(2 * buckets_.size(), kNone);
    for (size_t i = 0; i < filed_.size(); ++i) link(static_cast<int32_t>(i));
  }

  double threshold_;
  double bound_;     // the threshold, less what rounding may add to an IoU
  double fineness_;  // cells are smaller than the class's boxes where only close centres matter
  std::vector<Kept> filed_, unfiled_;
  std::vector<SizeClass> classes_;
  std::vector<int32_t> buckets_ = std::vector<int32_t>(256, kNone);  // a power of two
};

// Unsigned integers that rise as the scores fall: NaN first, then from infinity down.
inline uint32_t falling_key(float score) {
  if (std::isnan(score)) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 equals 0
  return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

inline uint64_t falling_key(double score) {
  if (std::isnan(score)) return 0;
  const uint64_t bits = std::bit_cast<uint64_t>(score + 0.0);
  return ~(bits >> 63 ? ~bits : bits | uint64_t{1} << 63);
}

// Indices 0 ... n - 1 by rising key(i), equal ones by rising index: a radix sort.
template <typename KeyOf>
std::vector<int32_t> order_by(int32_t n, const KeyOf& key_of) {
  using Key = std::decay_t<decltype(key_of(0))>;
  constexpr int kBits = 11, kDigits = 1 << kBits;
  struct Entry {
    Key key;
    int32_t index;
  };
  std::vector<Entry> entries(n), sorted;
  for (int32_t i = 0; i < n; ++i) entries[i] = {key_of(i), i};
  if (n < kDigits) {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return a.key != b.key ? a.key < b.key : a.index < b.index;
    });
  } else {
    sorted.resize(n);
    for (int shift = 0; shift < static_cast<int>(8 * sizeof(Key)); shift += kBits) {
      std::array<int32_t, kDigits> begin{};
      for (const Entry& entry : entries) ++begin[(entry.key >> shift) & (kDigits - 1)];
      std::exclusive_scan(begin.begin(), begin.end(), begin.begin(), 0);
      for (const Entry& entry : entries) {
        sorted[begin[(entry.key >> shift) & (kDigits - 1)]++] = entry;
      }
      entries.swap(sorted);
    }
  }
  std::vector<int32_t> order(n);
  for (int32_t i = 0; i < n; ++i) order[i] = entries[i].index;
  return order;
}

}  // namespace s3fd::cpu
