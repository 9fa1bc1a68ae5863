// Operators with a gradient, which s3fd/ops/_registration.py registers. Torch asks Python for it at
// each call, and only to learn that nobody wants one takes as long as a small operator. So beside
// each there is another one, `<name>_forward`: the same kernels without a gradient.
#pragma once

#include <string>

namespace s3fd {

inline constexpr const char* kForward = "_forward";

template <typename Library, typename Kernel>
void implement_differentiable(Library& library, const std::string& name, Kernel kernel) {
  library.impl(name.c_str(), kernel);
  library.impl((name + kForward).c_str(), kernel);
}

}  // namespace s3fd
