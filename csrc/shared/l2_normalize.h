// The arithmetic of a pixel of the scaled norm, on the CPU and on a GPU.
#pragma once

#include <cmath>

#include "shared/geometry.h"

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

}  // namespace s3fd
