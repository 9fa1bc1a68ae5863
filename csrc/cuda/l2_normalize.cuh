// The scaled norm over channels, and its gradient. Both are bound by memory: every map is read or
// written once, since the features of a pixel stay in registers between the pass that sums their
// squares and the pass that uses the sum. Channels that have no room there are read a second time,
// out of the L1 or L2 cache: those beyond the last 512 of a pixel, and beyond 256 of doubles.
//
// Two kernels each, for the two ways in which maps lie in memory:
//  - pixels: a block takes neighbouring pixels and shares out the channels among its rows of
//    threads; a row reads the same channel of all of them, whole sectors of an NCHW map. Forward
//    these are 16 pixels, so that a map of 40 x 40 keeps 100 multiprocessors busy; backward 32, for
//    whose sums a warp exchanges. Any other strides are served too, if slower.
//  - channels: a warp takes a pixel of a channels_last map, and reads 16 bytes a lane.
//
// Forward: one launch, features in, output out. Backward: features and gradient in, gradient out;
// of the weight's gradient every block leaves a row of sums, and a second launch adds the rows: at
// most 1024 rows, about a hundredth of the bytes. Blocks depend on sizes alone, and all sums are
// added in a fixed order: the result is always the same.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/packed.cuh"
#include "cuda/primitives/warp.cuh"
#include "shared/l2_normalize.h"
#include "shared/tensor.h"

namespace s3fd::cuda {

// The pixels of a map [B, C, H, W], numbered by image, row and column.
struct Pixel {
  int64_t image, row, column;
};

struct PixelNumbers {
  int64_t rows, columns;

  // Divisions of 32 bits take a fraction of the time of others, and serve nearly all maps.
  __device__ Pixel operator[](int64_t i) const {
    return (i | rows | columns) >> 32 == 0 ? split<uint32_t>(i) : split<int64_t>(i);
  }

 private:
  template <typename Index>
  __device__ Pixel split(int64_t i) const {
    const auto number = static_cast<Index>(i), width = static_cast<Index>(columns);
    const Index line = number / width, height = static_cast<Index>(rows);
    return {line / height, line % height, number % width};
  }
};

// The weight of each channel, in the type that a map is computed in.
template <typename C>
struct ChannelWeights {
  const C* data;
  int64_t stride;

  __device__ C operator[](int channel) const { return data[channel * stride]; }

  // Of neighbouring channels: more than one at a time if they can be packed.
  template <int kSize>
  __device__ Packed<C, kSize> pack(int channel) const {
    return read_packed<kSize>(data + (kSize == 1 ? channel * stride : channel));
  }
};

// A block that takes pixels has up to so many rows, a thread of which holds so many channels of a
// map at a time. Backward there are two maps to hold, and a sum for each lane.
constexpr int kForwardPixels = 16, kBackwardPixels = kWarp;
constexpr int kForwardHeld = 16, kBackwardHeld = kWarp;
constexpr int kForwardRows = 32;
template <typename T>
constexpr int kBackwardRows = std::is_same_v<T, double> ? 8 : 16;

// Channels of one pixel, `step` apart. Those that aren't there are 0.
template <typename T, int kHeld>
struct HeldChannels {
  compute_t<T> values[kHeld];

