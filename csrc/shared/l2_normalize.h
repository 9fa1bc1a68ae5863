// What the kernels of the scaled norm share, on the CPU and on a GPU: the arithmetic of a pixel,
// and the checks of what they are given.
#pragma once

#include <cmath>

#include "shared/tensor.h"

namespace s3fd {

// What becomes of a pixel's features x, gradients g and weights w, given sum(x^2) and sum(g w x):
// its output is scale x w, and its gradient scale g w - pull x.
template <typename C>
struct NormFactors {
  C scale, pull;

  S3FD_HOST_DEVICE NormFactors(C squares, C products) {
    const C norm = std::sqrt(squares);
    scale = 1 / (norm + static_cast<C>(1e-10));
    pull = norm > 0 ? products / norm * scale * scale : C(0);
  }
};

inline void check_l2_normalize(const Tensor& features, const Tensor& weight) {
  const bool in_double = features.scalar_type() == ScalarType::Double;
  STD_TORCH_CHECK(
      features.dim() == 4 && weight.dim() == 1 && weight.size(0) == features.size(1) &&
          weight.scalar_type() == (in_double ? ScalarType::Double : ScalarType::Float),
      "s3fd::l2_normalize: expected features [B, C, H, W] and a weight [C] in float32, or float64 "
      "for float64 features");
}

inline void check_l2_normalize_gradient(const Tensor& gradient, const Tensor& features) {
  for (int dimension = 0; dimension < 4; ++dimension) {
    STD_TORCH_CHECK(gradient.dim() == 4 && gradient.size(dimension) == features.size(dimension) &&
                        gradient.scalar_type() == features.scalar_type(),
                    "s3fd::l2_normalize_backward: gradient does not fit the features");
  }
}

}  // namespace s3fd
