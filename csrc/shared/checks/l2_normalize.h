// What the kernels of the scaled norm ask of what they get.
#pragma once

#include "shared/checks/one_device.h"
#include "shared/tensor.h"

namespace s3fd {

inline void check_l2_normalize(const Tensor& features, const Tensor& weight) {
  const bool in_double = features.scalar_type() == ScalarType::Double;
  STD_TORCH_CHECK(
      features.dim() == 4 && weight.dim() == 1 && weight.size(0) == features.size(1) &&
          weight.scalar_type() == (in_double ? ScalarType::Double : ScalarType::Float),
      "s3fd::l2_normalize: expected features [B, C, H, W] and a weight [C] in float32, or float64 "
      "for float64 features");
  check_one_device("l2_normalize", features, weight);
}

inline void check_l2_normalize_backward(const Tensor& gradient, const Tensor& features,
                                        const Tensor& weight) {
  check_l2_normalize(features, weight);
  STD_TORCH_CHECK(
      has_sizes_of(gradient, features) && gradient.scalar_type() == features.scalar_type(),
      "s3fd::l2_normalize_backward: gradient does not fit the features");
  check_one_device("l2_normalize_backward", features, gradient);
}

}  // namespace s3fd
