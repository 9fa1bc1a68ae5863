// Integers that sort scores as torch does.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "shared/geometry.h"

namespace s3fd {

// Unsigned integers that rise as the scores fall: NaN first, then from infinity down.
S3FD_HOST_DEVICE inline uint32_t falling_key(float score) {
  if (score != score) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 equals 0
  return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

// The score of a key that is not that of a NaN.
S3FD_HOST_DEVICE inline float score_of_falling_key(uint32_t key) {
  const uint32_t rising = ~key;
  return std::bit_cast<float>(rising & 0x80000000u ? rising & 0x7fffffffu : ~rising);
}

S3FD_HOST_DEVICE inline uint64_t falling_key(double score) {
  if (score != score) return 0;
  const uint64_t bits = std::bit_cast<uint64_t>(score + 0.0);
  return ~(bits >> 63 ? ~bits : bits | uint64_t{1} << 63);
}

// Whether a score can weigh a box: finite, not negative, no NaN.
template <typename T>
S3FD_HOST_DEVICE inline bool is_weight(T score) {
  return score >= 0 && score < T(INFINITY);
}

}  // namespace s3fd
