// What the kernels of max_out_background ask of what they get.
#pragma once

#include "shared/checks/one_device.h"
#include "shared/tensor.h"

namespace s3fd {

inline void check_max_out_background(const Tensor& logits) {
  STD_TORCH_CHECK(logits.dim() == 4 && logits.size(1) >= 2,
                  "s3fd::max_out_background: expected logits [B, k + 1, H, W] with k >= 1");
}

inline void check_max_out_background_backward(const Tensor& gradient, const Tensor& logits) {
  check_max_out_background(logits);
  STD_TORCH_CHECK(gradient.dim() == 4 && gradient.size(0) == logits.size(0) &&
                      gradient.size(1) == 2 && gradient.size(2) == logits.size(2) &&
                      gradient.size(3) == logits.size(3) &&
                      gradient.scalar_type() == logits.scalar_type(),
                  "s3fd::max_out_background_backward: gradient does not fit the logits");
  check_one_device("max_out_background_backward", logits, gradient);
}

}  // namespace s3fd
