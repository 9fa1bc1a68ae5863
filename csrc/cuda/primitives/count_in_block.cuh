// Where each thread's share of a list begins that the threads of a block write together.
#pragma once

#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"

namespace s3fd::cuda {

// The sum of the values of the block's threads before this one; `total`: of all. kThreads has to be
// the size of the block. Reads of memory before it are done when any thread returns.
template <int kThreads>
__device__ int sum_before(int value, int& total) {
  constexpr int kWarps = kThreads / kWarp;
  constexpr unsigned kAll = 0xffffffff;
  static_assert(kWarps <= kWarp && kThreads % kWarp == 0);
  S3FD_SHARED(int[kWarp], of_warp);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  int sum = value;
  for (int step = 1; step < kWarp; step *= 2) {
    const int before = __shfl_up_sync(kAll, sum, step);
    if (lane >= step) sum += before;
  }
  __syncthreads();  // the numbers of the last call have been read
  if (lane == kWarp - 1) of_warp[warp] = sum;
  __syncthreads();
  int before = sum - value;
  total = 0;
  for (int other = 0; other < kWarps; ++other) {
    if (other < warp) before += of_warp[other];
    total += of_warp[other];
  }
  return before;
}

}  // namespace s3fd::cuda
