// What the kernels of match_anchors and match_grid ask of what they get.
#pragma once

#include <cstdint>

#include "shared/checks/one_device.h"
#include "shared/checks/splits.h"
#include "shared/tensor.h"

namespace s3fd {

inline void check_box_list(const Tensor& boxes) {
  STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.is_contiguous() &&
                      boxes.scalar_type() == ScalarType::Float,
                  "s3fd::match: expected boxes and anchors as contiguous float32 [N, 4]");
}

inline void check_matching(const Tensor& boxes, const Splits& splits, const Tensor& ignore,
                           const Splits& ignore_splits) {
  check_box_list(boxes);
  check_splits("match", splits, boxes.size(0));
  check_one_device("match", boxes, ignore);
  if (ignore_splits.empty()) return;
  check_box_list(ignore);
  check_splits("match", ignore_splits, ignore.size(0));
  STD_TORCH_CHECK(splits.size() == ignore_splits.size(),
                  "s3fd::match: expected ignore boxes for as many images as boxes");
}

}  // namespace s3fd
