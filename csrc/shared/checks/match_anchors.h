// What the kernels of match_anchors and match_grid ask of what they get.
#pragma once

#include "shared/checks/one_device.h"
#include "shared/tensor.h"

namespace s3fd {

inline void check_box_list(const Tensor& boxes) {
  STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.is_contiguous() &&
                      boxes.scalar_type() == ScalarType::Float,
                  "s3fd::match: expected boxes and anchors as contiguous float32 [N, 4]");
}

inline void check_splits(const Tensor& splits) {
  STD_TORCH_CHECK(splits.dim() == 1 && splits.size(0) >= 1 && splits.is_contiguous() &&
                      splits.scalar_type() == ScalarType::Long,
                  "s3fd::match: expected splits as contiguous int64 [B + 1]");
}

// All that can be told without reading a tensor's data.
inline void check_matching(const Tensor& boxes, const Tensor& splits, const Tensor& ignore,
                           const Tensor& ignore_splits) {
  check_box_list(boxes);
  check_splits(splits);
  check_box_list(ignore);
  check_splits(ignore_splits);
  STD_TORCH_CHECK(splits.size(0) == ignore_splits.size(0),
                  "s3fd::match: expected ignore boxes for as many images as boxes");
  check_one_device("match", boxes, splits, ignore, ignore_splits);
}

}  // namespace s3fd
