// Which backgrounds the multi-box loss keeps. One pass over an image's logits finds the key of the
// last background that is wanted; a second one, by the caller, marks what lies above it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "cpu/loss_rows.h"
#include "cpu/simd.h"
#include "shared/multibox_loss.h"

namespace s3fd::cpu {

// Anchors of a stretch whose keys are held at a time, and of a group that is skipped as a whole.
constexpr int64_t kStretch = 1024, kGroup = 16;

// The keys of `size` anchors, 0 for those that are no background.
template <typename T, typename Stride, typename ColumnStride>
void write_keys(const T* logits, Stride stride, ColumnStride column_stride, const uint8_t* labels,
                int64_t size, MarginKey<T>* keys) {
  using C = compute_t<T>;
  for (int64_t i = 0; i < size; ++i) {
    const T* row = logits + i * stride;
    const MarginKey<T> key = rising_key(static_cast<C>(row[0]), static_cast<C>(row[column_stride]));
    keys[i] = labels[i] == kNegative ? key : 0;
  }
}

template <typename T>
void write_keys(const ImageRows<T>& logits, int64_t begin, int64_t size, const uint8_t* labels,
                MarginKey<T>* keys) {
  const std::integral_constant<int64_t, 1> one;
  const std::integral_constant<int64_t, 2> two;
  const T* first = logits[begin];
  const int64_t stride = logits.stride, column_stride = logits.column_stride;
  vectorized([&] {
    if (stride == 2 && column_stride == 1) {
      write_keys(first, two, one, labels, size, keys);
    } else if (stride == 1) {
      write_keys(first, one, column_stride, labels, size, keys);
    } else {
      write_keys(first, stride, column_stride, labels, size, keys);
    }
  });
}

// Keys above `least` are taken, and the first `vacant` ones of those that equal it.
template <typename K>
struct Threshold {
  K least;
  int64_t vacant;
};

template <typename K>
int64_t count_at_least(const K* keys, int64_t size, K least) {
  int64_t total = 0;
  for (int64_t begin = 0; begin < size; begin += kStretch) {
    const int64_t end = std::min(begin + kStretch, size);
    K count = 0;  // as wide as a key, so that both fill vector registers alike
    for (int64_t i = begin; i < end; ++i) count += keys[i] >= least;
    total += static_cast<int64_t>(count);
  }
  return total;
}

template <typename K>
K smallest_at_least(const K* keys, int64_t size, K least) {
  K smallest = std::numeric_limits<K>::max();
  for (int64_t i = 0; i < size; ++i) {
    smallest = std::min(smallest, keys[i] >= least ? keys[i] : std::numeric_limits<K>::max());
  }
  return smallest;
}

// The key of rank `wanted`, counted from the largest, found bit by bit: a count reads the keys in
// order and takes no branches, which is far quicker than to partition them.
template <typename K>
K key_of_rank(const K* keys, int64_t size, int64_t wanted) {
  K found = 0;
  for (K bit = K{1} << (8 * sizeof(K) - 1); bit != 0; bit >>= 1) {
    const int64_t count = count_at_least(keys, size, K(found | bit));
    if (count == wanted) return smallest_at_least(keys, size, K(found | bit));
    found |= count > wanted ? bit : 0;
  }
  return found;
}

// Finds the threshold that takes `wanted` of the keys shown to it: whatever is not among the
// largest so far is dropped, so that memory follows `wanted`, and most groups are passed over.
template <typename K>
class Selection {
 public:
  Selection(int64_t wanted, int64_t most)
      : wanted_(wanted),
        buffer_(static_cast<size_t>(std::min(2 * wanted + kStretch, most) + kGroup)) {}

  void add_group(const K* keys) {
    if (size_ + kGroup > static_cast<int64_t>(buffer_.size())) shrink();
    append(keys, kGroup);
  }

  // Keys that are not above it need not be added.
  K least() const { return least_; }

  Threshold<K> threshold() {
    const int64_t equal = shrink();
    return {least_, equal};
  }

 private:
  void append(const K* keys, int64_t count) {
    K* end = buffer_.data() + size_;
    for (int64_t i = 0; i < count; ++i) {
      const K key = keys[i];
      *end = key;
      end += key > least_;
    }
    size_ = end - buffer_.data();
  }

  // Drops what is below the key of rank `wanted`; returns how many of the kept ones equal it.
  int64_t shrink() {
    const K* keys = buffer_.data();
    least_ = vectorized([&] { return key_of_rank(keys, size_, wanted_); });
    const int64_t count = size_;
    size_ = 0;
    append(keys, count);
    const int64_t equal = wanted_ - size_;
    std::fill_n(buffer_.data() + size_, equal, least_);
    size_ = wanted_;
    return equal;
  }

  int64_t wanted_, size_ = 0;
  K least_ = 0;
  std::vector<K> buffer_;
};

template <typename K>
void largest_of_groups(const K* keys, int64_t groups, K* largest) {
  for (int64_t group = 0; group < groups; ++group) {
    K most = 0;
    for (int64_t i = 0; i < kGroup; ++i) most = std::max(most, keys[group * kGroup + i]);
    largest[group] = most;
  }
}

// The threshold that takes `wanted` backgrounds of an image that has more.
template <typename T>
Threshold<MarginKey<T>> find_threshold(const ImageRows<T>& logits, const uint8_t* labels,
                                       int64_t size, int64_t wanted, int64_t backgrounds) {
  MarginKey<T> keys[kStretch], largest[kStretch / kGroup];
  Selection<MarginKey<T>> selection(wanted, backgrounds);
  for (int64_t begin = 0; begin < size; begin += kStretch) {
    const int64_t length = std::min(kStretch, size - begin);
    write_keys(logits, begin, length, labels + begin, keys);
    const int64_t groups = (length + kGroup - 1) / kGroup;
    std::fill(keys + length, keys + groups * kGroup, MarginKey<T>{0});
    vectorized([&] { largest_of_groups(keys, groups, largest); });
    for (int64_t group = 0; group < groups; ++group) {
      if (largest[group] > selection.least()) selection.add_group(keys + group * kGroup);
    }
  }
  return selection.threshold();
}

// Makes of the labels of a stretch what is kept, but for keys that equal `least`: whether there are
// any of those.
template <typename K>
bool mark_above(const K* keys, K least, int64_t size, uint8_t* labels) {
  K equal = 0;
  for (int64_t i = 0; i < size; ++i) {
    const uint8_t negative = keys[i] > least ? kNegative : kNothing;
    labels[i] = labels[i] == kPositive ? kPositive : negative;
    equal |= static_cast<K>(keys[i] == least);
  }
  return equal != 0;
}

}  // namespace s3fd::cpu
