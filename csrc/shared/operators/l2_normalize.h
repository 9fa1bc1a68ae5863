// The operators of the scaled norm, as torch calls them, on top of what a device does.
#pragma once

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "shared/checks/l2_normalize.h"
#include "shared/operators/differentiable.h"
#include "shared/tensor.h"

namespace s3fd {

template <auto kNormalize>
Tensor l2_normalize(const Tensor& features, const Tensor& weight) {
  check_l2_normalize(features, weight);
  return kNormalize(features, weight);
}

template <auto kGradients>
std::tuple<Tensor, Tensor> l2_normalize_backward(const Tensor& gradient, const Tensor& features,
                                                 const Tensor& weight) {
  check_l2_normalize_backward(gradient, features, weight);
  return kGradients(gradient, features, weight);
}

template <auto kNormalize, auto kGradients, typename Library>
void register_l2_normalize(Library& library) {
  implement_differentiable(library, "l2_normalize", TORCH_BOX((&l2_normalize<kNormalize>)));
  library.impl("l2_normalize_backward", TORCH_BOX((&l2_normalize_backward<kGradients>)));
}

}  // namespace s3fd
