// What the host code of every CUDA kernel uses: memory, and the one way to wait for the device.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "cuda/primitives/launch.h"
#include "shared/tensor.h"

namespace s3fd::cuda {

// How many parts of a size cover a number of things.
constexpr int64_t ceil_divide(int64_t things, int64_t size) { return (things + size - 1) / size; }

// A grid of one dimension with a thread for each of `things`.
inline dim3 blocks_for(int64_t things, int threads) {
  const int64_t blocks = ceil_divide(things, threads);
  STD_TORCH_CHECK(blocks <= 0x7fffffff, "s3fd: a tensor has too many elements for one kernel");
  return dim3(static_cast<unsigned>(blocks));
}

// A contiguous tensor on the device of `like` with every byte 0, set on the stream.
inline Tensor zeros(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like,
                    cudaStream_t stream) {
  Tensor tensor = empty(sizes, dtype, like);
  const auto bytes = static_cast<size_t>(tensor.numel() * tensor.element_size());
  if (bytes > 0) STD_CUDA_CHECK(cudaMemsetAsync(tensor.mutable_data_ptr(), 0, bytes, stream));
  return tensor;
}

template <typename T>
const T* data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* mutable_data(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Waits until the stream has come so far, and returns what is at an address on the device: for the
// size of an output that depends on data, and for nothing else.
template <typename T>
T read_back(const T* device, cudaStream_t stream) {
  T value;
  STD_CUDA_CHECK(cudaMemcpyAsync(&value, device, sizeof(T), cudaMemcpyDeviceToHost, stream));
  STD_CUDA_CHECK(cudaStreamSynchronize(stream));
  return value;
}

}  // namespace s3fd::cuda
