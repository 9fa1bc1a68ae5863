// The loss of SSD and S3FD with hard negative mining. Two passes over an image's logits: one finds
// the margin of the last background that is wanted, one marks what lies above it and adds up. What
// is kept has its exponentials taken, and nothing else.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cpu/loss_rows.h"
#include "cpu/mining.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"
#include "shared/geometry.h"
#include "shared/multibox_loss.h"
#include "shared/operators/multibox_loss.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// Anchors that one task has at least, so that small batches stay on one thread.
constexpr int64_t kAnchorsPerTask = 8192;

// How many anchors are positive and how many background, and whether all matches are -2, -1, or
// below the number of boxes.
struct LabelCounts {
  int64_t positives, backgrounds;
  bool valid;
};

// Writes what each anchor is to `labels`.
template <typename Stride>
LabelCounts label(const int64_t* matched, Stride stride, int64_t size, int64_t num_boxes,
                  uint8_t* labels) {
  int64_t positives = 0, backgrounds = 0, lowest = -1, highest = -1;
  for (int64_t begin = 0; begin < size; begin += kStretch) {
    const int64_t end = std::min(begin + kStretch, size);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t match = matched[i * stride];
      lowest = std::min(lowest, match);
      highest = std::max(highest, match);
      labels[i] = static_cast<uint8_t>(match >= 0 ? kPositive : match == -1 ? kNegative : kNothing);
    }
    uint16_t positive = 0, background = 0;  // narrow counts are quick, and large enough
    for (int64_t i = begin; i < end; ++i) {
      positive = static_cast<uint16_t>(positive + (labels[i] == kPositive));
      background = static_cast<uint16_t>(background + (labels[i] == kNegative));
    }
    positives += positive;
    backgrounds += background;
  }
  return {positives, backgrounds, lowest >= -2 && highest < num_boxes};
}

// Calls visit(index, mark) for every anchor of a mask that is kept, by rising index.
template <typename Visit>
void for_each_kept(const uint8_t* kept, int64_t size, const Visit& visit) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, kept + i, 8);
    // The lowest bit of every byte that is kNegative or kPositive.
    for (eight = (eight | eight >> 1) & 0x0101010101010101; eight != 0;) {
      constexpr bool little = std::endian::native == std::endian::little;
      const int bit = little ? std::countr_zero(eight) : 63 - std::countl_zero(eight);
      const int64_t j = i + (little ? bit : 63 - bit) / 8;
      visit(j, kept[j]);
      eight ^= uint64_t{1} << bit;
    }
  }
  for (; i < size; ++i) {
    if (kept[i] != kNothing) visit(i, kept[i]);
  }
}

template <typename T>
TwoLogits<compute_t<T>> two_logits(const ImageRows<T>& logits, int64_t row) {
  using C = compute_t<T>;
  const T* values = logits[row];
  return {static_cast<C>(values[0]), static_cast<C>(values[logits.column_stride])};
}

struct ImageLoss {
  double of_class = 0, of_boxes = 0;
  int64_t kept = 0, positives = 0;
  bool valid = true;
};

// Mines an image, writes its part of `kept`, and adds up its cross-entropies.
template <typename T>
ImageLoss class_loss(const ImageRows<T>& logits, const ImageRows<int64_t>& matched, int64_t size,
                     int64_t num_boxes, double negative_ratio, uint8_t* kept) {
  const LabelCounts counts = vectorized([&] {
    return matched.stride == 1
               ? label(matched.data, std::integral_constant<int64_t, 1>{}, size, num_boxes, kept)
               : label(matched.data, matched.stride, size, num_boxes, kept);
  });
  ImageLoss loss{.positives = counts.positives, .valid = counts.valid};
  if (counts.positives == 0 || !counts.valid) {
    std::fill_n(kept, size, kNothing);
    return loss;
  }
  const int64_t wanted =
      wanted_negatives(counts.positives, counts.backgrounds, negative_ratio, size);
  loss.kept = counts.positives + wanted;
  Threshold<MarginKey<T>> threshold{std::numeric_limits<MarginKey<T>>::max(), 0};
  if (wanted == counts.backgrounds) {
    threshold.least = 0;
  } else if (wanted > 0) {
    threshold = find_threshold(logits, kept, size, wanted, counts.backgrounds);
  }

  MarginKey<T> keys[kStretch];
  for (int64_t begin = 0; begin < size; begin += kStretch) {
    const int64_t length = std::min(kStretch, size - begin);
    uint8_t* marks = kept + begin;
    write_keys(logits, begin, length, marks, keys);
    const bool tied = vectorized([&] { return mark_above(keys, threshold.least, length, marks); });
    if (tied) {
      for (int64_t i = 0; i < length && threshold.vacant > 0; ++i) {
        if (keys[i] != threshold.least) continue;
        marks[i] = kNegative;
        --threshold.vacant;
      }
    }
    for_each_kept(marks, length, [&](int64_t i, uint8_t mark) {
      loss.of_class += two_logits(logits, begin + i).cross_entropy(mark == kPositive);
    });
  }
  return loss;
}

