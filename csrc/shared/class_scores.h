// Scores of several classes, on the CPU and on a GPU. Their logits stand behind those of the
// backgrounds, of which the strongest counts, or have a sigmoid each, and then there is no
// background.
#pragma once

#include <cmath>
#include <cstdint>

#include "shared/geometry.h"

namespace s3fd {

// The logit of a class's score: its own logit less the logarithm of the summed exponentials of the
// others. NaN if any logit is. Computed in double and rounded once; with one class it is the
// difference of two floats, rounded as that is.
template <typename T>
S3FD_HOST_DEVICE float softmax_margin(const T* logits, int64_t step, int64_t backgrounds,
                                      int64_t classes, int64_t wanted) {
  const auto logit = [&](int64_t k) { return static_cast<float>(logits[k * step]); };
  float background = logit(0);
  bool has_nan = background != background;
  for (int64_t k = 1; k < backgrounds; ++k) {
    has_nan |= logit(k) != logit(k);
    if (logit(k) > background) background = logit(k);
  }
  float strongest = background;
  for (int64_t c = 0; c < classes; ++c) {
    const float other = logit(backgrounds + c);
    has_nan |= other != other;
    if (c != wanted && other > strongest) strongest = other;
  }
  if (has_nan) return NAN;
  const float own = logit(backgrounds + wanted);
  if (!(std::abs(strongest) < INFINITY)) return own - strongest;
  double sum = exponential(static_cast<double>(background) - strongest);
  for (int64_t c = 0; c < classes; ++c) {
    if (c != wanted) sum += exponential(static_cast<double>(logit(backgrounds + c)) - strongest);
  }
  return static_cast<float>(own - (strongest + logarithm(sum)));
}

// What the logit of a class is above the strongest of all, at least, where its softmax margin is
// not below this one: the logarithm of its score, and a little less. It spares most cells the
// exponentials.
inline float least_above_strongest(double margin) {
  const double of_score = -std::log1p(std::exp(-margin));
  return static_cast<float>(of_score - 1e-3 * (1 - of_score));
}

}  // namespace s3fd
