// What the kernels of the multi-box loss read, each tensor through its strides.
#pragma once

#include <cstdint>

#include "cuda/primitives/launch.h"
#include "cuda/primitives/packed.cuh"
#include "shared/geometry.h"
#include "shared/tensor.h"

namespace s3fd::cuda {

// A tensor [B, A] or [B, A, C], read through its strides.
template <typename T>
struct BatchRows {
  const T* data;
  int64_t image, row, column;  // strides

  __device__ const T* at(int64_t i, int64_t a) const { return data + i * image + a * row; }
};

template <typename C>
struct LogitPair {
  C background, face;
};

template <typename T>
struct LogitRows {
  BatchRows<T> rows;
  bool packed;  // both logits of an anchor are read as one

  __device__ LogitPair<compute_t<T>> at(int64_t i, int64_t a) const {
    using C = compute_t<T>;
    const T* values = rows.at(i, a);
    if (packed) {
      const auto pair = read_packed<2>(values);
      return {static_cast<C>(pair.values[0]), static_cast<C>(pair.values[1])};
    }
    return {static_cast<C>(values[0]), static_cast<C>(values[rows.column])};
  }
};

// The tensors beside logits and matches, which only positives need.
template <typename U>
struct LossTargets {
  using C = compute_t<U>;

  BatchRows<U> deltas;
  bool packed;  // the four deltas of an anchor are read as one
  const C* anchors;
  int64_t anchor_row, anchor_column;  // strides
  const Box<C>* boxes;
  Variances<C> variances;

  // What was predicted for a positive, minus the encoded box of a row.
  __device__ Delta<C> error(int64_t image, int64_t a, int64_t row) const {
    const C* corner = anchors + a * anchor_row;
    const Box<C> anchor{corner[0], corner[anchor_column], corner[2 * anchor_column],
                        corner[3 * anchor_column]};
    const Delta<C> wanted = encode(boxes[row], anchor, variances);
    const Delta<C> predicted = delta(deltas.at(image, a));
    return {predicted.dx - wanted.dx, predicted.dy - wanted.dy, predicted.dw - wanted.dw,
            predicted.dh - wanted.dh};
  }

 private:
  __device__ Delta<C> delta(const U* values) const {
    if (packed) {
      const auto four = read_packed<4>(values);
      return {static_cast<C>(four.values[0]), static_cast<C>(four.values[1]),
              static_cast<C>(four.values[2]), static_cast<C>(four.values[3])};
    }
    return {static_cast<C>(values[0]), static_cast<C>(values[deltas.column]),
            static_cast<C>(values[2 * deltas.column]), static_cast<C>(values[3 * deltas.column])};
  }
};

}  // namespace s3fd::cuda
