// Boxes to deltas and back, and their gradients: one thread a row.
//
// Rows of 4 * sizeof(T) bytes: 2 in and 1 out forward, 3 in and 1 out backward (2 in for the anchor
// gradient of a decoding without clipping). One launch each, memory bound: a row has 4 divisions
// and 2 logarithms or exponentials for at least 24 bytes. Rows that lie side by side are read as
// one vector, so that a warp takes whole sectors; anchors that are expanded over a batch come from
// the L2 cache after the first image.
#pragma once

#include "cuda/primitives/divide.h"
#include "cuda/primitives/rows.cuh"
#include "shared/geometry.h"

namespace s3fd::cuda {

constexpr int kCodingThreads = 256;

template <typename T>
using BoxRows = RowView<Box<compute_t<T>>, T>;
template <typename T>
using DeltaRows = RowView<Delta<compute_t<T>>, T>;

template <typename T>
struct Encode {
  BoxRows<T> boxes, anchors;
  Variances<compute_t<T>> variances;

  __device__ auto operator()(int64_t b, int64_t a) const {
    return encode(boxes(b, a), anchors(b, a), variances);
  }
};

template <typename T, bool kOfAnchor>
struct EncodeGradient {
  DeltaRows<T> gradient;
  BoxRows<T> boxes, anchors;
  Variances<compute_t<T>> variances;

  __device__ auto operator()(int64_t b, int64_t a) const {
    if constexpr (kOfAnchor) {
      return encode_gradient_of_anchor(gradient(b, a), boxes(b, a), anchors(b, a), variances);
    } else {
      return encode_gradient_of_box(gradient(b, a), boxes(b, a), anchors(b, a), variances);
    }
  }
};

// What boxes are clipped to, if they are.
template <typename C>
struct Image {
  C width, height;
  bool clips;
};

template <typename T>
struct Decode {
  DeltaRows<T> deltas;
  BoxRows<T> anchors;
  Variances<compute_t<T>> variances;
  Image<compute_t<T>> image;

  __device__ auto operator()(int64_t b, int64_t a) const {
    const auto box = decode(deltas(b, a), anchors(b, a), variances);
    return image.clips ? clip(box, image.width, image.height) : box;
  }

  // The gradient of the boxes before they were clipped.
  __device__ auto unclipped(const BoxRows<T>& gradient, int64_t b, int64_t a) const {
    const auto received = gradient(b, a);
    if (!image.clips) return received;
    return clip_gradient(received, decode(deltas(b, a), anchors(b, a), variances), image.width,
                         image.height);
  }
};

template <typename T, bool kOfAnchor>
struct DecodeGradient {
  BoxRows<T> gradient;
  Decode<T> forward;

  __device__ auto operator()(int64_t b, int64_t a) const {
    const auto of_box = forward.unclipped(gradient, b, a);
    const auto delta = forward.deltas(b, a);
    if constexpr (kOfAnchor) {
      return decode_gradient_of_anchor(of_box, delta, forward.variances);
    } else {
      return decode_gradient_of_delta(of_box, delta, forward.anchors(b, a), forward.variances);
    }
  }
};

// Row (b, a) of a contiguous output [B, rows, 4] is compute(b, a).
template <typename T, typename Compute>
__global__ void __launch_bounds__(kCodingThreads)
    map_rows_kernel(Compute compute, T* output, int64_t rows, int64_t size) {
  const int64_t i = int64_t{blockIdx.x} * kCodingThreads + threadIdx.x;
  if (i >= size) return;
  const int64_t batch = divide(i, rows);
  write_row(output, i, compute(batch, i - batch * rows));
}

}  // namespace s3fd::cuda
