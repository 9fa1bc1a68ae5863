// Max-out background and its gradient: one thread a pixel, which reads each of its logits once.
//
// Forward: (k + 1) logits in, 2 out: (k + 3) * sizeof(T) bytes a pixel. Backward: k + 1 logits and
// 2 gradients in, k + 1 gradients out: 2 (k + 2) * sizeof(T), rounded up by what is read twice from
// the L1 cache. One launch each; memory bound, k comparisons a pixel are nothing beside that.
// Neighbouring threads take neighbouring pixels of a row, so that whole sectors are read in both
// memory formats: a channel of 32 pixels in NCHW, all channels of 32 pixels in channels_last.
#pragma once

#include "cuda/launch.h"
#include "cuda/pixels.cuh"
#include "tensor.h"

namespace s3fd::cuda {

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
__global__ void max_out_background_kernel(View4<const T> logits, View4<T> output,
                                          PixelNumbers pixels, int64_t size, int64_t backgrounds) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size) return;
  const Pixel pixel = pixels[i];
  const T* in = logits.at(pixel.image, 0, pixel.row, pixel.column);
  T* out = output.at(pixel.image, 0, pixel.row, pixel.column);
  out[0] = Strongest<T>(in, logits.stride[1], backgrounds).logit;
  out[output.stride[1]] = in[backgrounds * logits.stride[1]];
}

template <typename T>
__global__ void max_out_background_backward_kernel(View4<const T> gradient, View4<const T> logits,
                                                   View4<T> of_logits, PixelNumbers pixels,
                                                   int64_t size, int64_t backgrounds) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size) return;
  const Pixel pixel = pixels[i];
  const T* received = gradient.at(pixel.image, 0, pixel.row, pixel.column);
  T* out = of_logits.at(pixel.image, 0, pixel.row, pixel.column);
  const int64_t step = of_logits.stride[1];
  const Strongest<T> strongest(logits.at(pixel.image, 0, pixel.row, pixel.column), logits.stride[1],
                               backgrounds);
  for (int64_t c = 0; c < backgrounds; ++c) {
    out[c * step] = c == strongest.channel ? received[0] : static_cast<T>(0.0f);
  }
  out[backgrounds * step] = received[gradient.stride[1]];
}

}  // namespace s3fd::cuda
