// The operators of box coding, as torch calls them, on top of what a device does with a call.
#pragma once

#include <torch/csrc/stable/library.h>

#include "shared/checks/box_coding.h"
#include "shared/geometry.h"
#include "shared/operators/differentiable.h"
#include "shared/tensor.h"

namespace s3fd {

// What all of them are called with. The tensors have to outlive it.
struct CodingCall {
  const Tensor &values, &anchors;  // boxes to encode, or deltas to decode
  double centre_variance, size_variance;
  const ImageSize& image_size;  // what decoded boxes are clipped to

  template <typename C>
  Variances<C> variances() const {
    return Variances<C>::of(centre_variance, size_variance);
  }
};

inline const ImageSize kNoClipping;

template <auto kEncode>
Tensor encode_boxes(const Tensor& boxes, const Tensor& anchors, double centre_variance,
                    double size_variance) {
  check_box_coding("encode_boxes", boxes, anchors);
  return kEncode({boxes, anchors, centre_variance, size_variance, kNoClipping});
}

template <auto kGradient>
Tensor encode_boxes_backward(const Tensor& gradient, const Tensor& boxes, const Tensor& anchors,
                             double centre_variance, double size_variance, bool of_anchors) {
  check_box_coding("encode_boxes_backward", boxes, anchors, gradient);
  return kGradient(gradient, {boxes, anchors, centre_variance, size_variance, kNoClipping},
                   of_anchors);
}

template <auto kDecode>
Tensor decode_boxes(const Tensor& deltas, const Tensor& anchors, double centre_variance,
                    double size_variance, const ImageSize& image_size) {
  check_box_coding("decode_boxes", deltas, anchors);
  check_image_size("decode_boxes", image_size);
  return kDecode({deltas, anchors, centre_variance, size_variance, image_size});
}

template <auto kGradient>
Tensor decode_boxes_backward(const Tensor& gradient, const Tensor& deltas, const Tensor& anchors,
                             double centre_variance, double size_variance,
                             const ImageSize& image_size, bool of_anchors) {
  check_box_coding("decode_boxes_backward", deltas, anchors, gradient);
  check_image_size("decode_boxes_backward", image_size);
  return kGradient(gradient, {deltas, anchors, centre_variance, size_variance, image_size},
                   of_anchors);
}

// kEncode and kDecode take a call; the gradients also what is received, and whose they are.
template <auto kEncode, auto kEncodeGradient, auto kDecode, auto kDecodeGradient, typename Library>
void register_box_coding(Library& library) {
  implement_differentiable(library, "encode_boxes", TORCH_BOX((&encode_boxes<kEncode>)));
  library.impl("encode_boxes_backward", TORCH_BOX((&encode_boxes_backward<kEncodeGradient>)));
  implement_differentiable(library, "decode_boxes", TORCH_BOX((&decode_boxes<kDecode>)));
  library.impl("decode_boxes_backward", TORCH_BOX((&decode_boxes_backward<kDecodeGradient>)));
}

}  // namespace s3fd
