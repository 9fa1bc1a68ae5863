// Stable sorting of indices by an integer key.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

namespace s3fd::cpu {

// Indices 0 ... n - 1 by rising key(i), equal ones by rising index: a radix sort that passes over
// the digits in which keys differ.
template <typename KeyOf>
std::vector<int32_t> order_by(int32_t n, const KeyOf& key_of) {
  using Key = std::decay_t<decltype(key_of(0))>;
  struct Entry {
    Key key;
    int32_t index;
  };
  std::vector<Entry> entries(n), sorted(n);
  Key differing = 0;
  for (int32_t i = 0; i < n; ++i) {
    entries[i] = {key_of(i), i};
    differing |= entries[i].key ^ entries[0].key;
  }
  const int bits = n < 4096 ? 8 : 11;
  const Key digit = (Key{1} << bits) - 1;
  std::vector<int32_t> begin(digit + 1);
  for (int shift = 0; shift < static_cast<int>(8 * sizeof(Key)); shift += bits) {
    if (((differing >> shift) & digit) == 0) continue;
    std::fill(begin.begin(), begin.end(), 0);
    for (const Entry& entry : entries) ++begin[(entry.key >> shift) & digit];
    std::exclusive_scan(begin.begin(), begin.end(), begin.begin(), 0);
    for (const Entry& entry : entries) sorted[begin[(entry.key >> shift) & digit]++] = entry;
    entries.swap(sorted);
  }
  std::vector<int32_t> order(n);
  for (int32_t i = 0; i < n; ++i) order[i] = entries[i].index;
  return order;
}

}  // namespace s3fd::cpu
