// The memory of a chain of kernels in one allocation.
#pragma once

#include <cstdint>

#include "cuda/primitives/host.h"

namespace s3fd::cuda {

// Arrays are added first and have an address once the memory is there:
//   Workspace workspace;
//   const auto order = workspace.add<int32_t>(n);
//   workspace.allocate(like);
//   int32_t* address = workspace.at(order);
class Workspace {
 public:
  template <typename T>
  struct Array {
    int64_t offset, size;
  };

  template <typename T>
  Array<T> add(int64_t size) {
    static_assert(alignof(T) <= kAlignment);
    const Array<T> array{bytes_, size};
    bytes_ += ceil_divide(size * static_cast<int64_t>(sizeof(T)), kAlignment) * kAlignment;
    return array;
  }

  void allocate(const Tensor& like) { memory_ = empty({bytes_}, ScalarType::Byte, like); }

  template <typename T>
  T* at(const Array<T>& array) {
    return reinterpret_cast<T*>(mutable_data<unsigned char>(memory_) + array.offset);
  }

  // Sets every byte of an array, and of those up to the other one, to 0, on the stream.
  template <typename T, typename U>
  void clear(const Array<T>& first, const Array<U>& last, cudaStream_t stream) {
    const int64_t end = last.offset + last.size * static_cast<int64_t>(sizeof(U));
    const auto bytes = static_cast<size_t>(end - first.offset);
    if (bytes > 0) STD_CUDA_CHECK(cudaMemsetAsync(at(first), 0, bytes, stream));
  }

 private:
  static constexpr int64_t kAlignment = 256;

  int64_t bytes_ = 0;
  Tensor memory_;
};

}  // namespace s3fd::cuda
