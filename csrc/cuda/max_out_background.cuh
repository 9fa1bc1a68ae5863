// Max-out background and its gradient: one thread a pixel, which reads each of its logits once.
//
// Forward: (k + 1) logits in, 2 out: (k + 3) * sizeof(T) bytes a pixel. Backward: k + 1 logits and
// 2 gradients in, k + 1 gradients out: 2 (k + 2) * sizeof(T), rounded up by what is read twice from
// the L1 cache. One launch each; memory bound, k comparisons a pixel are nothing beside that.
// Neighbouring threads take neighbouring pixels of a row, so that whole sectors are read in both
// memory formats: a channel of 32 pixels in NCHW, all channels of 32 pixels in channels_last.
#pragma once

#include "cuda/primitives/launch.h"
#include "shared/tensor.h"

namespace s3fd::cuda {

constexpr int kMaxOutThreads = 256;

// The pixels that a thread takes: one of each image of a map [B, C, H, W] whose blocks are
// blockIdx.y. Numbers within an image have 32 bits, which divide quickly; offsets have 64.
struct Pixels {
  unsigned per_image, columns;
  int64_t images;

  // Calls visit(image, row, column).
  template <typename Visit>
  __device__ void for_each_of_thread(const Visit& visit) const {
    const unsigned i = blockIdx.x * kMaxOutThreads + threadIdx.x;
    if (i >= per_image) return;
    const unsigned row = i / columns, column = i % columns;
    for (int64_t image = blockIdx.y; image < images; image += gridDim.y) visit(image, row, column);
  }
};

// The largest of the background logits of a pixel: of equal ones the first, and the first NaN
// before any number, as torch.max has it.
template <typename T>
struct Strongest {
  T logit;
  int64_t channel;

  __device__ Strongest(const T* logits, int64_t step, int64_t backgrounds)
      : logit(logits[0]), channel(0) {
    using Compute = compute_t<T>;
    Compute best = static_cast<Compute>(logit);
    for (int64_t c = 1; c < backgrounds; ++c) {
      const T other = logits[c * step];
      const Compute value = static_cast<Compute>(other);
      if (value > best || (value != value && best == best)) {
        best = value;
        logit = other;
        channel = c;
      }
    }
  }
};

template <typename T>
__global__ void __launch_bounds__(kMaxOutThreads)
    max_out_background_kernel(View4<const T> logits, View4<T> output, Pixels pixels,
                              int64_t backgrounds) {
  pixels.for_each_of_thread([&](int64_t image, int64_t row, int64_t column) {
    const T* in = logits.at(image, 0, row, column);
    T* out = output.at(image, 0, row, column);
    out[0] = Strongest<T>(in, logits.stride[1], backgrounds).logit;
    out[output.stride[1]] = in[backgrounds * logits.stride[1]];
  });
}

template <typename T>
__global__ void __launch_bounds__(kMaxOutThreads)
    max_out_background_backward_kernel(View4<const T> gradient, View4<const T> logits,
                                       View4<T> of_logits, Pixels pixels, int64_t backgrounds) {
  pixels.for_each_of_thread([&](int64_t image, int64_t row, int64_t column) {
    const T* received = gradient.at(image, 0, row, column);
    T* out = of_logits.at(image, 0, row, column);
    const Strongest<T> strongest(logits.at(image, 0, row, column), logits.stride[1], backgrounds);
    const T of_background = received[0];
    for (int64_t c = 0; c < backgrounds; ++c, out += of_logits.stride[1]) {
      *out = c == strongest.channel ? of_background : static_cast<T>(0.0f);
    }
    *out = received[gradient.stride[1]];
  });
}

}  // namespace s3fd::cuda
