// What every kernel of decode_detections() asks of the maps that it gets.
#pragma once

#include <cstdint>
#include <vector>

#include "shared/anchor_levels.h"
#include "shared/checks/one_device.h"
#include "shared/tensor.h"

namespace s3fd {

// Rows and columns of the maps in turn.
inline std::vector<int64_t> feature_sizes(const std::vector<Tensor>& logits) {
  std::vector<int64_t> sizes;
  for (const Tensor& level : logits) {
    STD_TORCH_CHECK(level.dim() == 4, "s3fd::decode_detections: expected maps [B, C, H, W]");
    sizes.push_back(level.size(2));
    sizes.push_back(level.size(3));
  }
  return sizes;
}

// image_sizes: how many numbers describe the sizes of the images, or -1 if they are not given.
inline void check_head_maps(const std::vector<Tensor>& logits, const std::vector<Tensor>& deltas,
                            const std::vector<AnchorLevel>& levels, int64_t image_sizes) {
  STD_TORCH_CHECK(
      !logits.empty() && logits.size() == deltas.size() && logits.size() == levels.size(),
      "s3fd::decode_detections: expected a class map and a delta map of every level");
  const auto fits_first = [&](const Tensor& level) {
    return level.size(0) == logits[0].size(0) && level.scalar_type() == logits[0].scalar_type();
  };
  for (size_t l = 0; l < logits.size(); ++l) {
    const int64_t shapes = levels[l].num_shapes;
    STD_TORCH_CHECK(
        shapes > 0 && logits[l].size(1) % shapes == 0 && logits[l].size(1) / shapes >= 2 &&
            deltas[l].dim() == 4 && deltas[l].size(1) == 4 * shapes &&
            deltas[l].size(2) == logits[l].size(2) && deltas[l].size(3) == logits[l].size(3) &&
            fits_first(logits[l]) && fits_first(deltas[l]),
        "s3fd::decode_detections: the maps of a level do not fit each other or the grid");
    check_one_device("decode_detections", logits[0], logits[l], deltas[l]);
  }
  STD_TORCH_CHECK(image_sizes < 0 || image_sizes == 2 * logits[0].size(0),
                  "s3fd::decode_detections: expected the size of every image");
}

}  // namespace s3fd
