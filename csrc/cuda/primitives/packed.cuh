// Neighbouring values that are read and written as one.
#pragma once

#include <cstdint>

#include "cuda/primitives/host.h"

namespace s3fd::cuda {

template <typename T, int kSize>
struct alignas(sizeof(T) * kSize) Packed {
  T values[kSize];
};

template <int kSize, typename T>
__device__ Packed<T, kSize> read_packed(const T* values) {
  return *reinterpret_cast<const Packed<T, kSize>*>(values);
}

template <int kSize, typename T>
__device__ void write_packed(T* values, const Packed<T, kSize>& packed) {
  *reinterpret_cast<Packed<T, kSize>*>(values) = packed;
}

// Whether the values of a tensor's last dimension, or of another one whose stride is 1, can be read
// `size` at a time, wherever in the other dimensions.
inline bool can_be_packed(const Tensor& tensor, int64_t dimension, int64_t size) {
  const auto address = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  bool fits = tensor.stride(dimension) == 1 && tensor.size(dimension) % size == 0 &&
              address % static_cast<uintptr_t>(size * tensor.element_size()) == 0;
  for (int64_t other = 0; other < tensor.dim(); ++other) {
    fits &= other == dimension || tensor.size(other) == 1 || tensor.stride(other) % size == 0;
  }
  return fits;
}

}  // namespace s3fd::cuda
