// What the lanes of a warp find out together, in an order that depends on nothing but their number.
// Every lane takes part, in all of these functions.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/primitives/launch.h"

namespace s3fd::cuda {

// A block has kWarp lanes in each of its warps.
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// What the lane has whose number differs from this one's by the bit `distance`.
template <typename V>
__device__ V exchange(V value, int distance) {
  if constexpr (std::is_arithmetic_v<V>) {
    return __shfl_xor_sync(kAllLanes, value, distance);
  } else {
    static_assert(std::is_trivially_copyable_v<V> && sizeof(V) % sizeof(uint32_t) == 0);
    uint32_t words[sizeof(V) / sizeof(uint32_t)];
    std::memcpy(words, &value, sizeof(V));
#pragma unroll
    for (uint32_t& word : words) word = __shfl_xor_sync(kAllLanes, word, distance);
    std::memcpy(&value, words, sizeof(V));
    return value;
  }
}

// combine(values of all lanes), or of each group of kLanes of them. Every lane gets the same, to
// the last bit, since the two sides of an exchange combine the same two values.
template <int kLanes = kWarp, typename V, typename Combine>
__device__ V reduce_over_warp(V value, const Combine& combine) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value = combine(value, exchange(value, distance));
  }
  return value;
}

template <typename V>
__device__ V sum_over_warp(V value) {
  return reduce_over_warp(value, [](V a, V b) { return a + b; });
}

// Lane i gets the sum of values[i] of all lanes. Each exchange halves what a lane is in charge of,
// so that 32 sums take 31 exchanges and not 160.
template <int kHalf = kWarp / 2, typename V>
__device__ V sum_each_over_warp(V (&values)[kWarp], int lane) {
  const bool upper = (lane & kHalf) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const V given = upper ? values[i] : values[i + kHalf];
    const V kept = upper ? values[i + kHalf] : values[i];
    values[i] = kept + exchange(given, kHalf);
  }
  if constexpr (kHalf > 1) return sum_each_over_warp<kHalf / 2>(values, lane);
  return values[0];
}

// The sum of the values of the lanes up to this one, itself among them.
template <typename V>
__device__ V sum_up_to_lane(V value) {
  const unsigned lane = threadIdx.x % kWarp;
#pragma unroll
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const V before = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value += before;
  }
  return value;
}

// Where in a list those lanes go that something holds for; `count`, the list's, is added to once.
__device__ inline unsigned append_lanes(unsigned* count, bool holds) {
  const unsigned holding = __ballot_sync(kAllLanes, holds);
  if (holding == 0) return 0;
  const unsigned lane = threadIdx.x % kWarp;
  unsigned place = 0;
  if (lane == 0) place = atomicAdd(count, static_cast<unsigned>(__popc(holding)));
  place = __shfl_sync(kAllLanes, place, 0);
  return place + static_cast<unsigned>(__popc(holding & ((1u << lane) - 1)));
}

}  // namespace s3fd::cuda
