// Boxes to deltas and back, elementwise, and their gradients. All tensors of a call have the same
// shape [B, A, 4] and their own strides: anchors expanded over a batch are not copied.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cpu/parallel.h"
#include "cpu/simd.h"
#include "shared/geometry.h"
#include "shared/operators/box_coding.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

constexpr int64_t kBoxesPerTask = 4096;  // at least
constexpr int64_t kTile = 128;           // boxes that are coded together: some kilobytes

// The same four numbers of some rows side by side, so that loops over rows are vectorised.
template <typename Row, typename Compute>
struct Tile {
  Compute first[kTile], second[kTile], third[kTile], fourth[kTile];

  Row operator[](int64_t i) const { return {first[i], second[i], third[i], fourth[i]}; }

  void set(int64_t i, const Row& row) {
    const auto& [a, b, c, d] = row;
    first[i] = a;
    second[i] = b;
    third[i] = c;
    fourth[i] = d;
  }
};

// The rows of a tensor [B, A, 4], as Boxes or Deltas.
template <template <typename> typename Row, typename T>
struct Rows {
  using Compute = compute_t<T>;

  const T* data;
  int64_t batch_stride, row_stride, stride;

  explicit Rows(const Tensor& tensor)
      : data(static_cast<const T*>(tensor.const_data_ptr())),
        batch_stride(tensor.stride(0)),
        row_stride(tensor.stride(1)),
        stride(tensor.stride(2)) {}

  void read(int64_t batch, int64_t row, int64_t size, Tile<Row<Compute>, Compute>& tile) const {
    const T* in = data + batch * batch_stride + row * row_stride;
    if (row_stride == 4 && stride == 1) {
      read(in, std::integral_constant<int64_t, 4>{}, std::integral_constant<int64_t, 1>{}, size,
           tile);
    } else {
      read(in, row_stride, stride, size, tile);
    }
  }

 private:
  template <typename RowStride, typename Stride>
  static void read(const T* in, RowStride row, Stride step, int64_t size,
                   Tile<Row<Compute>, Compute>& tile) {
    for (int64_t i = 0; i < size; ++i) {
      tile.first[i] = static_cast<Compute>(in[i * row]);
      tile.second[i] = static_cast<Compute>(in[i * row + step]);
      tile.third[i] = static_cast<Compute>(in[i * row + 2 * step]);
      tile.fourth[i] = static_cast<Compute>(in[i * row + 3 * step]);
    }
  }
};

template <typename Row, typename Compute, typename T>
void write(const Tile<Row, Compute>& tile, int64_t size, T* out) {
  for (int64_t i = 0; i < size; ++i) {
    out[4 * i] = static_cast<T>(tile.first[i]);
    out[4 * i + 1] = static_cast<T>(tile.second[i]);
    out[4 * i + 2] = static_cast<T>(tile.third[i]);
    out[4 * i + 3] = static_cast<T>(tile.fourth[i]);
  }
}

// A new contiguous [B, A, 4] whose row is compute(row of each of `inputs`).
template <typename T, typename Compute, template <typename> typename... Row>
Tensor map_rows(const Tensor& like, const Compute& compute, const Rows<Row, T>&... inputs) {
  using C = compute_t<T>;
  using Output = decltype(compute(std::declval<Row<C>>()...));
  const int64_t rows = like.size(1);
  Tensor output = empty({like.size(0), rows, 4}, like.scalar_type(), like);
  T* out = static_cast<T*>(output.mutable_data_ptr());
  const auto code = [&](int64_t batch, int64_t row, int64_t size) {
    vectorized([&] {
      std::tuple<Tile<Row<C>, C>...> tiles;
      Tile<Output, C> result;
      std::apply(
          [&](auto&... tile) {
            (inputs.read(batch, row, size, tile), ...);
            for (int64_t i = 0; i < size; ++i) result.set(i, compute(tile[i]...));
          },
          tiles);
      write(result, size, out + 4 * (batch * rows + row));
    });
  };
  parallel_for(0, like.size(0) * rows, kBoxesPerTask, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin % rows, size = std::min({kTile, rows - row, end - begin});
      code(begin / rows, row, size);
      begin += size;
    }
  });
  return output;
}

