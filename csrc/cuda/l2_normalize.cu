#include "cuda/l2_normalize.cuh"

#include <algorithm>
#include <initializer_list>
#include <tuple>

#include "cuda/primitives/host.h"
#include "shared/operators/l2_normalize.h"

namespace s3fd::cuda {
namespace {

// Rows of sums that a backward leaves at most: enough blocks for any card, and few to add up.
constexpr int64_t kMostRows = 1024;

template <typename T>
ChannelWeights<compute_t<T>> channel_weights(const Tensor& weight) {
  return {data<compute_t<T>>(weight), weight.stride(0)};
}

PixelNumbers pixel_numbers(const Tensor& map) { return {map.size(2), map.size(3)}; }

int64_t num_pixels(const Tensor& map) { return map.size(0) * map.size(2) * map.size(3); }

int num_channels(const Tensor& map) {
  STD_TORCH_CHECK(map.size(1) < int64_t{1} << 31,
                  "s3fd::l2_normalize: expected less than 2^31 channels");
  return static_cast<int>(map.size(1));
}

bool have_adjacent_channels(std::initializer_list<const Tensor*> maps) {
  return std::all_of(maps.begin(), maps.end(),
                     [](const Tensor* map) { return map->stride(1) == 1; });
}

// function.template operator()<kSize>(), with how many channels are read at a time.
template <typename T, typename Function>
void dispatch_packing(std::initializer_list<const Tensor*> maps, const Tensor& weight,
                      Function&& function) {
  constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  const bool fits = can_be_packed(weight, 0, kSize) &&
                    std::all_of(maps.begin(), maps.end(),
                                [](const Tensor* map) { return can_be_packed(*map, 1, kSize); });
  if (fits) {
    function.template operator()<kSize>();
  } else {
    function.template operator()<1>();
  }
}

// A block that takes pixels: as few rows as hold all channels, within bounds.
dim3 pixels_block(int pixels, int channels, int held, int most_rows) {
  int rows = 8;
  while (rows < most_rows && rows * held < channels) rows *= 2;
  return dim3(static_cast<unsigned>(pixels), static_cast<unsigned>(rows));
}

// Warps of a block that takes whole pixels and has a sum a warp and channel; 0 if there is no room.
template <typename C>
int64_t channel_warps(int channels) {
  constexpr int64_t kShared = 48 * 1024;
  return std::min<int64_t>(kMostChannelWarps, kShared / (channels * int64_t{sizeof(C)}));
}

Tensor normalized(const Tensor& features, const Tensor& weight) {
  const OnDeviceOf device(features);
  Tensor output = empty_in_format_of(features, features.size(1));
  if (output.numel() == 0) return output;
  const int channels = num_channels(features);
  const int64_t size = num_pixels(features);
  dispatch_floating(features.scalar_type(), "l2_normalize", [&]<typename T>() {
    const auto start = [&](auto kernel, dim3 grid, dim3 block) {
      launch(kernel, grid, block, 0, device.stream(), view4<T>(features),
             channel_weights<T>(weight), mutable_view4<T>(output), pixel_numbers(features), size,
             channels);
    };
    if (have_adjacent_channels({&features, &output})) {
      dispatch_packing<T>({&features, &output}, weight, [&]<int kSize>() {
        start(l2_normalize_channels_kernel<T, kSize>, blocks_for(size, kMostChannelWarps),
              dim3(kWarp, kMostChannelWarps));
      });
    } else {
      start(l2_normalize_pixels_kernel<T>, blocks_for(size, kForwardPixels),
            pixels_block(kForwardPixels, channels, kForwardHeld, kForwardRows));
    }
  });
  return output;
}

std::tuple<Tensor, Tensor> gradients_of(const Tensor& gradient, const Tensor& features,
                                        const Tensor& weight) {
  const OnDeviceOf device(features);
  const cudaStream_t stream = device.stream();
  Tensor output = empty_in_format_of(features, features.size(1));
  if (output.numel() == 0) {
    return {output, zeros({weight.size(0)}, weight.scalar_type(), weight, stream)};
  }
  Tensor of_weight = empty({weight.size(0)}, weight.scalar_type(), weight);
  const int channels = num_channels(features);
  const int64_t size = num_pixels(features);
  dispatch_floating(features.scalar_type(), "l2_normalize_backward", [&]<typename T>() {
    using C = compute_t<T>;
    // Starts a kernel whose blocks take `share` pixels, or a multiple of that.
    const auto start = [&](auto kernel, dim3 block, int64_t share, size_t shared_bytes) {
      const int64_t shares = ceil_divide(size, share), count = ceil_divide(shares, kMostRows);
      const int64_t rows = ceil_divide(shares, count);
      const Tensor sums = empty({rows, channels}, weight.scalar_type(), weight);
      launch(kernel, blocks_for(rows, 1), block, shared_bytes, stream, view4<T>(gradient),
             view4<T>(features), channel_weights<T>(weight), mutable_view4<T>(output),
             WeightSums<C>{mutable_data<C>(sums)}, pixel_numbers(features), size, channels,
             static_cast<int>(count));
      launch(sum_rows_kernel<C>, blocks_for(channels, kWarp), dim3(kWarp, kSumWarps), 0, stream,
             data<C>(sums), static_cast<int>(rows), channels, mutable_data<C>(of_weight));
    };
    const int64_t warps = channel_warps<C>(channels);
    if (warps > 0 && have_adjacent_channels({&features, &gradient, &output})) {
      dispatch_packing<T>({&features, &gradient, &output}, weight, [&]<int kSize>() {
        start(l2_normalize_backward_channels_kernel<T, kSize>,
              dim3(kWarp, static_cast<unsigned>(warps)), warps,
              static_cast<size_t>(warps * channels) * sizeof(C));
      });
    } else {
      start(l2_normalize_backward_pixels_kernel<T>,
            pixels_block(kBackwardPixels, channels, kBackwardHeld, kBackwardRows<T>),
            kBackwardPixels, 0);
    }
  });
  return {output, of_weight};
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  s3fd::register_l2_normalize<s3fd::cuda::normalized, s3fd::cuda::gradients_of>(library);
}
