// The operators of the multi-box loss, as torch calls them, on top of what a device does with a
// call.
#pragma once

#include <torch/csrc/stable/library.h>

#include <cstdint>
#include <tuple>

#include "shared/checks/multibox_loss.h"
#include "shared/operators/differentiable.h"
#include "shared/tensor.h"

namespace s3fd {

// What the loss and its gradient are both called with, checked. The tensors have to outlive it.
struct LossCall {
  const Tensor &logits, &deltas, &anchors, &boxes;
  const Splits& splits;
  const Tensor& matched;
  double centre_variance, size_variance;

  LossCall(const Tensor& logits, const Tensor& deltas, const Tensor& anchors, const Tensor& boxes,
           const Splits& splits, const Tensor& matched, double centre_variance,
           double size_variance)
      : logits(logits),
        deltas(deltas),
        anchors(anchors),
        boxes(boxes),
        splits(splits),
        matched(matched),
        centre_variance(centre_variance),
        size_variance(size_variance) {
    check_multibox_loss(logits, deltas, anchors, boxes, splits, matched);
  }
};

// The gradients of both losses, and what else the loss returned.
struct LossResults {
  const Tensor &class_gradient, &box_gradient, &kept, &counts;
};

template <auto kLoss>
std::tuple<Tensor, Tensor, Tensor, Tensor> multibox_loss(
    const Tensor& logits, const Tensor& deltas, const Tensor& anchors, const Tensor& boxes,
    const Splits& splits, const Tensor& matched, double negative_ratio, double centre_variance,
    double size_variance) {
  check_negative_ratio(negative_ratio);
  return kLoss({logits, deltas, anchors, boxes, splits, matched, centre_variance, size_variance},
               negative_ratio);
}

template <auto kGradient>
std::tuple<Tensor, Tensor> multibox_loss_backward(const Tensor& class_gradient,
                                                  const Tensor& box_gradient, const Tensor& logits,
                                                  const Tensor& deltas, const Tensor& anchors,
                                                  const Tensor& boxes, const Splits& splits,
                                                  const Tensor& matched, const Tensor& kept,
                                                  const Tensor& counts, double centre_variance,
                                                  double size_variance) {
  const LossCall call(logits, deltas, anchors, boxes, splits, matched, centre_variance,
                      size_variance);
  check_multibox_loss_results(class_gradient, box_gradient, logits, kept, counts);
  return kGradient(call, {class_gradient, box_gradient, kept, counts});
}

template <auto kLoss, auto kGradient, typename Library>
void register_multibox_loss(Library& library) {
  implement_differentiable(library, "multibox_loss", TORCH_BOX((&multibox_loss<kLoss>)));
  library.impl("multibox_loss_backward", TORCH_BOX((&multibox_loss_backward<kGradient>)));
}

}  // namespace s3fd
