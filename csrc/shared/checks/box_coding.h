// What the kernels of encode_boxes, decode_boxes and their gradients ask of what they get.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "shared/checks/one_device.h"
#include "shared/tensor.h"

namespace s3fd {

// Height and width, to which boxes are clipped, or nothing.
using ImageSize = std::optional<std::vector<int64_t>>;

template <typename... Others>
void check_box_coding(const char* name, const Tensor& first, const Others&... others) {
  const auto fits = [&](const Tensor& tensor) {
    return tensor.dim() == 3 && tensor.size(2) == 4 && tensor.size(0) == first.size(0) &&
           tensor.size(1) == first.size(1) && tensor.scalar_type() == first.scalar_type();
  };
  STD_TORCH_CHECK(first.dim() == 3 && first.size(2) == 4 && (fits(others) && ...), "s3fd::", name,
                  ": expected tensors [B, A, 4] of one shape and dtype");
  check_one_device(name, first, others...);
}

inline void check_image_size(const char* name, const ImageSize& image_size) {
  STD_TORCH_CHECK(!image_size.has_value() || image_size->size() == 2, "s3fd::", name,
                  ": expected an image size of two integers, height and width");
}

}  // namespace s3fd
