// The arithmetic of the multi-box loss, on the CPU and on a GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "shared/elementary.h"
#include "shared/score_key.h"

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
    smaller = exponential(difference) + (larger - larger);
  }

  S3FD_HOST_DEVICE C cross_entropy(bool is_face) const {
    const C normaliser = logarithm(1 + smaller);
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

}  // namespace s3fd
