// The multi-box loss with hard negative mining, and its gradient.
//
// Mining is a selection by radix, not a sort: the backgrounds of an image are counted by the first
// 11 bits of their keys (rising_key), which tells the bits that the last one wanted begins with;
// those that begin so are counted by the next 11 bits, and so on. Every launch reads the logits and
// a byte an anchor.
//  1. label: what each anchor is, written to `kept`; the count by the first digit; the box loss of
//     the positives, the only ones whose deltas, anchors and boxes are read.
//  2. select: the keys that begin as the last one wanted are listed, and counted by the second
//     digit; the last block of an image looks up the others, one for keys of 32 bits and four for
//     64 bits, among what is listed. Of an image whose selection is settled nothing is listed.
//  3. mark: what is kept, and its cross-entropies; the last block adds up what the blocks have.
// Of equal keys at the threshold the lower index is taken: the last block of an image leaves behind
// how many each chunk has of them, so that a block knows how many are taken before its own.
//
// An image is cut into chunks, a block each, about as many as run side by side. Chunks depend on
// sizes alone and the sums of blocks are added in a fixed order; the atomics count integers. So the
// result is always the same. Of size B x A are `kept` and the room for listed keys, of which few
// are written: margins that share 11 bits are within a quarter of each other.
//
// A memset and three launches. All passes read the logits; in between these stay in the L2 cache up
// to a batch of 100 images of 640 pixels on an H100, so that DRAM moves them once. Small
// batches are bound by launches, large ones by memory. The gradient is one launch that writes two
// logits and four deltas an anchor, zeros or not, and reads a byte for them; what is read for kept
// anchors is nothing beside that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cuda/loss_rows.cuh"
#include "cuda/mining.cuh"
#include "cuda/primitives/block.cuh"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/packed.cuh"
#include "cuda/primitives/prepare.cuh"
#include "shared/multibox_loss.h"

