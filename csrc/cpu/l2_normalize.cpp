// The scaled norm over channels (ParseNet; S3FD, section 3.1), and its gradient. The work is bound
// by memory: a tile of neighbouring pixels with all its channels stays in cache between the pass
// that takes the norms and the pass that uses them, so that every map is read or written once.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/simd.h"
#include "shared/l2_normalize.h"
#include "shared/operators/l2_normalize.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

constexpr int64_t kTile = 256;  // pixels of a tile, at most
constexpr int64_t kLanes = 16;  // sums that a row is added up in, side by side
constexpr int64_t kRows = 4;    // channels that are added to a tile's sums in one go

// A map as rows of pixels, of one tensor. A map without gaps is one long row.
template <typename T>
struct Map {
  T* data;
  int64_t image, channel, row, step;  // strides

  T* at(int64_t i, int64_t y, int64_t x) const { return data + i * image + y * row + x * step; }
};

// Which pixels a tile has: those from `begin` on of one row.
struct Tile {
  int64_t image, row, begin, size;
};

// How the maps of a call are cut into tiles, which do not depend on the number of threads.
class Tiling {
 public:
  // May be called for several tensors: rows are joined if they have no gap in any of them.
  Tiling(const Tensor& features, bool joined)
      : images_(features.size(0)),
        rows_(joined ? 1 : features.size(2)),
        columns_(joined ? features.size(2) * features.size(3) : features.size(3)),
        tile_(size_of_tile(columns_)),
        per_row_((columns_ + tile_ - 1) / tile_) {}

  int64_t tiles() const { return images_ * rows_ * per_row_; }

  Tile operator[](int64_t i) const {
    const int64_t line = i / per_row_, begin = i % per_row_ * tile_;
    return {line / rows_, line % rows_, begin, std::min(tile_, columns_ - begin)};
  }

 private:
  // Of a long row an even number of tiles alike, so that two threads get the same share of it.
  static int64_t size_of_tile(int64_t columns) {
    const int64_t pairs = std::max<int64_t>((columns + 2 * kTile - 1) / (2 * kTile), 1);
    const int64_t size = (columns + 2 * pairs - 1) / (2 * pairs);
    return std::max((size + kLanes - 1) / kLanes * kLanes, kLanes);
  }

  int64_t images_, rows_, columns_, tile_, per_row_;
};

