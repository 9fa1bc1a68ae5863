// What every kernel uses, on the CPU and on a GPU: from a tensor's dtype to a C++ type, and strided
// access.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/Half.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "shared/geometry.h"

namespace s3fd {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The type that a kernel computes in: half precision is read and written, never computed in.
template <typename T>
using compute_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

// The dtype of compute_t.
inline ScalarType computed_in(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline bool is_floating(ScalarType dtype) {
  return dtype == ScalarType::Float || dtype == ScalarType::Double || dtype == ScalarType::Half ||
         dtype == ScalarType::BFloat16;
}

// function.template operator()<T>(), with the C++ type of a floating-point dtype.
template <typename Function>
auto dispatch_floating(ScalarType dtype, const char* name, Function&& function) {
  switch (dtype) {
    case ScalarType::Float:
      return function.template operator()<float>();
    case ScalarType::Double:
      return function.template operator()<double>();
    case ScalarType::Half:
      return function.template operator()<Half>();
    case ScalarType::BFloat16:
      return function.template operator()<BFloat16>();
    default:
      STD_TORCH_CHECK(false, "s3fd::", name, ": expected a floating-point tensor, got ",
                      torch::headeronly::toString(dtype));
  }
}

inline bool has_sizes_of(const Tensor& tensor, const Tensor& like) {
  bool has = tensor.dim() == like.dim();
  for (int64_t d = 0; has && d < like.dim(); ++d) has = tensor.size(d) == like.size(d);
  return has;
}

// Whether the rows of a map [B, C, H, W] have no gap between them, so that all its pixels are one
// row.
inline bool has_long_rows(const Tensor& map) {
  return map.size(2) <= 1 || map.stride(2) == map.size(3) * map.stride(3);
}

// A tensor of four dimensions read or written through its own strides: channels_last, sliced and
// expanded tensors are used as they are.
template <typename T>
struct View4 {
  T* data;
  std::array<int64_t, 4> stride;

  S3FD_HOST_DEVICE T* at(int64_t i, int64_t j, int64_t k, int64_t l) const {
    return data + i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3];
  }
};

template <typename T>
std::array<int64_t, 4> strides4(const T& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}

template <typename T>
View4<const T> view4(const Tensor& tensor) {
  return {static_cast<const T*>(tensor.const_data_ptr()), strides4(tensor)};
}

template <typename T>
View4<T> mutable_view4(const Tensor& tensor) {
  return {static_cast<T*>(tensor.mutable_data_ptr()), strides4(tensor)};
}

// A contiguous tensor on the device of `like`, uninitialised.
inline Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  return torch::stable::empty({sizes.begin(), sizes.size()}, dtype, std::nullopt, like.device());
}

// An uninitialised [B, channels, H, W] in the memory format of `like`: channels_last if its
// channels are adjacent, contiguous otherwise. The fake kernel follows the same rule.
inline Tensor empty_in_format_of(const Tensor& like, int64_t channels) {
  const std::array<int64_t, 4> sizes{like.size(0), channels, like.size(2), like.size(3)};
  const auto format = like.stride(1) == 1 ? torch::headeronly::MemoryFormat::ChannelsLast
                                          : torch::headeronly::MemoryFormat::Contiguous;
  return torch::stable::empty({sizes.data(), sizes.size()}, like.scalar_type(), std::nullopt,
                              like.device(), std::nullopt, format);
}

}  // namespace s3fd
