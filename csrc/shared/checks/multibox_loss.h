// What the kernels of the multi-box loss ask of what they get.
#pragma once

#include <cstdint>

#include "shared/checks/one_device.h"
#include "shared/checks/splits.h"
#include "shared/tensor.h"

namespace s3fd {

// All that can be told without reading a tensor's data.
inline void check_multibox_loss(const Tensor& logits, const Tensor& deltas, const Tensor& anchors,
                                const Tensor& boxes, const Splits& splits, const Tensor& matched) {
  STD_TORCH_CHECK(logits.dim() == 3 && logits.size(2) == 2 && deltas.dim() == 3 &&
                      deltas.size(2) == 4 && matched.dim() == 2 &&
                      matched.scalar_type() == ScalarType::Long && anchors.dim() == 2 &&
                      anchors.size(1) == 4,
                  "s3fd::multibox_loss: expected logits [B, A, 2], deltas [B, A, 4], "
                  "anchors [A, 4] and matched int64 [B, A]");
  const int64_t batch = logits.size(0), size = logits.size(1);
  STD_TORCH_CHECK(deltas.size(0) == batch && matched.size(0) == batch && deltas.size(1) == size &&
                      matched.size(1) == size && anchors.size(0) == size,
                  "s3fd::multibox_loss: logits, deltas, anchors and matched do not fit together");
  STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.is_contiguous() &&
                      boxes.scalar_type() == computed_in(deltas) &&
                      anchors.scalar_type() == computed_in(deltas),
                  "s3fd::multibox_loss: expected contiguous boxes [T, 4], and boxes and anchors in "
                  "the dtype that deltas are computed in");
  check_splits("multibox_loss", splits, boxes.size(0));
  STD_TORCH_CHECK(static_cast<int64_t>(splits.size()) == batch + 1,
                  "s3fd::multibox_loss: expected splits of as many images as logits");
  check_one_device("multibox_loss", logits, deltas, anchors, boxes, matched);
}

inline void check_negative_ratio(double negative_ratio) {
  STD_TORCH_CHECK(negative_ratio >= 0,
                  "s3fd::multibox_loss: expected a negative_ratio of at least 0");
}

inline void check_multibox_loss_results(const Tensor& class_gradient, const Tensor& box_gradient,
                                        const Tensor& logits, const Tensor& kept,
                                        const Tensor& counts) {
  STD_TORCH_CHECK(class_gradient.numel() == 1 && box_gradient.numel() == 1 && kept.dim() == 2 &&
                      kept.size(0) == logits.size(0) && kept.size(1) == logits.size(1) &&
                      kept.is_contiguous() && kept.scalar_type() == ScalarType::Byte &&
                      counts.numel() == 2 && counts.is_contiguous() &&
                      counts.scalar_type() == ScalarType::Long,
                  "s3fd::multibox_loss_backward: expected two scalars as gradients, and kept and "
                  "counts as multibox_loss returns them");
  for (const Tensor* gradient : {&class_gradient, &box_gradient})
    STD_TORCH_CHECK(is_floating(gradient->scalar_type()),
                    "s3fd::multibox_loss_backward: expected a floating-point tensor, got ",
                    torch::headeronly::toString(gradient->scalar_type()));
  check_one_device("multibox_loss_backward", logits, class_gradient, box_gradient, kept, counts);
}

}  // namespace s3fd
