// Strides between neighbouring elements, as constants where they have a usual value.
#pragma once

#include <cstdint>
#include <type_traits>

namespace s3fd::cpu {

// Calls function(step) with a step that compilers vectorise if they know it, if it is one.
template <typename Function>
void with_known_step(int64_t step, const Function& function) {
  switch (step) {
    case 1:
      return function(std::integral_constant<int64_t, 1>{});
    case 2:
      return function(std::integral_constant<int64_t, 2>{});
    case 4:
      return function(std::integral_constant<int64_t, 4>{});
    default:
      return function(step);
  }
}

}  // namespace s3fd::cpu
