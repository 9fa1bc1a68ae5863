// What the kernels of nms, batched_nms, nms_padded, soft_nms and vote_boxes ask of what they get.
#pragma once

#include <cstdint>

#include "shared/checks/one_device.h"
#include "shared/tensor.h"

namespace s3fd {

// most: boxes that the kernels can number.
inline void check_boxes_and_scores(const char* name, const Tensor& boxes, const Tensor& scores,
                                   int64_t most) {
  STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && scores.dim() == 1 &&
                      scores.size(0) == boxes.size(0),
                  "s3fd::", name, ": expected boxes [N, 4] and scores [N]");
  check_one_device(name, boxes, scores);
  STD_TORCH_CHECK(boxes.size(0) <= most, "s3fd::", name, ": more than ", most, " boxes");
}

inline void check_groups(const Tensor& groups, const Tensor& boxes) {
  STD_TORCH_CHECK(groups.dim() == 1 && groups.size(0) == boxes.size(0) &&
                      groups.scalar_type() == ScalarType::Long,
                  "s3fd::batched_nms: expected groups int64 [N]");
  check_one_device("batched_nms", boxes, groups);
}

inline void check_keep(int64_t keep) {
  STD_TORCH_CHECK(keep >= 0, "s3fd::nms_padded: expected keep >= 0");
}

}  // namespace s3fd
