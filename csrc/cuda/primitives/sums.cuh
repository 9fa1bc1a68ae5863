// Sums over the threads of a warp or of a block, in an order that depends on nothing but their
// number. Every thread takes part, in all of these functions.
#pragma once

#include <cstdint>

#include "cuda/primitives/host.h"

namespace s3fd::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// Every lane gets the sum, the same to the last bit: the two sides of an exchange add the same two
// numbers.
template <typename V>
__device__ V sum_over_warp(V value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
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
    values[i] = kept + __shfl_xor_sync(kAllLanes, given, kHalf);
  }
  if constexpr (kHalf > 1) return sum_each_over_warp<kHalf / 2>(values, lane);
  return values[0];
}

// Every thread of a block of kThreads gets the sum.
template <int kThreads, typename V>
__device__ V sum_over_block(V value) {
  constexpr int kWarps = kThreads / kWarp;
  S3FD_SHARED(V[kWarps], sums);
  const unsigned lane = threadIdx.x % kWarp;
  value = sum_over_warp(value);
  __syncthreads();  // the sums of the last call have been read
  if (lane == 0) sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  return sum_over_warp(lane < kWarps ? sums[lane] : V{0});
}

// Every thread of a block of kThreads gets the sum of the threads before it. Between two calls the
// block has to meet.
template <int kThreads>
__device__ uint32_t sum_before_in_block(uint32_t value) {
  constexpr int kWarps = kThreads / kWarp;
  S3FD_SHARED(uint32_t[kWarps], sums);
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  uint32_t up_to_here = value;
#pragma unroll
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const uint32_t before = __shfl_up_sync(kAllLanes, up_to_here, distance);
    if (lane >= distance) up_to_here += before;
  }
  if (lane == kWarp - 1) sums[warp] = up_to_here;
  __syncthreads();
  uint32_t before = up_to_here - value;
#pragma unroll 1
  for (unsigned other = 0; other < warp; ++other) before += sums[other];
  return before;
}

// Whether a block is the last one of its kernel to come here: if so, it sees what thread 0 of every
// other block wrote before. `arrived` counts, from 0.
__device__ inline bool is_last_block(uint32_t* arrived) {
  S3FD_SHARED(bool, last);
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(arrived, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  return last;
}

}  // namespace s3fd::cuda