template <typename T>
Map<T> map_of(const Tensor& tensor) {
  T* data;
  if constexpr (std::is_const_v<T>) {
    data = static_cast<T*>(tensor.const_data_ptr());
  } else {
    data = static_cast<T*>(tensor.mutable_data_ptr());
  }
  return {data, tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}

using One = std::integral_constant<int64_t, 1>;

// Calls add(channel, std::integral_constant<int64_t, rows>) for all channels, kRows at a time: the
// sums of a tile are then read and written less often.
template <typename Add>
void for_each_rows(int64_t channels, const Add& add) {
  int64_t c = 0;
  for (; c + kRows <= channels; c += kRows) add(c, std::integral_constant<int64_t, kRows>{});
  for (; c < channels; ++c) add(c, std::integral_constant<int64_t, 1>{});
}

// The sum of kLanes numbers, in pairs of vectors.
template <typename C>
C sum_of_lanes(C* lanes) {
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// The output of a tile whose pixels are `step` apart.
template <typename T, typename C, typename Step>
void scale_rows(const T* in, int64_t in_channel, Step in_step, T* result, int64_t out_channel,
                Step out_step, const C* weight, int64_t channels, int64_t size) {
  C sums[kTile];
  C* __restrict sum = sums;
  T* __restrict out = result;
  for (int64_t i = 0; i < size; ++i) sum[i] = 0;
  for_each_rows(channels, [&](int64_t c, auto rows) {
    const T* row = in + c * in_channel;
    for (int64_t i = 0; i < size; ++i) {
      C total = sum[i];
      for (int64_t r = 0; r < rows; ++r) {
        const C x = static_cast<C>(row[r * in_channel + i * in_step]);
        total += x * x;
      }
      sum[i] = total;
    }
  });
  for (int64_t i = 0; i < size; ++i) sum[i] = NormFactors<C>(sum[i], 0).scale;
  for (int64_t c = 0; c < channels; ++c) {
    const T* row = in + c * in_channel;
    T* out_row = out + c * out_channel;
    const C w = weight[c];
    for (int64_t i = 0; i < size; ++i) {
      out_row[i * out_step] = static_cast<T>(static_cast<C>(row[i * in_step]) * sum[i] * w);
    }
  }
}

// The output of a pixel whose channels are adjacent.
template <typename T, typename C>
void scale_pixel(const T* in, T* result, const C* weight, int64_t channels) {
  C lanes[kLanes] = {};
  T* __restrict out = result;
  const int64_t whole = channels / kLanes * kLanes;
  for (int64_t c = 0; c < whole; c += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) {
      const C x = static_cast<C>(in[c + i]);
      lanes[i] += x * x;
    }
  }
  for (int64_t c = whole; c < channels; ++c) {
    const C x = static_cast<C>(in[c]);
    lanes[c - whole] += x * x;
  }
  const C scale = NormFactors<C>(sum_of_lanes(lanes), 0).scale;
  for (int64_t c = 0; c < channels; ++c) {
    out[c] = static_cast<T>(static_cast<C>(in[c]) * scale * weight[c]);
  }
}

// A map whose pixels are `step` apart, and its channels `channel`.
template <typename T, typename Step>
struct Rows {
  T* data;
  int64_t channel;
  Step step;
};

// The gradient of a tile, and what it adds to that of the weight.
template <typename T, typename C, typename Step>
void scale_rows_backward(Rows<const T, Step> gradient, Rows<const T, Step> features,
                         Rows<T, Step> output, const C* weight, int64_t channels, int64_t size,
                         C* of_weight) {
  C all_squares[kTile], all_products[kTile];
  C* __restrict squares = all_squares, * __restrict products = all_products;
  for (int64_t i = 0; i < size; ++i) squares[i] = products[i] = 0;
  for_each_rows(channels, [&](int64_t c, auto rows) {
    const T* x_row = features.data + c * features.channel;
    const T* g_row = gradient.data + c * gradient.channel;
    for (int64_t i = 0; i < size; ++i) {
      C square = squares[i], product = products[i];
      for (int64_t r = 0; r < rows; ++r) {
        const C x = static_cast<C>(x_row[r * features.channel + i * features.step]);
        const C g = static_cast<C>(g_row[r * gradient.channel + i * gradient.step]);
        square += x * x;
        product += g * weight[c + r] * x;
      }
      squares[i] = square;
      products[i] = product;
    }
  });
  for (int64_t i = 0; i < size; ++i) {
    const NormFactors<C> factors(squares[i], products[i]);
    squares[i] = factors.scale;
    products[i] = factors.pull;
  }
  const C *scale = all_squares, *pull = all_products;
  for (int64_t c = 0; c < channels; ++c) {
    const T* x_row = features.data + c * features.channel;
    const T* g_row = gradient.data + c * gradient.channel;
    T* __restrict out_row = output.data + c * output.channel;
    const C w = weight[c];
    C lanes[kLanes] = {};
    const auto step = [&](int64_t i, C& lane) {
      const C x = static_cast<C>(x_row[i * features.step]);
      const C g = static_cast<C>(g_row[i * gradient.step]) * scale[i];
      out_row[i * output.step] = static_cast<T>(g * w - pull[i] * x);
      lane += g * x;
    };
    const int64_t whole = size / kLanes * kLanes;
    for (int64_t begin = 0; begin < whole; begin += kLanes) {
      for (int64_t i = 0; i < kLanes; ++i) step(begin + i, lanes[i]);
    }
    for (int64_t i = whole; i < size; ++i) step(i, lanes[i - whole]);
    of_weight[c] += sum_of_lanes(lanes);
  }
}

// The gradient of a pixel whose channels are adjacent, and what it adds to that of the weight.
template <typename T, typename C>
void scale_pixel_backward(const T* g, const T* x, T* result, const C* weight, int64_t channels,
                          C* weight_result) {
  T* __restrict out = result;
  C* __restrict of_weight = weight_result;
  C squares[kLanes] = {}, products[kLanes] = {};
  const auto add = [&](int64_t c, int64_t lane) {
    const C feature = static_cast<C>(x[c]);
    squares[lane] += feature * feature;
    products[lane] += static_cast<C>(g[c]) * weight[c] * feature;
  };
  const int64_t whole = channels / kLanes * kLanes;
  for (int64_t begin = 0; begin < whole; begin += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) add(begin + i, i);
  }
  for (int64_t c = whole; c < channels; ++c) add(c, c - whole);
  const NormFactors<C> factors(sum_of_lanes(squares), sum_of_lanes(products));
  for (int64_t c = 0; c < channels; ++c) {
    const C feature = static_cast<C>(x[c]), scaled = static_cast<C>(g[c]) * factors.scale;
    out[c] = static_cast<T>(scaled * weight[c] - factors.pull * feature);
    of_weight[c] += scaled * feature;
  }
}

template <typename C>
std::vector<C> read(const Tensor& weight) {
  const C* data = static_cast<const C*>(weight.const_data_ptr());
  std::vector<C> values(static_cast<size_t>(weight.size(0)));
  for (size_t c = 0; c < values.size(); ++c) {
    values[c] = data[static_cast<int64_t>(c) * weight.stride(0)];
  }
  return values;
}

