#include "cuda/box_coding.cuh"

#include "cuda/primitives/host.h"
#include "shared/checks/box_coding.h"

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

Tensor encode_boxes(const Tensor& boxes, const Tensor& anchors, double centre_variance,
                    double size_variance) {
  check_box_coding("encode_boxes", boxes, anchors);
  return dispatch_floating(boxes.scalar_type(), "encode_boxes", [&]<typename T>() {
    const auto variances = Variances<compute_t<T>>::of(centre_variance, size_variance);
    return map_rows<T>(boxes, Encode<T>{BoxRows<T>(boxes), BoxRows<T>(anchors), variances});
  });
}

Tensor encode_boxes_backward(const Tensor& gradient, const Tensor& boxes, const Tensor& anchors,
                             double centre_variance, double size_variance, bool of_anchors) {
  check_box_coding("encode_boxes_backward", boxes, anchors, gradient);
  return dispatch_floating(boxes.scalar_type(), "encode_boxes_backward", [&]<typename T>() {
    const DeltaRows<T> received(gradient);
    const BoxRows<T> box_rows(boxes), anchor_rows(anchors);
    const auto variances = Variances<compute_t<T>>::of(centre_variance, size_variance);
    if (of_anchors) {
      return map_rows<T>(boxes,
                         EncodeGradientOfAnchor<T>{received, box_rows, anchor_rows, variances});
    }
    return map_rows<T>(boxes, EncodeGradientOfBox<T>{received, box_rows, anchor_rows, variances});
  });
}

template <typename T>
Decode<T> make_decode(const Tensor& deltas, const Tensor& anchors, double centre_variance,
                      double size_variance, const ImageSize& image_size) {
  using C = compute_t<T>;
  return {DeltaRows<T>(deltas), BoxRows<T>(anchors),
          Variances<C>::of(centre_variance, size_variance), make_image<C>(image_size)};
}

Tensor decode_boxes(const Tensor& deltas, const Tensor& anchors, double centre_variance,
                    double size_variance, const ImageSize& image_size) {
  check_box_coding("decode_boxes", deltas, anchors);
  check_image_size("decode_boxes", image_size);
  return dispatch_floating(deltas.scalar_type(), "decode_boxes", [&]<typename T>() {
    return map_rows<T>(deltas,
                       make_decode<T>(deltas, anchors, centre_variance, size_variance, image_size));
  });
}

Tensor decode_boxes_backward(const Tensor& gradient, const Tensor& deltas, const Tensor& anchors,
                             double centre_variance, double size_variance,
                             const ImageSize& image_size, bool of_anchors) {
  check_box_coding("decode_boxes_backward", deltas, anchors, gradient);
  check_image_size("decode_boxes_backward", image_size);
  return dispatch_floating(deltas.scalar_type(), "decode_boxes_backward", [&]<typename T>() {
    const BoxRows<T> received(gradient);
    const auto forward =
        make_decode<T>(deltas, anchors, centre_variance, size_variance, image_size);
    if (of_anchors) return map_rows<T>(deltas, DecodeGradientOfAnchor<T>{received, forward});
    return map_rows<T>(deltas, DecodeGradientOfDelta<T>{received, forward});
  });
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  library.impl("encode_boxes", TORCH_BOX(&s3fd::cuda::encode_boxes));
  library.impl("encode_boxes_backward", TORCH_BOX(&s3fd::cuda::encode_boxes_backward));
  library.impl("decode_boxes", TORCH_BOX(&s3fd::cuda::decode_boxes));
  library.impl("decode_boxes_backward", TORCH_BOX(&s3fd::cuda::decode_boxes_backward));
}