namespace s3fd::cuda {

// Anchors that each thread reads at a time so that loads overlap.
constexpr int kLossBatch = 2, kLossRound = kLossThreads * kLossBatch;
constexpr int kGradientThreads = 256, kGradientBatch = 4;

// The box loss of a thread's positives, from its first to its last anchor of that kind: behind the
// loop over all anchors, which needs the registers.
template <typename U>
__device__ double box_loss_of(const LossTargets<U>& targets, int64_t image, int64_t first_box,
                              const BatchRows<int64_t>& matched, const uint8_t* kept,
                              uint32_t first, uint32_t last) {
  double sum = 0;
#pragma unroll 1
  for (uint32_t a = first; a <= last; a += kLossThreads) {
    if (kept[a] != kPositive) continue;
    const auto error = targets.error(image, a, first_box + *matched.at(image, a));
    sum += smooth_l1(error.dx);
    sum += smooth_l1(error.dy);
    sum += smooth_l1(error.dw);
    sum += smooth_l1(error.dh);
  }
  return sum;
}

template <typename T, typename U, typename Key = MarginKey<compute_t<T>>>
__global__ void __launch_bounds__(kLossThreads, std::is_same_v<T, double> ? 1 : 2)
    label_kernel(LogitRows<T> logits, BatchRows<int64_t> matched, LossTargets<U> targets,
                 const S3FD_GRID_CONSTANT SplitsArgument splits, Mining<Key> mining, Chunks chunks,
                 uint8_t* all_kept) {
  S3FD_SHARED(uint32_t[Digits<Key>::kBins], counts);
  const int64_t image = chunks.image();
  const uint32_t end = chunks.end();
  uint8_t* kept = all_kept + image * chunks.anchors;
  const int64_t first_box = splits.begin()[image];
  const int64_t num_boxes = splits.begin()[image + 1] - first_box;
  clear_counts(counts, Digits<Key>::kBins);
  __syncthreads();

  uint32_t positives = 0, backgrounds = 0, first_face = 0, last_face = 0;
  for (uint32_t base = chunks.begin() + threadIdx.x; base < end; base += kLossRound) {
    int64_t match[kLossBatch]{};
    LogitPair<compute_t<T>> pair[kLossBatch]{};
#pragma unroll
    for (int j = 0; j < kLossBatch; ++j) {
      const uint32_t a = base + j * kLossThreads;
      if (a >= end) break;
      match[j] = *matched.at(image, a);
      pair[j] = logits.at(image, a);
    }
#pragma unroll
    for (int j = 0; j < kLossBatch; ++j) {
      const uint32_t a = base + j * kLossThreads;
      if (a >= end) break;
      S3FD_DEVICE_CHECK(match[j] >= -2 && match[j] < num_boxes,
                        "s3fd::multibox_loss: matched names a box that isn't there");
      kept[a] = match[j] >= 0 ? kPositive : match[j] == -1 ? kNegative : kNothing;
      if (match[j] == -1) {
        ++backgrounds;
        const Key key = rising_key(pair[j].background, pair[j].face);
        atomicAdd(counts + static_cast<uint32_t>(key >> Digits<Key>::shift(0)), 1u);
      }
      if (match[j] >= 0) {
        if (positives++ == 0) first_face = a;
        last_face = a;
      }
    }
  }
  const double box_sum =
      positives == 0 ? 0
                     : box_loss_of(targets, image, first_box, matched, kept, first_face, last_face);
  positives = sum_over_block<kLossThreads>(positives);  // from here on all digits are counted
  backgrounds = sum_over_block<kLossThreads>(backgrounds);
  const double box_loss = sum_over_block<kLossThreads>(box_sum);
  if (threadIdx.x == 0) {
    if (positives > 0) atomicAdd(mining.counts + 2 * image, positives);
    if (backgrounds > 0) atomicAdd(mining.counts + 2 * image + 1, backgrounds);
    mining.box_sums[blockIdx.x] = box_loss;
  }
  add_counts(counts, Digits<Key>::kBins, mining.histogram(image, 0));
}

// Finds out which backgrounds an image keeps, from their count by the first digit.
template <typename T, typename Key = MarginKey<compute_t<T>>>
__global__ void __launch_bounds__(kLossThreads, 2)
    select_kernel(LogitRows<T> logits, Mining<Key> mining, Chunks chunks, const uint8_t* all_kept) {
  constexpr int kSecond = kSharedDigits - 1;
  S3FD_SHARED(DigitCounts, counts);
  S3FD_SHARED(uint32_t, num_listed);
  const int64_t image = chunks.image();
  const uint32_t end = chunks.end();
  const uint8_t* kept = all_kept + image * chunks.anchors;
  const auto selection =
      next_selection(mining.first_selection(image, chunks.anchors), mining.histogram(image, 0), 0);
  if (selection.settled()) {
    if (chunks.chunk() == 0 && threadIdx.x == 0) mining.selections[image] = selection;
    return;
  }

  clear_counts(counts.bins, Digits<Key>::kBins);
  if (threadIdx.x == 0) num_listed = 0;
  __syncthreads();
  Key* listed = mining.listed + image * chunks.anchors + chunks.begin();
  for (uint32_t base = chunks.begin() + threadIdx.x; base - threadIdx.x < end; base += kLossRound) {
    uint8_t mark[kLossBatch]{};
    LogitPair<compute_t<T>> pair[kLossBatch]{};
#pragma unroll
    for (int j = 0; j < kLossBatch; ++j) {
      const uint32_t a = base + j * kLossThreads;
      if (a >= end) break;
      mark[j] = kept[a];
      pair[j] = logits.at(image, a);
    }
#pragma unroll
    for (int j = 0; j < kLossBatch; ++j) {
      const Key key = rising_key(pair[j].background, pair[j].face);
      const bool is_listed =
          base + j * kLossThreads < end && mark[j] == kNegative && selection.is_equal(key);
      const uint32_t place = append_lanes(&num_listed, is_listed);
      if (!is_listed) continue;
      listed[place] = key;
      const auto digit = static_cast<uint32_t>(key >> Digits<Key>::shift(kSecond));
      atomicAdd(counts.bins + digit % Digits<Key>::kBins, 1u);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) mining.num_listed[blockIdx.x] = num_listed;
  uint32_t* histogram = mining.histogram(image, kSecond);
  add_counts(counts.bins, Digits<Key>::kBins, histogram);
  if (!is_last_block(mining.arrived + 1 + image, chunks.per_image)) return;
  finish_selection(next_selection(selection, histogram, kSecond), counts, mining, chunks);
}

// A loss that is written as the mean of what it is the sum of.
struct LossOutput {
  void* data;
  bool is_double;

  __device__ void write(double sum, int64_t number) const {
    const double mean = sum / static_cast<double>(number > 0 ? number : 1);
    if (is_double) {
      *static_cast<double*>(data) = mean;
    } else {
      *static_cast<float*>(data) = static_cast<float>(mean);
    }
  }
};

struct LossOutputs {
  LossOutput class_loss, box_loss;
  int64_t* counts;  // kept anchors, positives
};

// By the threads of one block, when all others are done.
template <typename Key>
__device__ void write_losses(const Mining<Key>& mining, const Chunks& chunks,
                             const LossOutputs& outputs) {
  double class_sum = 0, box_sum = 0;
#pragma unroll 1
  for (unsigned block = threadIdx.x; block < gridDim.x; block += kLossThreads) {
    class_sum += mining.class_sums[block];
    box_sum += mining.box_sums[block];
  }
  unsigned long long positives = 0, negatives = 0;
#pragma unroll 1
  for (int64_t image = threadIdx.x; image < chunks.images; image += kLossThreads) {
    positives += mining.positives(image);
    negatives += static_cast<unsigned long long>(mining.negatives(image, chunks.anchors));
  }
  class_sum = sum_over_block<kLossThreads>(class_sum);
  box_sum = sum_over_block<kLossThreads>(box_sum);
  const auto faces = static_cast<int64_t>(sum_over_block<kLossThreads>(positives));
  const auto all = faces + static_cast<int64_t>(sum_over_block<kLossThreads>(negatives));
  if (threadIdx.x > 0) return;
  outputs.class_loss.write(class_sum, all);
  outputs.box_loss.write(box_sum, faces);
  outputs.counts[0] = all;
  outputs.counts[1] = faces;
}

template <typename T, typename Key = MarginKey<compute_t<T>>>
__global__ void __launch_bounds__(kLossThreads, 2)
    mark_kernel(LogitRows<T> logits, Mining<Key> mining, Chunks chunks, LossOutputs outputs,
                uint8_t* all_kept) {
  const int64_t image = chunks.image();
  const uint32_t end = chunks.end();
  uint8_t* kept = all_kept + image * chunks.anchors;
  const Selection<Key> selection = mining.selections[image];
  TiesOfChunk ties = ties_of_chunk(selection, mining, chunks);
  const bool keeps_any = mining.positives(image) > 0;

  double class_sum = 0;
#pragma unroll 1
  for (uint32_t base = chunks.begin(); base < end; base += kLossRound) {
    uint8_t mark[kLossBatch]{};
    LogitPair<compute_t<T>> pair[kLossBatch]{};
#pragma unroll
    for (int j = 0; j < kLossBatch; ++j) {
      const uint32_t a = base + j * kLossThreads + threadIdx.x;
      if (a >= end || !keeps_any) continue;
      mark[j] = kept[a];
      pair[j] = logits.at(image, a);
    }
#pragma unroll
    for (int j = 0; j < kLossBatch; ++j) {
      const uint32_t a = base + j * kLossThreads + threadIdx.x;
      bool above = false, tied = false;
      if (mark[j] == kNegative) {
        const Key key = rising_key(pair[j].background, pair[j].face);
        above = selection.is_above(key);
        tied = selection.is_equal(key);
      }
      if (ties.are_ranked()) {
        int here;
        const auto before = static_cast<uint32_t>(count_before<kLossThreads>(tied, here));
        tied &= before < ties.taken;
        ties.taken -= std::min(static_cast<uint32_t>(here), ties.taken);
      } else {
        tied &= ties.all;
      }
      if (mark[j] == kNegative && !above && !tied) mark[j] = kNothing;
      if (a < end) kept[a] = mark[j];
      if (mark[j] == kNothing) continue;
      const TwoLogits<compute_t<T>> two(pair[j].background, pair[j].face);
      class_sum += two.cross_entropy(mark[j] == kPositive);
    }
  }
  class_sum = sum_over_block<kLossThreads>(class_sum);
  if (threadIdx.x == 0) mining.class_sums[blockIdx.x] = class_sum;
  if (is_last_block(mining.arrived, gridDim.x)) write_losses(mining, chunks, outputs);
}

// A number on the device, of any floating-point dtype.
struct LossGradient {
  const void* data;
  ScalarType dtype;

  __device__ double value() const {
    switch (dtype) {
      case ScalarType::Double:
        return *static_cast<const double*>(data);
      case ScalarType::Half:
        return static_cast<float>(*static_cast<const Half*>(data));
      case ScalarType::BFloat16:
        return static_cast<float>(*static_cast<const BFloat16*>(data));
      default:
        return *static_cast<const float*>(data);
    }
  }
};

// Gradients of both losses, and the counts of what these are means of.
struct LossGradients {
  LossGradient of_class, of_boxes;
  const int64_t* counts;
};

template <typename T, typename U>
struct LossGradientOutputs {
  Packed<T, 2>* logits;
  Packed<U, 4>* deltas;
};

template <typename T>
__device__ Packed<T, 2> logits_gradient(const LogitPair<compute_t<T>>& pair, uint8_t mark,
                                        compute_t<T> factor) {
  const TwoLogits<compute_t<T>> two(pair.background, pair.face);
  const compute_t<T> of_face = two.gradient(mark == kPositive) * factor;
  return {{static_cast<T>(-of_face), static_cast<T>(of_face)}};
}

template <typename U>
__device__ Packed<U, 4> deltas_gradient(const Delta<compute_t<U>>& error, compute_t<U> factor) {
  return {{static_cast<U>(smooth_l1_gradient(error.dx) * factor),
           static_cast<U>(smooth_l1_gradient(error.dy) * factor),
           static_cast<U>(smooth_l1_gradient(error.dw) * factor),
           static_cast<U>(smooth_l1_gradient(error.dh) * factor)}};
}

template <typename T, typename U>
__global__ void __launch_bounds__(kGradientThreads, std::is_same_v<U, double> ? 2 : 4)
    multibox_loss_backward_kernel(LossGradients gradients, LogitRows<T> logits,
                                  BatchRows<int64_t> matched, LossTargets<U> targets,
                                  const S3FD_GRID_CONSTANT SplitsArgument splits,
                                  const uint8_t* kept, int64_t anchors, int64_t size,
                                  LossGradientOutputs<T, U> outputs) {
  S3FD_SHARED(compute_t<T>, class_factor);
  S3FD_SHARED(compute_t<U>, box_factor);
  // Once a block: divisions of doubles are slow on most cards.
  if (threadIdx.x == 0) {
    class_factor = static_cast<compute_t<T>>(gradients.of_class.value() /
                                             static_cast<double>(gradients.counts[0]));
  } else if (threadIdx.x == kWarp) {
    box_factor = static_cast<compute_t<U>>(gradients.of_boxes.value() /
                                           static_cast<double>(gradients.counts[1]));
  }
  const int64_t base = int64_t{blockIdx.x} * kGradientThreads * kGradientBatch + threadIdx.x;
  uint32_t marks = 0;  // of all anchors of this thread, a byte each
#pragma unroll
  for (int j = 0; j < kGradientBatch; ++j) {
    const int64_t i = base + j * kGradientThreads;
    if (i < size) marks |= uint32_t{kept[i]} << 8 * j;
  }
  __syncthreads();
#pragma unroll 1
  for (int64_t i = base, j = 0; j < kGradientBatch && i < size; i += kGradientThreads, ++j) {
    const auto mark = static_cast<uint8_t>(marks >> 8 * j);
    Packed<T, 2> of_logits{};
    Packed<U, 4> of_deltas{};
    if (mark != kNothing) {
      const int64_t image = i / anchors, a = i % anchors;
      of_logits = logits_gradient<T>(logits.at(image, a), mark, class_factor);
      if (mark == kPositive) {
        const int64_t match = *matched.at(image, a);
        const int64_t* begin = splits.begin() + image;
        S3FD_DEVICE_CHECK(match >= 0 && match < begin[1] - begin[0],
                          "s3fd::multibox_loss_backward: matched names a box that isn't there");
        of_deltas = deltas_gradient<U>(targets.error(image, a, begin[0] + match), box_factor);
      }
    }
    outputs.logits[i] = of_logits;
    outputs.deltas[i] = of_deltas;
  }
}

}  // namespace s3fd::cuda
