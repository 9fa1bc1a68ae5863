#include "cuda/box_coding.cuh"

#include "cuda/primitives/host.h"
#include "shared/operators/box_coding.h"

namespace s3fd::cuda {
namespace {

template <typename C>
Image<C> make_image(const ImageSize& size) {
  if (!size.has_value()) return {0, 0, false};
  return {static_cast<C>((*size)[1]), static_cast<C>((*size)[0]), true};
}

// A new contiguous tensor like the one given, [B, A, 4], whose row (b, a) is compute(b, a).
template <typename T, typename Compute>
Tensor map_rows(const Tensor& like, const Compute& compute) {
  const OnDeviceOf device(like);
  const int64_t rows = like.size(1), size = like.size(0) * rows;
  Tensor output = empty({like.size(0), rows, 4}, like.scalar_type(), like);
  launch(map_rows_kernel<T, Compute>, blocks_for(size, kCodingThreads), kCodingThreads, 0,
         device.stream(), compute, mutable_data<T>(output), rows, size);
  return output;
}

Tensor encoded(const CodingCall& call) {
  return dispatch_floating(call.values.scalar_type(), "encode_boxes", [&]<typename T>() {
    return map_rows<T>(call.values, Encode<T>{BoxRows<T>(call.values), BoxRows<T>(call.anchors),
                                              call.variances<compute_t<T>>()});
  });
}

Tensor gradient_of_encoded(const Tensor& gradient, const CodingCall& call, bool of_anchors) {
  return dispatch_floating(gradient.scalar_type(), "encode_boxes_backward", [&]<typename T>() {
    const DeltaRows<T> received(gradient);
    const BoxRows<T> boxes(call.values), anchors(call.anchors);
    const auto variances = call.variances<compute_t<T>>();
    if (of_anchors) {
      return map_rows<T>(call.values, EncodeGradient<T, true>{received, boxes, anchors, variances});
    }
    return map_rows<T>(call.values, EncodeGradient<T, false>{received, boxes, anchors, variances});
  });
}

template <typename T>
Decode<T> make_decode(const CodingCall& call) {
  using C = compute_t<T>;
  return {DeltaRows<T>(call.values), BoxRows<T>(call.anchors), call.variances<C>(),
          make_image<C>(call.image_size)};
}

Tensor decoded(const CodingCall& call) {
  return dispatch_floating(call.values.scalar_type(), "decode_boxes", [&]<typename T>() {
    return map_rows<T>(call.values, make_decode<T>(call));
  });
}

Tensor gradient_of_decoded(const Tensor& gradient, const CodingCall& call, bool of_anchors) {
  return dispatch_floating(gradient.scalar_type(), "decode_boxes_backward", [&]<typename T>() {
    const BoxRows<T> received(gradient);
    const auto forward = make_decode<T>(call);
    if (of_anchors) return map_rows<T>(call.values, DecodeGradient<T, true>{received, forward});
    return map_rows<T>(call.values, DecodeGradient<T, false>{received, forward});
  });
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  using namespace s3fd::cuda;
  s3fd::register_box_coding<encoded, gradient_of_encoded, decoded, gradient_of_decoded>(library);
}