bool all_strides_are_one(int dimension, std::initializer_list<const Tensor*> tensors) {
  return std::all_of(tensors.begin(), tensors.end(),
                     [=](const Tensor* t) { return t->stride(dimension) == 1; });
}

Tiling tile(std::initializer_list<const Tensor*> maps) {
  const bool joined =
      std::all_of(maps.begin(), maps.end(), [](const Tensor* map) { return has_long_rows(*map); });
  return Tiling(**maps.begin(), joined);
}

Tensor normalized(const Tensor& features, const Tensor& weight) {
  Tensor output = empty_in_format_of(features, features.size(1));
  if (features.numel() == 0) return output;
  const Tiling tiling = tile({&features, &output});
  const int64_t channels = features.size(1);
  const bool adjacent_channels = all_strides_are_one(1, {&features, &output});
  const bool adjacent_pixels = all_strides_are_one(3, {&features, &output});
  dispatch_floating(features.scalar_type(), "l2_normalize", [&]<typename T>() {
    using C = compute_t<T>;
    const auto in = map_of<const T>(features);
    const auto out = map_of<T>(output);
    const std::vector<C> weights = read<C>(weight);
    const C* w = weights.data();
    const auto visit = [&](const Tile& t) {
      const T* from = in.at(t.image, t.row, t.begin);
      T* to = out.at(t.image, t.row, t.begin);
      if (adjacent_channels) {
        vectorized([&] {
          for (int64_t i = 0; i < t.size; ++i) {
            scale_pixel<T, C>(from + i * in.step, to + i * out.step, w, channels);
          }
        });
      } else if (adjacent_pixels) {
        vectorized([&] {
          scale_rows<T, C>(from, in.channel, One{}, to, out.channel, One{}, w, channels, t.size);
        });
      } else {
        scale_rows<T, C>(from, in.channel, in.step, to, out.channel, out.step, w, channels, t.size);
      }
    };
    parallel_for(0, tiling.tiles(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) visit(tiling[i]);
    });
  });
  return output;
}

std::tuple<Tensor, Tensor> gradients_of(const Tensor& gradient, const Tensor& features,
                                        const Tensor& weight) {
  const int64_t channels = features.size(1);
  Tensor output = empty_in_format_of(features, channels);
  Tensor of_weight = empty({channels}, weight.scalar_type(), weight);
  const Tiling tiling = tile({&features, &gradient, &output});
  const bool adjacent_channels = all_strides_are_one(1, {&features, &gradient, &output});
  const bool adjacent_pixels = all_strides_are_one(3, {&features, &gradient, &output});
  dispatch_floating(features.scalar_type(), "l2_normalize_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const auto x = map_of<const T>(features), g = map_of<const T>(gradient);
    const auto out = map_of<T>(output);
    const std::vector<C> weights = read<C>(weight);
    const C* w = weights.data();
    const int64_t tiles = features.numel() == 0 ? 0 : tiling.tiles();
    std::vector<C> parts(static_cast<size_t>(tiles * channels));  // of the weight's gradient
    const auto visit = [&](const Tile& t, C* part) {
      const T* from_x = x.at(t.image, t.row, t.begin);
      const T* from_g = g.at(t.image, t.row, t.begin);
      T* to = out.at(t.image, t.row, t.begin);
      if (adjacent_channels) {
        vectorized([&] {
          for (int64_t i = 0; i < t.size; ++i) {
            scale_pixel_backward<T, C>(from_g + i * g.step, from_x + i * x.step, to + i * out.step,
                                       w, channels, part);
          }
        });
      } else if (adjacent_pixels) {
        vectorized([&] {
          scale_rows_backward<T, C, One>({from_g, g.channel, {}}, {from_x, x.channel, {}},
                                         {to, out.channel, {}}, w, channels, t.size, part);
        });
      } else {
        scale_rows_backward<T, C, int64_t>({from_g, g.channel, g.step}, {from_x, x.channel, x.step},
                                           {to, out.channel, out.step}, w, channels, t.size, part);
      }
    };
    parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) visit(tiling[i], &parts[i * channels]);
    });
    std::vector<double> sums(static_cast<size_t>(channels));
    for (int64_t i = 0; i < tiles; ++i) {
      for (int64_t c = 0; c < channels; ++c) {
        sums[c] += static_cast<double>(parts[i * channels + c]);
      }
    }
    C* total = static_cast<C*>(of_weight.mutable_data_ptr());
    for (int64_t c = 0; c < channels; ++c) total[c] = static_cast<C>(sums[c]);
  });
  return {output, of_weight};
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  s3fd::register_l2_normalize<s3fd::cpu::normalized, s3fd::cpu::gradients_of>(library);
}
