// The list of a grid's anchors: one thread an anchor.
//
// Nothing is read: the grid comes with the launch. 4 * sizeof(T) bytes are written an anchor, in
// one store. One launch; memory bound, unless a level needs double precision on a GPU that has
// little of it: 10 such operations an anchor.
#pragma once

#include "cuda/device_grid.h"
#include "cuda/primitives/rows.cuh"

namespace s3fd::cuda {

constexpr int kAnchorThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kAnchorThreads)
    anchors_kernel(const S3FD_GRID_CONSTANT DeviceGrid grid, T* output) {
  const int64_t anchor = int64_t{blockIdx.x} * kAnchorThreads + threadIdx.x;
  if (anchor < grid.num_anchors) write_row(output, anchor, grid.box<T>(anchor));
}

}  // namespace s3fd::cuda