  __device__ void read(const T* pixel, int64_t stride, int first, int step, int channels) {
    const T* value = pixel + first * stride;
#pragma unroll
    for (int i = 0; i < kHeld; ++i, value += step * stride) {
      values[i] = first + i * step < channels ? static_cast<compute_t<T>>(*value) : 0;
    }
  }
};

// Adds what the rows of a block have for each of its pixels. All threads call it.
template <int kMostRows, int kPixels, typename C>
__device__ C sum_over_rows(C value) {
  S3FD_SHARED(C[kMostRows][kPixels], sums);
  __syncthreads();  // the sums of the last call have been read
  sums[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  C total = 0;
  for (unsigned row = 0; row < blockDim.y; ++row) total += sums[row][threadIdx.x];
  return total;
}

template <typename T>
__global__ void __launch_bounds__(kForwardRows* kForwardPixels)
    l2_normalize_pixels_kernel(View4<const T> features, ChannelWeights<compute_t<T>> weights,
                               View4<T> output, PixelNumbers pixels, int64_t size, int channels) {
  using C = compute_t<T>;
  const int64_t number = int64_t{blockIdx.x} * kForwardPixels + threadIdx.x;
  const int there = number < size ? channels : 0;  // past the last pixel nothing is
  const Pixel pixel = pixels[number < size ? number : 0];
  const T* in = features.at(pixel.image, 0, pixel.row, pixel.column);
  T* out = output.at(pixel.image, 0, pixel.row, pixel.column);
  const int step = blockDim.y, row = threadIdx.y, group = step * kForwardHeld;

  HeldChannels<T, kForwardHeld> x;
  C squares = 0;
  int first = row;
#pragma unroll 1
  for (;; first += group) {
    x.read(in, features.stride[1], first, step, there);
#pragma unroll
    for (const C value : x.values) squares += value * value;
    if (first - row + group >= channels) break;
  }
  const C scale = NormFactors<C>(sum_over_rows<kForwardRows, kForwardPixels>(squares), 0).scale;
#pragma unroll 1
  for (;;) {
#pragma unroll
    for (int i = 0; i < kForwardHeld; ++i) {
      const int c = first + i * step;
      if (c < there) out[c * output.stride[1]] = static_cast<T>(x.values[i] * scale * weights[c]);
    }
    first -= group;
    if (first < 0) break;
    x.read(in, features.stride[1], first, step, there);
  }
}

// The rows of sums that the blocks of a backward kernel leave, [blocks, channels].
template <typename C>
struct WeightSums {
  C* data;

  __device__ C* row(int channels) const { return data + int64_t{blockIdx.x} * channels; }
};

// A block takes `tiles` times 32 pixels.
template <typename T>
__global__ void __launch_bounds__(kBackwardRows<T>* kBackwardPixels)
    l2_normalize_backward_pixels_kernel(View4<const T> gradient, View4<const T> features,
                                        ChannelWeights<compute_t<T>> weights, View4<T> output,
                                        WeightSums<compute_t<T>> sums, PixelNumbers pixels,
                                        int64_t size, int channels, int tiles) {
  using C = compute_t<T>;
  const int step = blockDim.y, warp = threadIdx.y, lane = threadIdx.x, group = step * kBackwardHeld;
  C* const of_weight = sums.row(channels);
  HeldChannels<T, kBackwardHeld> x, g;
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    const int64_t number = (int64_t{blockIdx.x} * tiles + tile) * kWarp + lane;
    const int there = number < size ? channels : 0;
    const Pixel pixel = pixels[number < size ? number : 0];
    const T* from_x = features.at(pixel.image, 0, pixel.row, pixel.column);
    const T* from_g = gradient.at(pixel.image, 0, pixel.row, pixel.column);
    T* out = output.at(pixel.image, 0, pixel.row, pixel.column);

    C squares = 0, products = 0;
    int first = warp;
#pragma unroll 1
    for (;; first += group) {
      x.read(from_x, features.stride[1], first, step, there);
      g.read(from_g, gradient.stride[1], first, step, there);
#pragma unroll
      for (int i = 0; i < kBackwardHeld; ++i) {
        const int c = first + i * step;
        squares += x.values[i] * x.values[i];
        if (c < channels) products += g.values[i] * weights[c] * x.values[i];
      }
      if (first - warp + group >= channels) break;
    }
    squares = sum_over_rows<kBackwardRows<T>, kBackwardPixels>(squares);
    const NormFactors<C> factors(squares,
                                 sum_over_rows<kBackwardRows<T>, kBackwardPixels>(products));
#pragma unroll 1
    for (;;) {
#pragma unroll
      for (int i = 0; i < kBackwardHeld; ++i) {
        const int c = first + i * step;
        const C value = x.values[i], scaled = g.values[i] * factors.scale;
        if (c < there) {
          out[c * output.stride[1]] = static_cast<T>(scaled * weights[c] - factors.pull * value);
        }
        x.values[i] = c < there ? scaled * value : C(0);
      }
      const C sum = sum_each_over_warp(x.values, lane);
      const int c = first + lane * step;
      if (c < channels) of_weight[c] = tile == 0 ? sum : of_weight[c] + sum;
      first -= group;
      if (first < 0) break;
      x.read(from_x, features.stride[1], first, step, there);
      g.read(from_g, gradient.stride[1], first, step, there);
    }
  }
}

// A pixel of a channels_last map takes a warp, a lane of which holds kHeld times kSize neighbouring
// channels at a time: 64 bytes.
constexpr int kMostChannelWarps = 8;

template <typename T, int kSize>
struct HeldPacks {
  static constexpr int kHeld = 64 / (kSize * static_cast<int>(sizeof(T)));
  static constexpr int kStep = kWarp * kSize, kGroup = kHeld * kStep;

