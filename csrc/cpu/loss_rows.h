// What the multi-box loss reads, each tensor through its strides.
#pragma once

#include <cstdint>

#include "shared/tensor.h"

namespace s3fd::cpu {

// One image of a tensor [B, A] or [B, A, C], read through its strides.
template <typename T>
struct ImageRows {
  const T* data;
  int64_t stride, column_stride;

  const T* operator[](int64_t row) const { return data + row * stride; }
};

template <typename T>
ImageRows<T> image_rows(const Tensor& tensor, int64_t image) {
  const auto* data = static_cast<const T*>(tensor.const_data_ptr());
  return {data + image * tensor.stride(0), tensor.stride(1),
          tensor.dim() == 3 ? tensor.stride(2) : 1};
}

template <typename Row, typename T>
Row read_four(const T* values, int64_t stride) {
  using C = compute_t<T>;
  return {static_cast<C>(values[0]), static_cast<C>(values[stride]),
          static_cast<C>(values[2 * stride]), static_cast<C>(values[3 * stride])};
}

}  // namespace s3fd::cpu