// function(std::true_type) or function(std::false_type), so that loops have no branch on it.
template <typename Function>
Tensor with_constant(bool value, const Function& function) {
  return value ? function(std::true_type{}) : function(std::false_type{});
}

// Width and height, or zeros if there is nothing to clip to.
template <typename T>
std::array<T, 2> limits(const ImageSize& image_size) {
  if (!image_size) return {};
  return {static_cast<T>((*image_size)[1]), static_cast<T>((*image_size)[0])};
}

Tensor encoded(const CodingCall& call) {
  return dispatch_floating(call.values.scalar_type(), "encode_boxes", [&]<typename T>() {
    using C = compute_t<T>;
    const auto variances = call.variances<C>();
    return map_rows<T>(
        call.values,
        [=](const Box<C>& box, const Box<C>& anchor) { return encode(box, anchor, variances); },
        Rows<Box, T>(call.values), Rows<Box, T>(call.anchors));
  });
}

Tensor gradient_of_encoded(const Tensor& gradient, const CodingCall& call, bool of_anchors) {
  return dispatch_floating(gradient.scalar_type(), "encode_boxes_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const auto variances = call.variances<C>();
    return with_constant(of_anchors, [&](auto anchor_is_asked) {
      return map_rows<T>(
          call.values,
          [=](const Delta<C>& received, const Box<C>& box, const Box<C>& anchor) {
            if constexpr (anchor_is_asked) {
              return encode_gradient_of_anchor(received, box, anchor, variances);
            } else {
              return encode_gradient_of_box(received, box, anchor, variances);
            }
          },
          Rows<Delta, T>(gradient), Rows<Box, T>(call.values), Rows<Box, T>(call.anchors));
    });
  });
}

Tensor decoded(const CodingCall& call) {
  return dispatch_floating(call.values.scalar_type(), "decode_boxes", [&]<typename T>() {
    using C = compute_t<T>;
    const auto variances = call.variances<C>();
    const auto [width, height] = limits<C>(call.image_size);
    const auto run = [&, width = width, height = height](auto clipped) {
      return map_rows<T>(
          call.values,
          [=](const Delta<C>& delta, const Box<C>& anchor) {
            const Box<C> box = decode(delta, anchor, variances);
            return clipped ? clip(box, width, height) : box;
          },
          Rows<Delta, T>(call.values), Rows<Box, T>(call.anchors));
    };
    return with_constant(call.image_size.has_value(), run);
  });
}

Tensor gradient_of_decoded(const Tensor& gradient, const CodingCall& call, bool of_anchors) {
  return dispatch_floating(gradient.scalar_type(), "decode_boxes_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const auto variances = call.variances<C>();
    const auto [width, height] = limits<C>(call.image_size);
    const auto run = [&, width = width, height = height](auto clipped, auto anchor_is_asked) {
      return map_rows<T>(
          call.values,
          [=](const Box<C>& received, const Delta<C>& delta, const Box<C>& anchor) {
            Box<C> of_box = received;
            if constexpr (clipped) {
              of_box = clip_gradient(received, decode(delta, anchor, variances), width, height);
            }
            if constexpr (anchor_is_asked) {
              return decode_gradient_of_anchor(of_box, delta, variances);
            } else {
              return decode_gradient_of_delta(of_box, delta, anchor, variances);
            }
          },
          Rows<Box, T>(gradient), Rows<Delta, T>(call.values), Rows<Box, T>(call.anchors));
    };
    return with_constant(call.image_size.has_value(), [&](auto clipped) {
      return with_constant(of_anchors, [&](auto asked) { return run(clipped, asked); });
    });
  });
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  using namespace s3fd::cpu;
  s3fd::register_box_coding<encoded, gradient_of_encoded, decoded, gradient_of_decoded>(library);
}
