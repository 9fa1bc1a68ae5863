// Where boxes are: an index that leads from a box to those that may be much like it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "cpu/order.h"
#include "shared/geometry.h"

namespace s3fd::cpu {

// Boxes are counted in 32 bits; 64 less, so that blocks of them can be rounded up.
constexpr int64_t kMostBoxes = std::numeric_limits<int32_t>::max() - 63;

// Finds the boxes whose IoU with a given one can be more than t. That takes three things:
//  - alike sizes: the IoU is at most that of the two boxes laid concentrically;
//  - alike places: it is at most that of their extents along either axis, so that the centres are
//    less than (a + b) / 2 * (1 - t) / (1 + t) apart along it, where a and b are the lengths;
//  - a positive, finite area.
// So boxes are sorted into classes of like width and height, and within a class by the row and the
// column of cells that hold their centres. What is near a box lies, class by class and row by row,
// in a few stretches of that order. A class that fills the plane well has a table of where its
// cells begin, others are searched by bisection; memory is O(N) whatever the boxes.
//
// The bounds are those of exact arithmetic; kSlack covers the rounding of an IoU in T. Boxes so
// small that their areas are rounded more coarsely, or so long that a double can't hold twice their
// length, are listed apart, in the order they came in, and so are all boxes where they are few.
template <typename T>
class BoxIndex {
 public:
  static constexpr int32_t kNowhere = -1;

  BoxIndex(const std::vector<Box<T>>& boxes, double iou_threshold)
      : bound_(std::max(0.0, iou_threshold - kSlack)),
        closeness_((1 - bound_) / (1 + bound_)),
        bits_per_octave_(std::clamp(std::ilogb(0.1 / closeness_), 0, 6)),
        positions_(boxes.size(), kNowhere) {
    std::vector<int32_t> apart;
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (!is_proper(boxes[i])) continue;
      (is_filed(boxes[i]) ? members_ : apart).push_back(static_cast<int32_t>(i));
    }
    if (members_.size() <= kFew) {
      members_.insert(members_.end(), apart.begin(), apart.end());
      std::sort(members_.begin(), members_.end());
    } else {
      first_apart_ = static_cast<int32_t>(members_.size());
      make_classes(boxes);
      cells_.resize(members_.size());
      for (SizeClass& size_class : classes_) make_cells(boxes, size_class);
      members_.insert(members_.end(), apart.begin(), apart.end());
    }
    for (size_t i = 0; i < members_.size(); ++i) positions_[members_[i]] = static_cast<int32_t>(i);
  }

  // The order of the index: numbers of the boxes that overlap anything at all.
  const std::vector<int32_t>& members() const { return members_; }

  // Where in this order a box is; kNowhere if it overlaps nothing.
  int32_t position(int32_t i) const { return positions_[i]; }

  // Calls visit(begin, end) with stretches of the order that hold all boxes whose IoU with the one
  // at `position` exceeds the threshold, but for those set apart that came before it.
  template <typename Visit>
  void near(const Box<T>& box, int32_t position, const Visit& visit) const {
    visit(std::max(first_apart_, position + 1), static_cast<int32_t>(members_.size()));
    if (position >= first_apart_) {
      visit(0, first_apart_);
      return;
    }
    const Extent x(box.x1, box.x2), y(box.y1, box.y2);
    const Keys x_keys = alike(x.length), y_keys = alike(y.length);
    auto column = std::lower_bound(columns_.begin(), columns_.end(), x_keys.first,
                                   [](const Column& c, int64_t key) { return c.key < key; });
    for (; column != columns_.end() && column->key <= x_keys.last; ++column) {
      auto size_class = std::lower_bound(
          classes_.begin() + column->begin, classes_.begin() + column->end, y_keys.first,
          [](const SizeClass& c, int64_t key) { return c.y.key < key; });
      for (; size_class != classes_.begin() + column->end && size_class->y.key <= y_keys.last;
           ++size_class) {
        if (can_be_like(*size_class, x, y)) near_in(*size_class, x, y, visit);
      }
    }
  }

 private:
  static constexpr double kSlack = 1e-5;
  static constexpr size_t kFew = 256;         // so few boxes are not worth an index
  static constexpr int32_t kFewInClass = 32;  // nor so few of one class cells
  static constexpr double kSmallestArea = std::is_same_v<T, float> ? 1e-30 : 1e-280;
  static constexpr double kLargestArea = 1e280, kShortest = 1e-300, kLongest = 1e300;
  static constexpr int64_t kNoTable = -1;
  static constexpr double kColumnsPerRow = 4;  // cells are narrow, as a row takes them at a stretch

  // A box along one axis.
  struct Extent {
    double centre, length;

    Extent(T low, T high)
        : centre(0.5 * static_cast<double>(low) + 0.5 * static_cast<double>(high)),
          length(static_cast<double>(high) - static_cast<double>(low)) {}
  };

