// Indices of the boxes that stay: the last launch of nms, batched_nms and nms_padded. The others
// are those of ranked_boxes.cuh; what bounds them is said there and in greedy_nms.cuh.
//
// Launches: 4 up to 1024 boxes, one more for every further 1024, and 3 for sorts of more than 8192.
// One wait for the device, for the size of the output; the padded form has none.
#pragma once

#include "cuda/greedy_nms.cuh"
#include "cuda/primitives/launch.h"

namespace s3fd::cuda {

constexpr int kIndexThreads = 256;

// Writes the indices of the boxes that stay to [size], and -1 behind them; how many to `count` if
// that is wanted.
template <typename T>
__global__ void __launch_bounds__(kIndexThreads)
    write_indices_kernel(GreedyLists<T> lists, const int32_t* order, int64_t* indices, int64_t size,
                         int64_t* count) {
  const int64_t i = int64_t{blockIdx.x} * kIndexThreads + threadIdx.x;
  const int32_t kept = lists.progress->kept_end;
  if (i == 0 && count != nullptr) *count = kept;
  if (i < size) indices[i] = i < kept ? order[lists.kept[i]] : -1;
}

}  // namespace s3fd::cuda