  Packed<T, kSize> packs[kHeld];

  __device__ void read(const T* pixel, int first, int channels) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int c = first + i * kStep;
      packs[i] = c < channels ? read_packed<kSize>(pixel + c) : Packed<T, kSize>{};
    }
  }
  __device__ compute_t<T> at(int i, int j) const {
    return static_cast<compute_t<T>>(packs[i].values[j]);
  }
};

template <typename T, int kSize>
__global__ void __launch_bounds__(kMostChannelWarps* kWarp)
    l2_normalize_channels_kernel(View4<const T> features, ChannelWeights<compute_t<T>> weights,
                                 View4<T> output, PixelNumbers pixels, int64_t size, int channels) {
  using C = compute_t<T>;
  using Held = HeldPacks<T, kSize>;
  const int64_t number = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (number >= size) return;  // all lanes of the warp
  const Pixel pixel = pixels[number];
  const T* in = features.at(pixel.image, 0, pixel.row, pixel.column);
  T* out = output.at(pixel.image, 0, pixel.row, pixel.column);
  const int lane_first = threadIdx.x * kSize;

  Held x;
  C squares = 0;
  int first = lane_first;
#pragma unroll 1
  for (;; first += Held::kGroup) {
    x.read(in, first, channels);
#pragma unroll
    for (int i = 0; i < Held::kHeld; ++i) {
#pragma unroll
      for (int j = 0; j < kSize; ++j) squares += x.at(i, j) * x.at(i, j);
    }
    if (first - lane_first + Held::kGroup >= channels) break;
  }
  const C scale = NormFactors<C>(sum_over_warp(squares), 0).scale;
#pragma unroll 1
  for (;;) {
#pragma unroll
    for (int i = 0; i < Held::kHeld; ++i) {
      const int c = first + i * Held::kStep;
      if (c >= channels) break;
      const auto weight = weights.template pack<kSize>(c);
      Packed<T, kSize> result;
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        result.values[j] = static_cast<T>(x.at(i, j) * scale * weight.values[j]);
      }
      write_packed<kSize>(out + c, result);
    }
    first -= Held::kGroup;
    if (first < 0) break;
    x.read(in, first, channels);
  }
}

// Sums of the weight's gradient that a warp adds to, in shared memory, a place for every channel.
// Values that the lanes of a warp reach at the same time are neighbours; a lane has places of its
// own.
template <typename C, int kSize>
struct WeightSumsOfWarp {
  C* data;
  int channels;

  __device__ C& at(int channel, int j) const {
    return data[j * (channels / kSize) + channel / kSize];
  }
};