  // What the boxes of a class have in common along one axis: lengths in [shortest, longest), cells
  // of 1 / per_pixel pixels, the first and the last of them that is in use.
  struct Axis {
    int64_t key;
    double shortest, longest, per_pixel;
    int64_t first = std::numeric_limits<int64_t>::max();
    int64_t last = std::numeric_limits<int64_t>::min();

    // A coordinate is at most 2^53 times the shortest length that two coordinates of its size can
    // differ by, and a cell at least 1/128 of that: no overflow.
    int64_t cell(double centre) const { return rounded_down(centre * per_pixel); }
    int64_t cells() const { return last - first + 1; }
  };

  struct SizeClass {
    Axis x, y;
    int32_t begin, end;        // its members
    int64_t table = kNoTable;  // where in starts_ its cells are
  };

  // The classes of one width.
  struct Column {
    int64_t key;
    int32_t begin, end;
  };

  struct Cell {
    int64_t row, column;

    bool operator<(const Cell& other) const {
      return row != other.row ? row < other.row : column < other.column;
    }
  };

  struct Keys {
    int64_t first, last;
  };

  // std::floor is a function call on old processors.
  static int64_t rounded_down(double value) {
    const auto truncated = static_cast<int64_t>(value);
    return truncated - (static_cast<double>(truncated) > value);
  }

  static bool is_filed(const Box<T>& box) {
    const double width = Extent(box.x1, box.x2).length, height = Extent(box.y1, box.y2).length;
    const double size = width * height;
    return size >= kSmallestArea && size <= kLargestArea && std::min(width, height) >= kShortest &&
           std::max(width, height) <= kLongest;
  }

  // The class of a length: its exponent, and so many bits of its mantissa.
  int64_t key(double length) const {
    return static_cast<int64_t>(std::bit_cast<uint64_t>(length) >> (52 - bits_per_octave_));
  }

  // Classes of the lengths that are neither less than the bound times this one nor the reverse.
  Keys alike(double length) const { return {key(bound_ * length), key(length / bound_)}; }

  Axis make_axis(int64_t key) const {
    const auto length = [&](int64_t k) {
      return std::bit_cast<double>(static_cast<uint64_t>(k) << (52 - bits_per_octave_));
    };
    const double cell = length(key + 1) * std::max(3 * closeness_, 1.0 / 32);
    return {key, length(key), length(key + 1), 1 / cell};
  }

  // Orders the members by class, and lists the classes.
  void make_classes(const std::vector<Box<T>>& boxes) {
    std::vector<Keys> keys;  // of the width and of the height
    keys.reserve(members_.size());
    int64_t lowest = std::numeric_limits<int64_t>::max(), highest = 0;
    for (const int32_t i : members_) {
      keys.push_back({key(Extent(boxes[i].x1, boxes[i].x2).length),
                      key(Extent(boxes[i].y1, boxes[i].y2).length)});
      lowest = std::min(lowest, keys.back().last);
      highest = std::max(highest, keys.back().last);
    }
    const std::vector<int32_t> order = order_by(static_cast<int32_t>(keys.size()), [&](int32_t i) {
      return static_cast<uint64_t>(keys[i].first * (highest - lowest + 1) + keys[i].last - lowest);
    });
    std::vector<int32_t> members;
    members.reserve(order.size());
    for (const int32_t i : order) {
      const auto [x, y] = keys[i];
      const auto here = static_cast<int32_t>(members.size());
      const bool new_column = columns_.empty() || columns_.back().key != x;
      if (new_column) columns_.push_back({x, static_cast<int32_t>(classes_.size()), 0});
      if (new_column || classes_.back().y.key != y) {
        classes_.push_back({make_axis(x), make_axis(y), here, here});
      }
      columns_.back().end = static_cast<int32_t>(classes_.size());
      classes_.back().end = here + 1;
      members.push_back(members_[i]);
    }
    members_.swap(members);
  }

  static bool is_small(const SizeClass& size_class) {
    return size_class.end - size_class.begin <= kFewInClass;
  }

