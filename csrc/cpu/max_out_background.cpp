// Max-out background (S3FD, section 3.3): the strongest of k background logits stands for them all.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <type_traits>

#include "cpu/known_step.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"
#include "shared/checks/max_out_background.h"
#include "shared/operators/differentiable.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

constexpr int64_t kPixels = 256;        // that are looked at together
constexpr int64_t kBlocksPerTask = 64;  // so that small maps stay on one thread

// The same pixels of every channel: channel c of pixel i is data[c * channel + i * step], and the
// step is a constant where the compiler knows it.
template <typename T, typename Step>
struct Pixels {
  T* data;
  int64_t channel;
  Step step;

  T& at(int64_t c, int64_t i) const { return data[c * channel + i * step]; }
};

// The largest background logit of some pixels, and its channel: the lowest of equals, and the first
// NaN before any number, as torch.max has it.
template <typename T>
struct Strongest {
  using Compute = compute_t<T>;
  // As wide as Compute, so that both fill vector registers alike.
  using Index = std::conditional_t<std::is_same_v<Compute, double>, int64_t, int32_t>;

  Compute logit[kPixels];
  Index channel[kPixels];

  template <typename Step>
  Strongest(const Pixels<const T, Step>& in, int64_t backgrounds, int64_t size) {
    for (int64_t i = 0; i < size; ++i) {
      logit[i] = static_cast<Compute>(in.at(0, i));
      channel[i] = 0;
    }
    for (int64_t c = 1; c < backgrounds; ++c) {
      for (int64_t i = 0; i < size; ++i) {
        const Compute other = static_cast<Compute>(in.at(c, i)), best = logit[i];
        const bool stronger = (other > best) | ((other != other) & (best == best));
        logit[i] = stronger ? other : best;
        channel[i] = stronger ? static_cast<Index>(c) : channel[i];
      }
    }
  }
};

template <typename T, typename Step, typename OutStep>
void take_strongest(const Pixels<const T, Step>& in, const Pixels<T, OutStep>& out,
                    int64_t backgrounds, int64_t size) {
  const Strongest<T> strongest(in, backgrounds, size);
  for (int64_t i = 0; i < size; ++i) out.at(0, i) = static_cast<T>(strongest.logit[i]);
  for (int64_t i = 0; i < size; ++i) out.at(1, i) = in.at(backgrounds, i);
}

template <typename T, typename Step, typename GivenStep, typename OutStep>
void give_to_strongest(const Pixels<const T, Step>& in, const Pixels<const T, GivenStep>& given,
                       const Pixels<T, OutStep>& out, int64_t backgrounds, int64_t size) {
  const Strongest<T> strongest(in, backgrounds, size);
  T received[kPixels];
  for (int64_t i = 0; i < size; ++i) received[i] = given.at(0, i);
  for (int64_t c = 0; c < backgrounds; ++c) {
    const auto channel = static_cast<typename Strongest<T>::Index>(c);
    for (int64_t i = 0; i < size; ++i) {
      out.at(c, i) = strongest.channel[i] == channel ? received[i] : T(0);
    }
  }
  for (int64_t i = 0; i < size; ++i) received[i] = given.at(1, i);
  for (int64_t i = 0; i < size; ++i) out.at(backgrounds, i) = received[i];
}

// Calls visit(image, row, column, size) for all pixels, a few at a time; these are shared out among
// the threads. Where the maps have no gap between rows all pixels are in row 0.
template <typename Visit>
void for_each_block(const Tensor& map, bool joined, const Visit& visit) {
  if (map.numel() == 0) return;
  const int64_t rows = joined ? 1 : map.size(2);
  const int64_t columns = joined ? map.size(2) * map.size(3) : map.size(3);
  const int64_t blocks = (columns + kPixels - 1) / kPixels;
  parallel_for(0, map.size(0) * rows * blocks, kBlocksPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t line = i / blocks, column = i % blocks * kPixels;
      visit(line / rows, line % rows, column, std::min(kPixels, columns - column));
    }
  });
}

template <typename T, typename Step>
Pixels<T, Step> pixels(const View4<T>& view, int64_t image, int64_t row, int64_t column,
                       Step step) {
  return {view.at(image, 0, row, column), view.stride[1], step};
}

Tensor max_out_background(const Tensor& logits) {
  check_max_out_background(logits);
  Tensor output = empty_in_format_of(logits, 2);
  const bool joined = has_long_rows(logits) && has_long_rows(output);
  const int64_t backgrounds = logits.size(1) - 1;
  dispatch_floating(logits.scalar_type(), "max_out_background", [&]<typename T>() {
    const auto in = view4<T>(logits);
    const auto out = mutable_view4<T>(output);
    with_known_step(in.stride[3], [&](auto step) {
      with_known_step(out.stride[3], [&](auto out_step) {
        const auto visit = [&](int64_t image, int64_t row, int64_t column, int64_t size) {
          const auto from = pixels(in, image, row, column, step);
          const auto to = pixels(out, image, row, column, out_step);
          vectorized([&] { take_strongest(from, to, backgrounds, size); });
        };
        for_each_block(logits, joined, visit);
      });
    });
  });
  return output;
}

Tensor max_out_background_backward(const Tensor& gradient, const Tensor& logits) {
  check_max_out_background_backward(gradient, logits);
  Tensor of_logits = empty_in_format_of(logits, logits.size(1));
  const bool joined = has_long_rows(logits) && has_long_rows(of_logits) && has_long_rows(gradient);
  const int64_t backgrounds = logits.size(1) - 1;
  dispatch_floating(logits.scalar_type(), "max_out_background_backward", [&]<typename T>() {
    const auto in = view4<T>(logits), given = view4<T>(gradient);
    const auto out = mutable_view4<T>(of_logits);
    const auto run = [&](auto step, auto given_step, auto out_step) {
      const auto visit = [&](int64_t image, int64_t row, int64_t column, int64_t size) {
        const auto from = pixels(in, image, row, column, step);
        const auto received = pixels(given, image, row, column, given_step);
        const auto to = pixels(out, image, row, column, out_step);
        vectorized([&] { give_to_strongest(from, received, to, backgrounds, size); });
      };
      for_each_block(logits, joined, visit);
    };
    if (in.stride[3] == out.stride[3]) {
      with_known_step(in.stride[3], [&](auto step) {
        with_known_step(given.stride[3], [&](auto given_step) { run(step, given_step, step); });
      });
    } else {
      run(in.stride[3], given.stride[3], out.stride[3]);
    }
  });
  return of_logits;
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  s3fd::implement_differentiable(library, "max_out_background",
                                 TORCH_BOX(&s3fd::cpu::max_out_background));
  library.impl("max_out_background_backward", TORCH_BOX(&s3fd::cpu::max_out_background_backward));
}
