// Rows of four numbers, boxes and deltas, read and written in one access where they lie side by
// side.
#pragma once

#include "cuda/primitives/launch.h"
#include "shared/tensor.h"

namespace s3fd::cuda {

// A row as the memory has it. No access of a thread is larger than 16 bytes.
template <typename T>
struct alignas(sizeof(T) == 8 ? 16 : 4 * sizeof(T)) Four {
  T first, second, third, fourth;
};

// The rows of a tensor [B, A, 4] through its strides, as a Box or a Delta of the type that T is
// computed in.
template <typename Row, typename T>
struct RowView {
  const T* data;
  int64_t batch_stride, row_stride, stride;
  bool is_packed;  // every row is a Four

  explicit RowView(const Tensor& tensor)
      : data(static_cast<const T*>(tensor.const_data_ptr())),
        batch_stride(tensor.stride(0)),
        row_stride(tensor.stride(1)),
        stride(tensor.stride(2)),
        is_packed(stride == 1 && batch_stride % 4 == 0 && row_stride % 4 == 0 &&
                  reinterpret_cast<uintptr_t>(data) % alignof(Four<T>) == 0) {}

  __device__ Row operator()(int64_t batch, int64_t row) const {
    using Compute = compute_t<T>;
    const T* in = data + batch * batch_stride + row * row_stride;
    const Four<T> four = is_packed ? *reinterpret_cast<const Four<T>*>(in)
                                   : Four<T>{in[0], in[stride], in[2 * stride], in[3 * stride]};
    return {static_cast<Compute>(four.first), static_cast<Compute>(four.second),
            static_cast<Compute>(four.third), static_cast<Compute>(four.fourth)};
  }
};

// Writes a Box or a Delta to a row of a contiguous tensor [..., 4] that was just allocated.
template <typename T, typename Row>
__device__ void write_row(T* tensor, int64_t row, const Row& values) {
  const auto& [first, second, third, fourth] = values;
  reinterpret_cast<Four<T>*>(tensor)[row] = {static_cast<T>(first), static_cast<T>(second),
                                             static_cast<T>(third), static_cast<T>(fourth)};
}

}  // namespace s3fd::cuda