  // Orders the members of a class by cell.
  void make_cells(const std::vector<Box<T>>& boxes, SizeClass& size_class) {
    if (is_small(size_class)) return;
    Axis &x = size_class.x, &y = size_class.y;
    x.per_pixel *= kColumnsPerRow;
    const std::vector<int32_t> members(members_.begin() + size_class.begin,
                                       members_.begin() + size_class.end);
    std::vector<Cell> cells;
    cells.reserve(members.size());
    for (const int32_t i : members) {
      cells.push_back({y.cell(Extent(boxes[i].y1, boxes[i].y2).centre),
                       x.cell(Extent(boxes[i].x1, boxes[i].x2).centre)});
      y.first = std::min(y.first, cells.back().row);
      y.last = std::max(y.last, cells.back().row);
      x.first = std::min(x.first, cells.back().column);
      x.last = std::max(x.last, cells.back().column);
    }
    const auto count = static_cast<int32_t>(members.size());
    const double size = static_cast<double>(y.cells()) * static_cast<double>(x.cells());
    if (size > 8.0 * count + 64) {
      std::vector<int32_t> order(count);
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(),
                [&](int32_t a, int32_t b) { return cells[a] < cells[b]; });
      for (int32_t i = 0; i < count; ++i) {
        members_[size_class.begin + i] = members[order[i]];
        cells_[size_class.begin + i] = cells[order[i]];
      }
      return;
    }
    size_class.table = static_cast<int64_t>(starts_.size());
    starts_.resize(starts_.size() + static_cast<size_t>(size) + 1);
    int32_t* starts = starts_.data() + size_class.table;
    const auto number = [&](const Cell& cell) {
      return (cell.row - y.first) * x.cells() + cell.column - x.first;
    };
    for (const Cell& cell : cells) ++starts[number(cell)];
    std::exclusive_scan(starts, starts + static_cast<int64_t>(size) + 1, starts, size_class.begin);
    for (int32_t i = 0; i < count; ++i) members_[starts[number(cells[i])]++] = members[i];
    std::copy_backward(starts, starts + static_cast<int64_t>(size),
                       starts + static_cast<int64_t>(size) + 1);
    *starts = size_class.begin;
  }

  // Whether a box and one of the class can have an IoU above the bound: the most alike they can be
  // is to have one centre, and as nearly as possible one width and one height.
  bool can_be_like(const SizeClass& size_class, const Extent& x, const Extent& y) const {
    const double width = std::clamp(x.length, size_class.x.shortest, size_class.x.longest);
    const double height = std::clamp(y.length, size_class.y.shortest, size_class.y.longest);
    const double common = std::min(width, x.length) * std::min(height, y.length);
    return common >= bound_ * (width * height + x.length * y.length - common);
  }

  // Cells within reach of a box; first > last if there are none.
  Keys cells_near(const Axis& axis, const Extent& extent) const {
    const double reach = (extent.length + axis.longest) / 2 * closeness_ +
                         0x1p-50 * (std::abs(extent.centre) + extent.length + axis.longest);
    const double low = (extent.centre - reach) * axis.per_pixel;
    const double high = (extent.centre + reach) * axis.per_pixel;
    const auto first = static_cast<double>(axis.first), last = static_cast<double>(axis.last);
    if (!(low < last + 1 && high >= first)) return {0, -1};
    return {low > first ? rounded_down(low) : axis.first,
            high < last ? rounded_down(high) : axis.last};
  }

  template <typename Visit>
  void near_in(const SizeClass& size_class, const Extent& x, const Extent& y,
               const Visit& visit) const {
    if (is_small(size_class)) {
      visit(size_class.begin, size_class.end);
      return;
    }
    const Keys rows = cells_near(size_class.y, y), columns = cells_near(size_class.x, x);
    if (rows.first > rows.last || columns.first > columns.last) return;
    if (size_class.table == kNoTable) {
      search(size_class, rows, columns, visit);
      return;
    }
    const int64_t width = size_class.x.cells();
    const int32_t* row = starts_.data() + size_class.table +
                         (rows.first - size_class.y.first) * width - size_class.x.first;
    for (int64_t i = rows.first; i <= rows.last; ++i, row += width) {
      const int32_t begin = row[columns.first], end = row[columns.last + 1];
      if (begin < end) visit(begin, end);
    }
  }

  template <typename Visit>
  void search(const SizeClass& size_class, const Keys& rows, const Keys& columns,
              const Visit& visit) const {
    const auto begin = cells_.begin(), end = begin + size_class.end;
    auto cell = std::lower_bound(begin + size_class.begin, end, Cell{rows.first, columns.first});
    while (cell != end && cell->row <= rows.last) {
      const int64_t row = cell->row;
      if (cell->column < columns.first) {
        cell = std::lower_bound(cell, end, Cell{row, columns.first});
      } else if (cell->column > columns.last) {
        cell = std::lower_bound(cell, end, Cell{row + 1, columns.first});
      } else {
        const auto first = cell;
        while (cell != end && cell->row == row && cell->column <= columns.last) ++cell;
        visit(static_cast<int32_t>(first - begin), static_cast<int32_t>(cell - begin));
      }
    }
  }

  double bound_;         // the threshold, less what rounding may add to an IoU
  double closeness_;     // how far centres of alike boxes are apart at most, in boxes
  int bits_per_octave_;  // classes are finer than octaves where only like sizes matter
  std::vector<int32_t> members_;
  std::vector<int32_t> positions_;
  int32_t first_apart_ = 0;  // position of the first member that is not filed
  std::vector<Column> columns_;
  std::vector<SizeClass> classes_;
  std::vector<int32_t> starts_;  // first position of each cell of a class with a table, and its end
  std::vector<Cell> cells_;      // of each position, in classes without a table
};

}  // namespace s3fd::cpu
