// Kernels that are right, and kernels with the faults that the emulator is there to find.
// test_emulator.py starts them through ctypes.

#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <string>

#include "cuda/primitives/launch.h"

namespace {

using s3fd::cuda::dynamic_shared;
using s3fd::cuda::launch;
using s3fd::emulator::current_stream;

constexpr unsigned kAll = 0xffffffff;

// Reverses the values of each block through shared memory.
__global__ void reverse(int* values, bool with_barrier) {
  S3FD_SHARED(int[64], held);
  held[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
  if (with_barrier) __syncthreads();
  values[blockIdx.x * blockDim.x + threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
}

// The sum of each warp, by every lane.
__global__ void sum_of_warp(int* values) {
  int sum = values[threadIdx.x];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
  values[threadIdx.x] = sum;
}

// Warps add up in turn, and the first one passes the sum of all on, with or without waiting for the
// others: a fault that shows only if a warp runs ahead of another one past its own barriers.
__global__ void sum_of_block(int* values, bool with_barrier) {
  S3FD_SHARED(int[2], sums);
  int sum = values[threadIdx.x];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  if (with_barrier) __syncthreads();
  __syncwarp();
  values[threadIdx.x] = sums[0] + sums[1];
}

// What the other functions of a warp give, in one word: lanes are 0 ... 31, values their thirds.
__global__ void functions_of_warp(int* values) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const unsigned below_ten = __ballot_sync(kAll, lane < 10);
  const unsigned alike = __match_any_sync(kAll, lane / 3);
  const int up = __shfl_up_sync(kAll, lane, 1), down = __shfl_down_sync(kAll, lane, 4, 8);
  const int first = __shfl_sync(kAll, lane, 0, 8), any = __any_sync(kAll, lane == 31);
  const int all = __all_sync(kAll, lane < 31), above = __syncthreads_count(lane >= 20);
  int half = 0;
  if (lane < 16) half = __shfl_sync(0xffff, lane, 15);
  __syncwarp();
  const int results[] = {
      static_cast<int>(below_ten), static_cast<int>(alike), up, down, first, any, all, above, half};
  for (int i = 0; i < 9; ++i) values[9 * threadIdx.x + i] = results[i];
}

__global__ void divergent_barrier(int*) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_without_all(int*) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void exited_lane(int* values) {
  if (threadIdx.x >= 20) return;
  values[threadIdx.x] = __shfl_sync(kAll, values[threadIdx.x], 0);
}

__global__ void foreign_mask(int* values) {
  values[threadIdx.x] = __shfl_sync(0xffff, values[threadIdx.x], 0);
}

__global__ void lane_outside_of_mask(int* values) {
  if (threadIdx.x < 16) values[threadIdx.x] = __shfl_sync(0xffff, values[threadIdx.x], 20);
}

// Lane 0 waits for the warp, the others for the block.
__global__ void deadlock(int*) {
  if (threadIdx.x == 0) {
    __syncwarp();
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void uninitialised(int* values) {
  S3FD_SHARED(int[32], held);
  if (threadIdx.x != 7) held[threadIdx.x] = 1;
  __syncthreads();
  values[threadIdx.x] = held[threadIdx.x];
}

__global__ void beyond_shared(int* values) {
  S3FD_SHARED(int[32], held);
  held[threadIdx.x + 1] = values[threadIdx.x];
  __syncthreads();
}

__global__ void beyond_dynamic(int* values) {
  int* held = dynamic_shared<int>();
  held[threadIdx.x + 1] = values[threadIdx.x];
}

__global__ void beyond_global(int* values) { values[threadIdx.x + 1] = 0; }

__global__ void failed_check(int* values) {
  S3FD_DEVICE_CHECK(values[threadIdx.x] >= 0, "expected no negative value");
}

// Threads of a block race for a place; with claims, for the smallest number.
__global__ void race(int* values, bool by_claim) {
  if (by_claim) {
    atomicMin(&values[0], static_cast<int>(threadIdx.x));
  } else {
    values[0] = static_cast<int>(threadIdx.x);
  }
}

// values[0]: blocks that have come; the last one adds up, into values[1], what each has written.
__global__ void last_block(int* values, bool releases, bool acquires) {
  S3FD_SHARED(bool, is_last);
  int* const written = values + 2;
  if (threadIdx.x == 0) written[blockIdx.x] = 1 + static_cast<int>(blockIdx.x);
  if (releases) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicAdd(values, 1) == static_cast<int>(gridDim.x) - 1;
  __syncthreads();
  if (!is_last) return;
  if (acquires) __threadfence();
  if (threadIdx.x == 0) {
    int sum = 0;
    for (unsigned block = 0; block < gridDim.x; ++block) sum += written[block];
    values[1] = sum;
  }
}

__global__ void sum_of_grid(int* values, bool atomically) {
  if (atomically) {
    atomicAdd(values, 1);
  } else {
    const int before = values[0];
    values[0] = before + 1;
  }
}

// All lanes read what lane 0 then writes.
__global__ void after_ballot(int* values, bool with_fence) {
  S3FD_SHARED(unsigned, open);
  if (threadIdx.x == 0) open = 1;
  __syncthreads();
  const unsigned was_open = open;
  const unsigned lanes = __ballot_sync(kAll, was_open != 0);
  if (with_fence) __syncwarp();
  if (threadIdx.x == 0) open = lanes;
  values[threadIdx.x] = static_cast<int>(was_open);
}

__global__ void misaligned(int* values) {
  if (threadIdx.x == 0) *reinterpret_cast<int2*>(values + 1) = {1, 2};
}

std::string error;

const char* start(const std::string& name, int* values, unsigned grid, unsigned block) {
  const auto run = [&](void (*kernel)(int*), size_t shared_bytes = 0) {
    launch(kernel, grid, block, shared_bytes, current_stream(), values);
  };
  std::optional<s3fd::emulator::OnDevice> device(std::in_place);
  try {
    if (name == "reverse") launch(reverse, grid, block, 0, current_stream(), values, true);
    if (name == "reverse without barrier")
      launch(reverse, grid, block, 0, current_stream(), values, false);
    if (name == "sum of warp") run(sum_of_warp);
    if (name == "sum of block")
      launch(sum_of_block, grid, block, 0, current_stream(), values, true);
    if (name == "sum without barrier")
      launch(sum_of_block, grid, block, 0, current_stream(), values, false);
    if (name == "functions of warp") run(functions_of_warp);
    if (name == "divergent barrier") run(divergent_barrier);
    if (name == "barrier without all") run(barrier_without_all);
    if (name == "exited lane") run(exited_lane);
    if (name == "foreign mask") run(foreign_mask);
    if (name == "lane outside of mask") run(lane_outside_of_mask);
    if (name == "deadlock") run(deadlock);
    if (name == "uninitialised") run(uninitialised);
    if (name == "beyond shared") run(beyond_shared);
    if (name == "beyond dynamic") run(beyond_dynamic, block * sizeof(int));
    if (name == "beyond global") run(beyond_global);
    if (name == "failed check") run(failed_check);
    if (name == "race") launch(race, grid, block, 0, current_stream(), values, false);
    if (name == "claim") launch(race, grid, block, 0, current_stream(), values, true);
    if (name == "host reads") *values = *values + 1;
    if (name == "copy and wait") {
      cudaMemsetAsync(values, 0, sizeof(int), current_stream());
      int value;
      cudaMemcpyAsync(&value, values, sizeof(int), cudaMemcpyDeviceToHost, current_stream());
      cudaStreamSynchronize(current_stream());
    }
    if (name == "copy without waiting") {
      int value;
      cudaMemcpyAsync(&value, values, sizeof(int), cudaMemcpyDeviceToHost, current_stream());
      values[1] = value;
    }
    if (name == "null stream") launch(sum_of_warp, grid, block, 0, nullptr, values);
    if (name == "memset of null stream") cudaMemsetAsync(values, 0, sizeof(int), nullptr);
    if (name == "other device") {
      device.reset();
      run(sum_of_warp);
    }
    if (name == "last block")
      launch(last_block, grid, block, 0, current_stream(), values, true, true);
    if (name == "last block that does not release") {
      launch(last_block, grid, block, 0, current_stream(), values, false, true);
    }
    if (name == "last block that does not acquire") {
      launch(last_block, grid, block, 0, current_stream(), values, true, false);
    }
    if (name == "atomic sum") launch(sum_of_grid, grid, block, 0, current_stream(), values, true);
    if (name == "sum by load and store") {
      launch(sum_of_grid, grid, block, 0, current_stream(), values, false);
    }
    if (name == "ballot as a fence")
      launch(after_ballot, grid, block, 0, current_stream(), values, false);
    if (name == "fence of a warp")
      launch(after_ballot, grid, block, 0, current_stream(), values, true);
    if (name == "misaligned") run(misaligned);
  } catch (const std::exception& exception) {
    error = exception.what();
    return error.c_str();
  }
  return nullptr;
}

}  // namespace

// Runs a kernel by name on `values`; returns the text of its error, or null.
extern "C" __attribute__((visibility("default"))) const char* s3fd_emulator_start(const char* name,
                                                                                  int* values,
                                                                                  unsigned grid,
                                                                                  unsigned block) {
  return start(name, values, grid, block);
}
