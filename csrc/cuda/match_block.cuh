// What the kernels of matching share: the size of their blocks, and what a block of threads finds
// out together.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "shared/geometry.h"

namespace s3fd::cuda {

// A box has a block: its windows hold one or two hundred anchors, as a rule.
constexpr int kMatchThreads = 128, kMatchWarps = kMatchThreads / kWarp;
// And of those that look at each anchor for itself.
constexpr int kPlainThreads = 256;
constexpr unsigned kAllLanes = 0xffffffffu;

// What atomics take; larger is better in all uses.
using Key = unsigned long long;

// The bits of a float that is not negative order as the numbers do. An IoU, at most 1, has 30.
constexpr int kIouBits = 30;

__device__ inline uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

// Where the threads of a block meet, once: one number of each warp.
struct BlockSlots {
  Key of_warp[kMatchWarps];
};

// combine(values of all threads), for each of them.
template <typename Combine>
__device__ Key reduce_block(Key value, BlockSlots& slots, const Combine& combine) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  if (threadIdx.x % kWarp == 0) slots.of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = slots.of_warp[0];
  for (int warp = 1; warp < kMatchWarps; ++warp) value = combine(value, slots.of_warp[warp]);
  return value;
}

__device__ inline Key max_of_block(Key value, BlockSlots& slots) {
  return reduce_block(value, slots, [](Key a, Key b) { return a > b ? a : b; });
}

__device__ inline Key sum_of_block(Key value, BlockSlots& slots) {
  return reduce_block(value, slots, [](Key a, Key b) { return a + b; });
}

// The largest of numbers that are not negative.
__device__ inline float max_of_block(float value, BlockSlots& slots) {
  return std::bit_cast<float>(static_cast<uint32_t>(max_of_block(Key{bits_of(value)}, slots)));
}

}  // namespace s3fd::cuda