// The tensors of a call beside the logits, as far as the positives need them.
struct Targets {
  const Tensor &deltas, &anchors, &boxes, &matched;
  const int64_t* splits;
  double centre_variance, size_variance;

  int64_t num_boxes(int64_t image) const { return splits[image + 1] - splits[image]; }

  // Calls visit(anchor, j, error) for coordinates 0 ... 3 of the positives of an image: what was
  // predicted, minus the encoded box. False if one is matched with a box that isn't there.
  template <typename T, typename Visit>
  bool for_each_error(int64_t image, const uint8_t* kept, const Visit& visit) const {
    using C = compute_t<T>;
    const auto predicted = image_rows<T>(deltas, image);
    const auto matches = image_rows<int64_t>(matched, image);
    const ImageRows<C> anchor{static_cast<const C*>(anchors.const_data_ptr()), anchors.stride(0),
                              anchors.stride(1)};
    const auto* faces = static_cast<const Box<C>*>(boxes.const_data_ptr()) + splits[image];
    const auto variances = Variances<C>::of(centre_variance, size_variance);
    bool valid = true;
    for_each_kept(kept, matched.size(1), [&](int64_t i, uint8_t mark) {
      if (mark != kPositive) return;
      const int64_t match = *matches[i];
      if (match < 0 || match >= num_boxes(image)) {
        valid = false;
        return;
      }
      const auto box = read_four<Box<C>>(anchor[i], anchor.column_stride);
      const Delta<C> wanted = encode(faces[match], box, variances);
      const auto delta = read_four<Delta<C>>(predicted[i], predicted.column_stride);
      visit(i, 0, delta.dx - wanted.dx);
      visit(i, 1, delta.dy - wanted.dy);
      visit(i, 2, delta.dw - wanted.dw);
      visit(i, 3, delta.dh - wanted.dh);
    });
    return valid;
  }
};

Targets targets_of(const LossCall& call) {
  return {call.deltas,        call.anchors,         call.boxes,        call.matched,
          call.splits.data(), call.centre_variance, call.size_variance};
}

// Calls visit(image) for every image of a batch; images are shared out among the threads.
template <typename Visit>
void for_each_image(const Tensor& logits, const Visit& visit) {
  const int64_t grain = kAnchorsPerTask / std::max<int64_t>(logits.size(1), 1) + 1;
  parallel_for(0, logits.size(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) visit(image);
  });
}

// Calls visit(image, rows) for every image of a gradient [B, A, ...] of T; the rows are zero.
template <typename T, typename Visit>
void for_each_cleared(Tensor& gradient, const Visit& visit) {
  auto* rows = static_cast<T*>(gradient.mutable_data_ptr());
  const int64_t size = gradient.size(1) * gradient.size(2);
  for_each_image(gradient, [&](int64_t image) {
    std::fill_n(rows + image * size, size, T(0));
    visit(image, rows + image * size);
  });
}

