// What the kernels of the multi-box loss share, on the CPU and on a GPU: the arithmetic, and the
// checks of what they are given.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "shared/score_key.h"
#include "shared/tensor.h"

namespace s3fd {

// What the mask `kept` says of an anchor. While its image is mined, kNegative marks all
// backgrounds.
constexpr uint8_t kNothing = 0, kNegative = 1, kPositive = 2;

template <typename T>
using MarginKey = std::conditional_t<std::is_same_v<T, double>, uint64_t, uint32_t>;

// Rises with the margin of a background's logits, as its loss does. NaN counts as infinity; 0 is
// below every margin.
template <typename C>
S3FD_HOST_DEVICE MarginKey<C> rising_key(C background, C face) {
  const C margin = face - background;
  return ~falling_key(margin == margin ? margin : std::numeric_limits<C>::infinity());
}

// How many backgrounds of an image of `size` anchors are mined.
S3FD_HOST_DEVICE inline int64_t wanted_negatives(int64_t positives, int64_t backgrounds,
                                                 double negative_ratio, int64_t size) {
  const double most = static_cast<double>(size);
  const double ratio = negative_ratio < most ? negative_ratio : most;
  const auto wanted = static_cast<int64_t>(static_cast<double>(positives) * ratio);
  return wanted < backgrounds ? wanted : backgrounds;
}

// Softmax of two logits. Where one of them is NaN or infinity, `smaller` is NaN as in log_softmax.
template <typename C>
struct TwoLogits {
  bool face_is_larger;
  C difference;  // smaller - larger, at most 0
  C smaller;     // exp(difference)

  S3FD_HOST_DEVICE TwoLogits(C background, C face) : face_is_larger(!(background > face)) {
    const C larger = face_is_larger ? face : background;
    difference = (face_is_larger ? background : face) - larger;
    smaller = std::exp(difference) + (larger - larger);
  }

  S3FD_HOST_DEVICE C cross_entropy(bool is_face) const {
    const C normaliser = std::log(1 + smaller);
    return is_face == face_is_larger ? normaliser : normaliser - difference;
  }

  // The derivative of the cross-entropy in the face's logit; in the background's it is opposite.
  S3FD_HOST_DEVICE C gradient(bool is_face) const {
    const C other = (is_face == face_is_larger ? smaller : C(1)) / (1 + smaller);
    return is_face ? -other : other;
  }
};

template <typename C>
S3FD_HOST_DEVICE C smooth_l1(C error) {
  const C size = std::abs(error);
  return size < 1 ? size * size / 2 : size - C(0.5);
}

// NaN stays NaN.
template <typename C>
S3FD_HOST_DEVICE C smooth_l1_gradient(C error) {
  return error < -1 ? C(-1) : error > 1 ? C(1) : error;
}

inline ScalarType computed_in(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// All that can be told without reading a tensor's data.
inline void check_multibox_loss(const Tensor& logits, const Tensor& deltas, const Tensor& anchors,
                                const Tensor& boxes, const Tensor& splits, const Tensor& matched) {
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
  STD_TORCH_CHECK(splits.dim() == 1 && splits.size(0) == batch + 1 && splits.is_contiguous() &&
                      splits.scalar_type() == ScalarType::Long,
                  "s3fd::multibox_loss: expected splits as contiguous int64 [B + 1]");
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
}

}  // namespace s3fd
