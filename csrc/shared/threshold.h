// IoU thresholds. They are compared as doubles; a T that compares alike spares the kernels that.
#pragma once

#include <cmath>
#include <limits>

namespace s3fd {

// The largest T that is not above the threshold: an IoU in T exceeds either or neither.
template <typename T>
T largest_not_above(double threshold) {
  const T rounded = static_cast<T>(threshold);
  const bool is_above = static_cast<double>(rounded) > threshold;
  return is_above ? std::nextafter(rounded, -std::numeric_limits<T>::infinity()) : rounded;
}

// The smallest T that is not below the threshold: an IoU in T reaches either or neither.
template <typename T>
T smallest_not_below(double threshold) {
  return -largest_not_above<T>(-threshold);
}

// The largest T below the threshold: an IoU in T reaches the threshold if it exceeds this.
template <typename T>
T largest_below(double threshold) {
  const T rounded = largest_not_above<T>(threshold);
  const bool is_below = static_cast<double>(rounded) < threshold;
  return is_below ? rounded : std::nextafter(rounded, -std::numeric_limits<T>::infinity());
}

}  // namespace s3fd
