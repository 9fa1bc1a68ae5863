// By how much the score of a box falls that overlaps a better one.
#pragma once

#include <limits>

#include "shared/geometry.h"
#include "shared/threshold.h"

namespace s3fd {

// The score of what is not left: neither a factor nor a threshold makes it count again.
constexpr double kGone = -std::numeric_limits<double>::infinity();

// Soft-NMS, equations 2 and 3. Nothing in it is fused, so that every device gets the same factors.
template <bool kGaussian>
struct ScoreDecay {
  float sigma, lowest_iou;

  static ScoreDecay of(double sigma, double iou_threshold) {
    return {static_cast<float>(sigma), smallest_not_below<float>(iou_threshold)};
  }

  // 1 for boxes that do not overlap; never more.
  S3FD_HOST_DEVICE float factor(float overlap) const {
    if constexpr (kGaussian) {
      return exponential(-(overlap * overlap) / sigma);
    } else {
      return overlap >= lowest_iou ? 1 - overlap : 1.0f;
    }
  }
};

}  // namespace s3fd