Tensor scalar(double value, ScalarType dtype, const Tensor& like) {
  Tensor result = empty({}, dtype, like);
  if (dtype == ScalarType::Double) {
    *static_cast<double*>(result.mutable_data_ptr()) = value;
  } else {
    *static_cast<float*>(result.mutable_data_ptr()) = static_cast<float>(value);
  }
  return result;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> loss_of(const LossCall& call, double negative_ratio) {
  const Tensor &logits = call.logits, &deltas = call.deltas;
  const Targets targets = targets_of(call);
  const int64_t images = logits.size(0), anchors = logits.size(1);
  Tensor kept = empty({images, anchors}, ScalarType::Byte, logits);
  auto* marks = static_cast<uint8_t*>(kept.mutable_data_ptr());
  std::vector<ImageLoss> losses(static_cast<size_t>(images));
  dispatch_floating(logits.scalar_type(), "multibox_loss", [&]<typename T>() {
    for_each_image(logits, [&](int64_t image) {
      losses[static_cast<size_t>(image)] =
          class_loss(image_rows<T>(logits, image), image_rows<int64_t>(call.matched, image),
                     anchors, targets.num_boxes(image), negative_ratio, marks + image * anchors);
    });
  });
  dispatch_floating(deltas.scalar_type(), "multibox_loss", [&]<typename T>() {
    for_each_image(logits, [&](int64_t image) {
      ImageLoss& loss = losses[static_cast<size_t>(image)];
      if (loss.positives == 0 || !loss.valid) return;
      targets.for_each_error<T>(image, marks + image * anchors, [&](int64_t, int64_t, auto error) {
        loss.of_boxes += smooth_l1(error);
      });
    });
  });

  ImageLoss sum;
  for (const ImageLoss& loss : losses) {
    sum.of_class += loss.of_class;
    sum.of_boxes += loss.of_boxes;
    sum.kept += loss.kept;
    sum.positives += loss.positives;
    sum.valid &= loss.valid;
  }
  STD_TORCH_CHECK(sum.valid, "s3fd::multibox_loss: matched names a box that isn't there");
  Tensor counts = empty({2}, ScalarType::Long, logits);
  auto* count = static_cast<int64_t*>(counts.mutable_data_ptr());
  count[0] = sum.kept;
  count[1] = sum.positives;
  const auto mean = [](double total, int64_t number) {
    return total / static_cast<double>(std::max<int64_t>(number, 1));
  };
  return {scalar(mean(sum.of_class, sum.kept), computed_in(logits), logits),
          scalar(mean(sum.of_boxes, sum.positives), computed_in(deltas), deltas), kept, counts};
}

Tensor empty_contiguous(const Tensor& like) {
  return empty({like.size(0), like.size(1), like.size(2)}, like.scalar_type(), like);
}

double value_of(const Tensor& scalar) {
  return dispatch_floating(scalar.scalar_type(), "multibox_loss_backward", [&]<typename T>() {
    return static_cast<double>(
        static_cast<compute_t<T>>(*static_cast<const T*>(scalar.const_data_ptr())));
  });
}

std::tuple<Tensor, Tensor> gradient_of(const LossCall& call, const LossResults& results) {
  const Tensor &logits = call.logits, &deltas = call.deltas;
  const Targets targets = targets_of(call);
  const int64_t size = logits.size(1);
  const auto* marks = static_cast<const uint8_t*>(results.kept.const_data_ptr());
  const auto* count = static_cast<const int64_t*>(results.counts.const_data_ptr());
  const double of_class = value_of(results.class_gradient) / static_cast<double>(count[0]);
  const double of_boxes = value_of(results.box_gradient) / static_cast<double>(count[1]);

  Tensor logits_gradient = empty_contiguous(logits), deltas_gradient = empty_contiguous(deltas);
  dispatch_floating(logits.scalar_type(), "multibox_loss_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const C factor = static_cast<C>(of_class);
    for_each_cleared<T>(logits_gradient, [&](int64_t image, T* gradient) {
      const auto rows = image_rows<T>(logits, image);
      for_each_kept(marks + image * size, size, [&](int64_t i, uint8_t mark) {
        const C of_face = two_logits(rows, i).gradient(mark == kPositive) * factor;
        gradient[2 * i] = static_cast<T>(-of_face);
        gradient[2 * i + 1] = static_cast<T>(of_face);
      });
    });
  });
  std::vector<uint8_t> valid(static_cast<size_t>(logits.size(0)), 1);
  dispatch_floating(deltas.scalar_type(), "multibox_loss_backward", [&]<typename T>() {
    using C = compute_t<T>;
    const C factor = static_cast<C>(of_boxes);
    for_each_cleared<T>(deltas_gradient, [&](int64_t image, T* gradient) {
      valid[static_cast<size_t>(image)] = targets.for_each_error<T>(
          image, marks + image * size, [&](int64_t i, int64_t coordinate, C error) {
            gradient[4 * i + coordinate] = static_cast<T>(smooth_l1_gradient(error) * factor);
          });
    });
  });
  STD_TORCH_CHECK(std::all_of(valid.begin(), valid.end(), [](uint8_t good) { return good != 0; }),
                  "s3fd::multibox_loss_backward: matched names a box that isn't there");
  return {logits_gradient, deltas_gradient};
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  s3fd::register_multibox_loss<s3fd::cpu::loss_of, s3fd::cpu::gradient_of>(library);
}
