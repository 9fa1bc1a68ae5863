// Max-out background (S3FD, section 3.3): the strongest of k background logits stands for them all.

#include <torch/csrc/stable/library.h>

#include <type_traits>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"

namespace s3fd::cpu {
namespace {

// Pixels that one task has at least, so that small maps stay on one thread.
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

// The largest background logit of each pixel of a row, and its channel: the lowest of equals, and
// the first NaN before any number, as torch.max has it.
template <typename T>
class StrongestBackground {
 public:
  explicit StrongestBackground(int64_t width)
      : logits_(static_cast<size_t>(width)), channels_(static_cast<size_t>(width)) {}

  // channel(i) is the row of background i; column_stride is constant where the compiler knows it.
  template <typename Channel, typename Stride>
  void find(int64_t backgrounds, const Channel& channel, Stride column_stride) {
    const T* first = channel(0);
    for (size_t x = 0; x < logits_.size(); ++x) {
      logits_[x] = static_cast<Compute>(first[static_cast<int64_t>(x) * column_stride]);
      channels_[x] = 0;
    }
    for (int64_t i = 1; i < backgrounds; ++i) {
      const T* row = channel(i);
      for (size_t x = 0; x < logits_.size(); ++x) {
        const Compute logit = static_cast<Compute>(row[static_cast<int64_t>(x) * column_stride]);
        const Compute best = logits_[x];
        const bool stronger = (logit > best) | ((logit != logit) & (best == best));
        logits_[x] = stronger ? logit : best;
        channels_[x] = stronger ? static_cast<Index>(i) : channels_[x];
      }
    }
  }

  T logit(int64_t column) const { return static_cast<T>(logits_[static_cast<size_t>(column)]); }
  bool is_at(int64_t column, int64_t channel) const {
    return channels_[static_cast<size_t>(column)] == static_cast<Index>(channel);
  }

 private:
  using Compute = compute_t<T>;
  // As wide as Compute, so that both fill vector registers alike.
  using Index = std::conditional_t<std::is_same_v<Compute, double>, int64_t, int32_t>;

  std::vector<Compute> logits_;
  std::vector<Index> channels_;
};

// Calls visit(image, row, strongest) for every row of a map; rows are shared out among the
// threads.
template <typename T, typename Visit>
void for_each_row(const Tensor& logits, const View4<const T>& in, const Visit& visit) {
  const int64_t height = logits.size(2), width = logits.size(3);
  if (logits.numel() == 0) return;
  parallel_for(0, logits.size(0) * height, kPixelsPerTask / width + 1,
               [&](int64_t begin, int64_t end) {
                 StrongestBackground<T> strongest(width);
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t image = i / height, row = i % height;
                   const auto channel = [&](int64_t c) { return in.at(image, c, row, 0); };
                   const int64_t backgrounds = logits.size(1) - 1;
                   if (in.stride[3] == 1) {
                     strongest.find(backgrounds, channel, std::integral_constant<int64_t, 1>{});
                   } else {
                     strongest.find(backgrounds, channel, in.stride[3]);
                   }
                   visit(image, row, strongest);
                 }
               });
}

Tensor max_out_background(const Tensor& logits) {
  check_logits(logits);
  Tensor output = empty_in_format_of(logits, 2);
  dispatch_floating(logits.scalar_type(), "max_out_background", [&]<typename T>() {
    const auto in = view4<T>(logits);
    const auto out = mutable_view4<T>(output);
    const int64_t width = logits.size(3), face = logits.size(1) - 1;
    for_each_row(logits, in, [&](int64_t image, int64_t row, const auto& strongest) {
      T* background = out.at(image, 0, row, 0);
      for (int64_t x = 0; x < width; ++x) background[x * out.stride[3]] = strongest.logit(x);
      const T* face_in = in.at(image, face, row, 0);
      T* face_out = out.at(image, 1, row, 0);
      for (int64_t x = 0; x < width; ++x) face_out[x * out.stride[3]] = face_in[x * in.stride[3]];
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
    const auto received = view4<T>(gradient);
    const auto out = mutable_view4<T>(logits_gradient);
    const int64_t width = logits.size(3), face = logits.size(1) - 1;
    for_each_row(logits, in, [&](int64_t image, int64_t row, const auto& strongest) {
      const T* of_background = received.at(image, 0, row, 0);
      for (int64_t channel = 0; channel < face; ++channel) {
        T* result = out.at(image, channel, row, 0);
        for (int64_t x = 0; x < width; ++x) {
          result[x * out.stride[3]] =
              strongest.is_at(x, channel) ? of_background[x * received.stride[3]] : T(0);
        }
      }
      const T* of_face = received.at(image, 1, row, 0);
      T* result = out.at(image, face, row, 0);
      for (int64_t x = 0; x < width; ++x) {
        result[x * out.stride[3]] = of_face[x * received.stride[3]];
      }
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