// A warp takes `count` pixels. Dynamic shared memory: [warps, channels].
template <typename T, int kSize>
__global__ void __launch_bounds__(kMostChannelWarps* kWarp)
    l2_normalize_backward_channels_kernel(View4<const T> gradient, View4<const T> features,
                                          ChannelWeights<compute_t<T>> weights, View4<T> output,
                                          WeightSums<compute_t<T>> sums, PixelNumbers pixels,
                                          int64_t size, int channels, int count) {
  using C = compute_t<T>;
  using Held = HeldPacks<T, kSize>;
  const int warps = blockDim.y, warp = threadIdx.y, lane = threadIdx.x, lane_first = lane * kSize;
  C* const all = dynamic_shared<C>();
  const WeightSumsOfWarp<C, kSize> of_weight{all + warp * channels, channels};
  for (int c = lane_first; c < channels; c += Held::kStep) {
    for (int j = 0; j < kSize; ++j) of_weight.at(c, j) = 0;
  }

#pragma unroll 1
  for (int k = 0; k < count; ++k) {
    const int64_t number = (int64_t{blockIdx.x} * count + k) * warps + warp;
    if (number >= size) break;  // all lanes of the warp
    const Pixel pixel = pixels[number];
    const T* from_x = features.at(pixel.image, 0, pixel.row, pixel.column);
    const T* from_g = gradient.at(pixel.image, 0, pixel.row, pixel.column);
    T* out = output.at(pixel.image, 0, pixel.row, pixel.column);

    Held x, g;
    C squares = 0, products = 0;
    int first = lane_first;
#pragma unroll 1
    for (;; first += Held::kGroup) {
      x.read(from_x, first, channels);
      g.read(from_g, first, channels);
#pragma unroll
      for (int i = 0; i < Held::kHeld; ++i) {
        const int c = first + i * Held::kStep;
        if (c >= channels) break;
        const auto weight = weights.template pack<kSize>(c);
#pragma unroll
        for (int j = 0; j < kSize; ++j) {
          squares += x.at(i, j) * x.at(i, j);
          products += g.at(i, j) * weight.values[j] * x.at(i, j);
        }
      }
      if (first - lane_first + Held::kGroup >= channels) break;
    }
    const NormFactors<C> factors(sum_over_warp(squares), sum_over_warp(products));
#pragma unroll 1
    for (;;) {
#pragma unroll
      for (int i = 0; i < Held::kHeld; ++i) {
        const int c = first + i * Held::kStep;
        if (c >= channels) break;
        const auto weight = weights.template pack<kSize>(c);
        Packed<T, kSize> result;
#pragma unroll
        for (int j = 0; j < kSize; ++j) {
          const C value = x.at(i, j), scaled = g.at(i, j) * factors.scale;
          result.values[j] = static_cast<T>(scaled * weight.values[j] - factors.pull * value);
          of_weight.at(c, j) += scaled * value;
        }
        write_packed<kSize>(out + c, result);
      }
      first -= Held::kGroup;
      if (first < 0) break;
      x.read(from_x, first, channels);
      g.read(from_g, first, channels);
    }
  }

  __syncthreads();
  C* const row = sums.row(channels);
  for (int c = warp * kWarp + lane; c < channels; c += warps * kWarp) {
    C sum = 0;
    for (int w = 0; w < warps; ++w) {
      sum += WeightSumsOfWarp<C, kSize>{all + w * channels, channels}.at(c, c % kSize);
    }
    row[c] = sum;
  }
}

// Adds up the rows that the blocks left, a lane a channel.
constexpr int kSumWarps = 32;

template <typename C>
__global__ void __launch_bounds__(kSumWarps* kWarp)
    sum_rows_kernel(const C* rows, int num_rows, int channels, C* total) {
  S3FD_SHARED(double[kSumWarps][kWarp], sums);
  const int c = static_cast<int>(blockIdx.x) * kWarp + static_cast<int>(threadIdx.x);
  double sum = 0;
  if (c < channels) {
    for (int row = threadIdx.y; row < num_rows; row += kSumWarps) {
      sum += static_cast<double>(rows[int64_t{row} * channels + c]);
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= channels) return;
  for (int warp = 1; warp < kSumWarps; ++warp) sum += sums[warp][threadIdx.x];
  total[c] = static_cast<C>(sum);
}

}  // namespace s3fd::cuda
