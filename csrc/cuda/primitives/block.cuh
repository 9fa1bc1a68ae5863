// What the threads of a block find out together. kThreads is the size of the block, of one
// dimension; every thread takes part, in all of these functions, which may follow each other
// without a barrier.
#pragma once

#include <bit>

#include "cuda/primitives/launch.h"
#include "cuda/primitives/warp.cuh"

namespace s3fd::cuda {

// combine(values of all threads), for each of them, in an order that depends on kThreads alone.
template <int kThreads, typename V, typename Combine>
__device__ V reduce_over_block(V value, const Combine& combine) {
  constexpr int kWarps = kThreads / kWarp;
  static_assert(kThreads % kWarp == 0 && kWarps <= kWarp && std::has_single_bit(unsigned{kWarps}));
  S3FD_SHARED(V[kWarps], of_warps);
  value = reduce_over_warp(value, combine);
  __syncthreads();  // those of the last call have been read
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  return reduce_over_warp<kWarps>(of_warps[threadIdx.x % kWarps], combine);
}

template <int kThreads, typename V>
__device__ V sum_over_block(V value) {
  return reduce_over_block<kThreads>(value, [](V a, V b) { return a + b; });
}

template <int kThreads, typename V>
__device__ V max_over_block(V value) {
  return reduce_over_block<kThreads>(value, [](V a, V b) { return a > b ? a : b; });
}

// The sum over the warps before this one of what their last lanes bring; `total`: over all warps.
template <int kThreads, typename V>
__device__ V sum_of_warps_before(V of_warp, V& total) {
  constexpr int kWarps = kThreads / kWarp;
  static_assert(kThreads % kWarp == 0 && kWarps <= kWarp);
  S3FD_SHARED(V[kWarps], of_warps);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  __syncthreads();  // those of the last call have been read
  if (threadIdx.x % kWarp == kWarp - 1) of_warps[warp] = of_warp;
  __syncthreads();
  V before = 0;
  total = 0;
#pragma unroll 1
  for (int other = 0; other < kWarps; ++other) {
    if (other < warp) before += of_warps[other];
    total += of_warps[other];
  }
  return before;
}

// The sum of the values of the block's threads before this one; `total`: of all. Reads of memory
// before it are done when any thread returns.
template <int kThreads, typename V>
__device__ V sum_before(V value, V& total) {
  const V sum = sum_up_to_lane(value);
  return sum_of_warps_before<kThreads>(sum, total) + sum - value;
}

// The same for how many of them something holds for, in fewer steps.
template <int kThreads>
__device__ int count_before(bool holds, int& total) {
  const unsigned holding = __ballot_sync(kAllLanes, holds);
  const unsigned before = holding & ((1u << threadIdx.x % kWarp) - 1);
  return sum_of_warps_before<kThreads>(__popc(holding), total) + __popc(before);
}

// Whether the block is the last of so many to come here: it then sees what the others wrote before,
// and the count, 0 at first, is 0 again.
__device__ inline bool is_last_block(unsigned* arrived, unsigned blocks) {
  S3FD_SHARED(bool, is_last);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(arrived, 1u) == blocks - 1;
    if (is_last) *arrived = 0;
  }
  __syncthreads();
  const bool last = is_last;
  if (last) __threadfence();
  return last;
}

}  // namespace s3fd::cuda
