// Boxes to deltas and back, elementwise, and their gradients. All tensors of a call have the same
// shape [B, A, 4] and their own strides: anchors expanded over a batch are not copied.

#include <torch/csrc/stable/library.h>

#include <optional>
#include <vector>

#include "cpu/parallel.h"
#include "geometry.h"
#include "tensor.h"

namespace s3fd::cpu {
namespace {

// Boxes that one task codes at least.
constexpr int64_t kBoxesPerTask = 4096;

using ImageSize = std::optional<std::vector<int64_t>>;

// Four numbers in a row of a tensor [B, A, 4], as a Box or a Delta.
template <typename Row, typename T>
struct RowReader {
  const T* data;
  int64_t batch_stride, row_stride, stride;

  explicit RowReader(const Tensor& tensor)
      : data(static_cast<const T*>(tensor.const_data_ptr())),
        batch_stride(tensor.stride(0)),
        row_stride(tensor.stride(1)),
        stride(tensor.stride(2)) {}

  Row operator()(int64_t batch, int64_t row) const {
    using Compute = compute_t<T>;
    const T* in = data + batch * batch_stride + row * row_stride;
    return {static_cast<Compute>(in[0]), static_cast<Compute>(in[stride]),
            static_cast<Compute>(in[2 * stride]), static_cast<Compute>(in[3 * stride])};
  }
};

template <typename Row, typename T>
void write(const Row& row, T* out) {
  const auto& [first, second, third, fourth] = row;
  out[0] = static_cast<T>(first);
  out[1] = static_cast<T>(second);
  out[2] = static_cast<T>(third);
  out[3] = static_cast<T>(fourth);
}

void check_alike(const Tensor& first, const Tensor& other) {
  STD_TORCH_CHECK(first.dim() == 3 && other.dim() == 3 && first.size(2) == 4 &&
                      other.size(2) == 4 && first.size(0) == other.size(0) &&
                      first.size(1) == other.size(1) && first.scalar_type() == other.scalar_type(),
                  "s3fd: the box code needs tensors [B, A, 4] of one shape and dtype");
}

void check_image_size(const ImageSize& image_size) {
  STD_TORCH_CHECK(!image_size.has_value() || image_size->size() == 2,
                  "s3fd: expected an image size of two integers, height and width");
}

// A new contiguous [B, A, 4] whose row (b, a) is compute(b, a).
template <typename T, typename Compute>
Tensor map_rows(const Tensor& like, const Compute& compute) {
  const int64_t rows = like.size(1);
  const std::array<int64_t, 3> sizes{like.size(0), rows, 4};
  Tensor output = torch::stable::empty({sizes.data(), sizes.size()}, like.scalar_type(),
                                       std::nullopt, like.device());
  T* out = static_cast<T*>(output.mutable_data_ptr());
  parallel_for(0, like.size(0) * rows, kBoxesPerTask, [&](int64_t begin, int64_t end) {
    int64_t batch = begin / rows, row = begin % rows;
    for (int64_t i = begin; i < end; ++i) {
      write(compute(batch, row), out + 4 * i);
      if (++row == rows) {
        row = 0;
        ++batch;
      }
    }
  });
  return output;
}

template <typename T>
Variances<T> make_variances(double centre, double size) {
  return {static_cast<T>(centre), static_cast<T>(size)};
}

Tensor encode_boxes(const Tensor& boxes, const Tensor& anchors, double centre_variance,
                    double size_variance) {
  check_alike(boxes, anchors);
  return dispatch_floating(boxes.scalar_type(), "encode_boxes", [&]<typename T>() {
    using C = compute_t<T>;
    const RowReader<Box<C>, T> box(boxes), anchor(anchors);
    const auto variances = make_variances<C>(centre_variance, size_variance);
    return map_rows<T>(
        boxes, [&](int64_t b, int64_t a) { return encode(box(b, a), anchor(b, a), variances); });
  });
}

Tensor encode_boxes_backward(const Tensor& gradient, const Tensor& boxes, const Tensor& anchors,
                             double centre_variance, double size_variance, bool of_anchors) {
  check_alike(boxes, anchors);
  check_alike(boxes, gradient);
  return dispatch_floating(boxes.scalar_type(), "encode_boxes_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const RowReader<Delta<C>, T> received(gradient);
    const RowReader<Box<C>, T> box(boxes), anchor(anchors);
    const auto variances = make_variances<C>(centre_variance, size_variance);
    return map_rows<T>(boxes, [&](int64_t b, int64_t a) {
      return of_anchors
                 ? encode_gradient_of_anchor(received(b, a), box(b, a), anchor(b, a), variances)
                 : encode_gradient_of_box(received(b, a), box(b, a), anchor(b, a), variances);
    });
  });
}

Tensor decode_boxes(const Tensor& deltas, const Tensor& anchors, double centre_variance,
                    double size_variance, const ImageSize& image_size) {
  check_alike(deltas, anchors);
  check_image_size(image_size);
  return dispatch_floating(deltas.scalar_type(), "decode_boxes", [&]<typename T>() {
    using C = compute_t<T>;
    const RowReader<Delta<C>, T> delta(deltas);
    const RowReader<Box<C>, T> anchor(anchors);
    const auto variances = make_variances<C>(centre_variance, size_variance);
    return map_rows<T>(deltas, [&](int64_t b, int64_t a) {
      const auto box = decode(delta(b, a), anchor(b, a), variances);
      if (!image_size) return box;
      return clip(box, static_cast<C>((*image_size)[1]), static_cast<C>((*image_size)[0]));
    });
  });
}

Tensor decode_boxes_backward(const Tensor& gradient, const Tensor& deltas, const Tensor& anchors,
                             double centre_variance, double size_variance,
                             const ImageSize& image_size, bool of_anchors) {
  check_alike(deltas, anchors);
  check_alike(deltas, gradient);
  check_image_size(image_size);
  return dispatch_floating(deltas.scalar_type(), "decode_boxes_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const RowReader<Delta<C>, T> delta(deltas);
    const RowReader<Box<C>, T> received(gradient), anchor(anchors);
    const auto variances = make_variances<C>(centre_variance, size_variance);
    const auto gradient_of_box = [&](int64_t b, int64_t a) {
      if (!image_size) return received(b, a);
      return clip_gradient(received(b, a), decode(delta(b, a), anchor(b, a), variances),
                           static_cast<C>((*image_size)[1]), static_cast<C>((*image_size)[0]));
    };
    if (of_anchors) {
      return map_rows<T>(deltas, [&](int64_t b, int64_t a) {
        return decode_gradient_of_anchor(gradient_of_box(b, a), delta(b, a), variances);
      });
    }
    return map_rows<T>(deltas, [&](int64_t b, int64_t a) {
      return decode_gradient_of_delta(gradient_of_box(b, a), delta(b, a), anchor(b, a), variances);
    });
  });
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("encode_boxes", TORCH_BOX(&s3fd::cpu::encode_boxes));
  library.impl("encode_boxes_backward", TORCH_BOX(&s3fd::cpu::encode_boxes_backward));
  library.impl("decode_boxes", TORCH_BOX(&s3fd::cpu::decode_boxes));
  library.impl("decode_boxes_backward", TORCH_BOX(&s3fd::cpu::decode_boxes_backward));
}
