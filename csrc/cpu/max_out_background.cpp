// Max-out background (S3FD, section 3.3): the strongest of k background logits stands for them all.

#include <torch/csrc/stable/library.h>

#include <cmath>

#include "cpu/dispatch.h"

namespace s3fd::cpu {
namespace {

// Rows of a map that one task has at least, so that small maps stay on one thread.
constexpr int64_t kPixelsPerTask = 16384;

// An uninitialised [B, channels, H, W] in the memory format of `like`: channels_last if its
// channels are adjacent, contiguous otherwise. The fake kernel follows the same rule.
Tensor empty_in_format_of(const Tensor& like, int64_t channels) {
  const std::array<int64_t, 4> sizes{like.size(0), channels, like.size(2), like.size(3)};
  const auto format = like.stride(1) == 1 ? torch::headeronly::MemoryFormat::ChannelsLast
                                          : torch::headeronly::MemoryFormat::Contiguous;
  return torch::stable::empty({sizes.data(), sizes.size()}, like.scalar_type(), std::nullopt,
                              like.device(), std::nullopt, format);
}

void check_logits(const Tensor& logits) {
  STD_TORCH_CHECK(logits.dim() == 4 && logits.size(1) >= 2,
                  "s3fd::max_out_background: expected logits [B, k + 1, H, W] with k >= 1");
}

// Index of the largest background logit of a pixel: the lowest of equals, and the first NaN before
// any number, as torch.max has it.
template <typename T>
int64_t strongest_background(const T* pixel, int64_t channel_stride, int64_t backgrounds) {
  using Compute = compute_t<T>;
  int64_t best = 0;
  Compute best_logit = static_cast<Compute>(pixel[0]);
  for (int64_t i = 1; i < backgrounds && !std::isnan(best_logit); ++i) {
    const Compute logit = static_cast<Compute>(pixel[i * channel_stride]);
    if (logit > best_logit || std::isnan(logit)) {
      best = i;
      best_logit = logit;
    }
  }
  return best;
}

// Calls visit(image, row, column) for every pixel of `logits`, rows shared out among the threads.
template <typename Visit>
void for_each_pixel(const Tensor& logits, const Visit& visit) {
  const int64_t height = logits.size(2), width = logits.size(3);
  if (logits.numel() == 0) return;
  const int64_t rows_per_task = kPixelsPerTask / width + 1;
  torch::stable::parallel_for(0, logits.size(0) * height, rows_per_task,
                              [&](int64_t begin, int64_t end) {
                                for (int64_t row = begin; row < end; ++row) {
                                  for (int64_t column = 0; column < width; ++column) {
                                    visit(row / height, row % height, column);
                                  }
                                }
                              });
}

Tensor max_out_background(const Tensor& logits) {
  check_logits(logits);
  Tensor output = empty_in_format_of(logits, 2);
  dispatch_floating(logits.scalar_type(), "max_out_background", [&]<typename T>() {
    const auto in = view4<T>(logits);
    const auto out = mutable_view4<T>(output);
    const int64_t backgrounds = logits.size(1) - 1;
    for_each_pixel(logits, [&](int64_t image, int64_t row, int64_t column) {
      const T* pixel = in.at(image, 0, row, column);
      T* result = out.at(image, 0, row, column);
      const int64_t best = strongest_background(pixel, in.stride[1], backgrounds);
      result[0] = pixel[best * in.stride[1]];
      result[out.stride[1]] = pixel[backgrounds * in.stride[1]];
    });
  });
  return output;
}

Tensor max_out_background_backward(const Tensor& gradient, const Tensor& logits) {
  check_logits(logits);
  STD_TORCH_CHECK(gradient.dim() == 4 && gradient.size(0) == logits.size(0) &&
                      gradient.size(1) == 2 && gradient.size(2) == logits.size(2) &&
                      gradient.size(3) == logits.size(3) &&
                      gradient.scalar_type() == logits.scalar_type(),
                  "s3fd::max_out_background_backward: gradient does not fit the logits");
  Tensor logits_gradient = empty_in_format_of(logits, logits.size(1));
  dispatch_floating(logits.scalar_type(), "max_out_background_backward", [&]<typename T>() {
    const auto in = view4<T>(logits);
    const auto grad = view4<T>(gradient);
    const auto out = mutable_view4<T>(logits_gradient);
    const int64_t backgrounds = logits.size(1) - 1;
    for_each_pixel(logits, [&](int64_t image, int64_t row, int64_t column) {
      const T* pixel = in.at(image, 0, row, column);
      const T* received = grad.at(image, 0, row, column);
      T* result = out.at(image, 0, row, column);
      const int64_t best = strongest_background(pixel, in.stride[1], backgrounds);
      for (int64_t i = 0; i < backgrounds; ++i) {
        result[i * out.stride[1]] = i == best ? received[0] : T(0);
      }
      result[backgrounds * out.stride[1]] = received[grad.stride[1]];
    });
  });
  return logits_gradient;
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("max_out_background", TORCH_BOX(&s3fd::cpu::max_out_background));
  library.impl("max_out_background_backward", TORCH_BOX(&s3fd::cpu::max_out_background_backward));
}
