// The multi-box loss with hard negative mining, and its gradient.
//
// Mining is a selection by radix, not a sort: the backgrounds of an image are counted by the first
// 11 bits of their keys (rising_key), which tells the bits that the last one wanted begins with;
// those that begin so are counted by the next 11 bits, and so on. Every pass reads the logits and
// a byte an anchor, and has a launch of its own; an image whose selection is settled is left alone.
//  1. label: what each anchor is, written to `kept`; the count by the first digit; the box loss of
//     the positives, the only ones whose deltas, anchors and boxes are read.
//  2. count, one launch for each further digit: two for keys of 32 bits, five for 64 bits.
//  3. mark: what is kept, and its cross-entropies; the last block adds up what the blocks have.
// Of equal keys at the threshold the lower index is taken: the last count leaves behind how many
// each block has of each digit, so that a block knows how many ties are taken before its own.
//
// An image is cut into chunks, a block each, about as many as run side by side. Chunks depend on
// sizes alone and the sums of blocks are added in a fixed order; the atomics count integers. So the
// result is always the same. Nothing of size B x A is stored but `kept`.
//
// A memset and four launches. All passes read the logits; in between these stay in the L2 cache up
// to a batch of 100 images of 640 pixels on an H100, so that DRAM moves them once. Small
// batches are bound by launches, large ones by memory. The gradient is one launch that writes two
// logits and four deltas an anchor, zeros or not, and reads a byte for them; what is read for kept
// anchors is nothing beside that.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/packed.cuh"
#include "cuda/primitives/sums.cuh"
#include "shared/geometry.h"
#include "shared/multibox_loss.h"

namespace s3fd::cuda {

// Threads of a block, and anchors that each of them reads at a time so that loads overlap.
constexpr int kLossThreads = 512, kLossBatch = 2, kLossRound = kLossThreads * kLossBatch;
constexpr int kGradientThreads = 256, kGradientBatch = 4;

// A tensor [B, A] or [B, A, C], read through its strides.
template <typename T>
struct BatchRows {
  const T* data;
  int64_t image, row, column;  // strides

  __device__ const T* at(int64_t i, int64_t a) const { return data + i * image + a * row; }
};

template <typename C>
struct LogitPair {
  C background, face;
};

template <typename T>
struct LogitRows {
  BatchRows<T> rows;
  bool packed;  // both logits of an anchor are read as one

  __device__ LogitPair<compute_t<T>> at(int64_t i, int64_t a) const {
    using C = compute_t<T>;
    const T* values = rows.at(i, a);
    if (packed) {
      const auto pair = read_packed<2>(values);
      return {static_cast<C>(pair.values[0]), static_cast<C>(pair.values[1])};
    }
    return {static_cast<C>(values[0]), static_cast<C>(values[rows.column])};
  }
};

// How images are cut into chunks, one block each. An image has less than 2^31 anchors.
struct Chunks {
  int64_t images;
  uint32_t anchors, length, per_image;

  __device__ int64_t image() const { return blockIdx.x / per_image; }
  __device__ uint32_t chunk() const { return blockIdx.x % per_image; }
  __device__ uint32_t begin() const { return chunk() * length; }
  __device__ uint32_t end() const {
    return begin() + length < anchors ? begin() + length : anchors;
  }
};

// The digits of a key, from its highest bits down.
template <typename Key>
struct Digits {
  static constexpr int kBits = 8 * sizeof(Key), kWidth = 11, kBins = 1 << kWidth;
  static constexpr int kCount = (kBits + kWidth - 1) / kWidth;
  static constexpr int kLastBins = 1 << (kBits - (kCount - 1) * kWidth);

  // How far to the right a key is shifted so that it ends in a digit.
  S3FD_HOST_DEVICE static int shift(int digit) {
    return digit == kCount - 1 ? 0 : kBits - kWidth * (digit + 1);
  }
  S3FD_HOST_DEVICE static int bins(int digit) { return digit == kCount - 1 ? kLastBins : kBins; }
};

// What is known of the backgrounds that an image keeps: all whose first bits are above `prefix`,
// and `vacant` of the `equal` ones that have these bits.
template <typename Key>
struct Selection {
  Key prefix;
  int shift;
  uint32_t vacant, equal;

  __device__ bool settled() const { return vacant == equal; }
  __device__ bool is_above(Key key) const { return key >> shift > prefix; }
  __device__ bool is_equal(Key key) const { return key >> shift == prefix; }
};

// Memory of a call to multibox_loss. What comes first has to be 0 before.
template <typename Key>
struct Mining {
  static constexpr int kDigits = Digits<Key>::kCount, kBins = Digits<Key>::kBins;

  uint32_t* histograms;        // [B, digits, bins]
  uint32_t* counts;            // [B, 2]: positives, backgrounds
  uint32_t* arrived;           // [1]: blocks of mark
  Selection<Key>* selections;  // [B, digits - 1]
  uint32_t* ties;              // [blocks, bins of the last digit]
  double* class_sums;          // [blocks]
  double* box_sums;            // [blocks]
  double negative_ratio;

  __device__ uint32_t* histogram(int64_t image, int digit) const {
    return histograms + (image * kDigits + digit) * kBins;
  }
  __device__ Selection<Key>* selection(int64_t image, int digit) const {
    return selections + image * (kDigits - 1) + digit;
  }
  __device__ uint32_t positives(int64_t image) const { return counts[2 * image]; }
  __device__ int64_t negatives(int64_t image, int64_t anchors) const {
    return wanted_negatives(positives(image), counts[2 * image + 1], negative_ratio, anchors);
  }

  // Before any digit is known.
  __device__ Selection<Key> first_selection(int64_t image, int64_t anchors) const {
    const auto backgrounds = counts[2 * image + 1];
    const auto wanted = static_cast<uint32_t>(negatives(image, anchors));
    if (wanted == 0) return {std::numeric_limits<Key>::max(), 0, 0, 0};
    if (wanted == backgrounds) return {0, 0, 0, 0};
    return {0, Digits<Key>::kBits, wanted, backgrounds};
  }
};

// What is known once an image's backgrounds have been counted by a digit. All threads call it.
template <typename Key>
__device__ Selection<Key> next_selection(const Selection<Key>& before, const uint32_t* histogram,
                                         int digit) {
  static_assert(Digits<Key>::kBins == 4 * kLossThreads);
  S3FD_SHARED(Selection<Key>, next);
  if (before.settled()) return before;
  const auto thread = static_cast<int>(threadIdx.x), fours = Digits<Key>::bins(digit) / 4;
  const int four = fours - 1 - thread;  // the first threads have the highest bins
  const uint4 bins = four >= 0 ? reinterpret_cast<const uint4*>(histogram)[four] : uint4{};
  const uint32_t counts[] = {bins.w, bins.z, bins.y, bins.x};
  uint32_t above = sum_before_in_block<kLossThreads>(bins.x + bins.y + bins.z + bins.w);
  for (int i = 0; i < 4; ++i) {
    if (above < before.vacant && before.vacant - above <= counts[i]) {
      const Key high = before.prefix * Digits<Key>::bins(digit);
      next = {high + static_cast<Key>(4 * four + 3 - i), Digits<Key>::shift(digit),
              before.vacant - above, counts[i]};
    }
    above += counts[i];
  }
  __syncthreads();
  return next;
}

// The tensors beside logits and matches, which only positives need.
template <typename U>
struct LossTargets {
  using C = compute_t<U>;

  BatchRows<U> deltas;
  bool packed;  // the four deltas of an anchor are read as one
  const C* anchors;
  int64_t anchor_row, anchor_column;  // strides
  const Box<C>* boxes;
  const int64_t* splits;
  int64_t images, num_boxes;
  Variances<C> variances;

  __device__ int64_t boxes_of(int64_t image) const { return splits[image + 1] - splits[image]; }

  __device__ void check_splits(int64_t image) const {
    S3FD_DEVICE_CHECK(
        splits[0] == 0 && splits[images] == num_boxes && splits[image] >= 0 &&
            splits[image] <= splits[image + 1] && splits[image + 1] <= num_boxes,
        "s3fd::multibox_loss: expected splits that rise from 0 to the number of boxes");
  }

  // What was predicted for a positive, minus the encoded box.
  __device__ Delta<C> error(int64_t image, int64_t a, int64_t match) const {
    const C* corner = anchors + a * anchor_row;
    const Box<C> anchor{corner[0], corner[anchor_column], corner[2 * anchor_column],
                        corner[3 * anchor_column]};
    const Delta<C> wanted = encode(boxes[splits[image] + match], anchor, variances);
    const Delta<C> predicted = delta(deltas.at(image, a));
    return {predicted.dx - wanted.dx, predicted.dy - wanted.dy, predicted.dw - wanted.dw,
            predicted.dh - wanted.dh};
  }

 private:
  __device__ Delta<C> delta(const U* values) const {
    if (packed) {
      const auto four = read_packed<4>(values);
      return {static_cast<C>(four.values[0]), static_cast<C>(four.values[1]),
              static_cast<C>(four.values[2]), static_cast<C>(four.values[3])};
    }
    return {static_cast<C>(values[0]), static_cast<C>(values[deltas.column]),
            static_cast<C>(values[2 * deltas.column]), static_cast<C>(values[3 * deltas.column])};
  }
};

// Counts of the first digit, in shared memory. Most margins of an image begin alike: four counts a
// bin, in neighbouring banks, let four lanes count the same digit at once.
struct FirstDigits {
  static constexpr int kCopies = 4;

  uint4* counts;  // [bins]

  __device__ void clear() const {
    for (unsigned i = threadIdx.x; i < Digits<uint32_t>::kBins; i += kLossThreads) {
      counts[i] = uint4{};
    }
  }
  __device__ void add(uint32_t digit) const {
    atomicAdd(reinterpret_cast<uint32_t*>(counts + digit) + threadIdx.x % kCopies, 1u);
  }
  __device__ void flush(uint32_t* histogram) const {
    for (unsigned i = threadIdx.x; i < Digits<uint32_t>::kBins; i += kLossThreads) {
      const uint4 four = counts[i];
      const uint32_t count = four.x + four.y + four.z + four.w;
      if (count > 0) atomicAdd(histogram + i, count);
    }
  }
};

// The box loss of a thread's positives, from its first to its last anchor of that kind: behind the
// loop over all anchors, which needs the registers.
template <typename U>
__device__ double box_loss_of(const LossTargets<U>& targets, int64_t image,
                              const BatchRows<int64_t>& matched, const uint8_t* kept,
                              uint32_t first, uint32_t last) {
  double sum = 0;
#pragma unroll 1
  for (uint32_t a = first; a <= last; a += kLossThreads) {
    if (kept[a] != kPositive) continue;
    const auto error = targets.error(image, a, *matched.at(image, a));
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
                 Mining<Key> mining, Chunks chunks, uint8_t* all_kept) {
  S3FD_SHARED(uint4[Digits<Key>::kBins], digit_counts);
  const FirstDigits digits{digit_counts};
  const int64_t image = chunks.image();
  const uint32_t end = chunks.end();
  uint8_t* kept = all_kept + image * chunks.anchors;
  targets.check_splits(image);
  const int64_t num_boxes = targets.boxes_of(image);
  digits.clear();
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
        digits.add(static_cast<uint32_t>(rising_key(pair[j].background, pair[j].face) >>
                                         Digits<Key>::shift(0)));
      }
      if (match[j] >= 0) {
        if (positives++ == 0) first_face = a;
        last_face = a;
      }
    }
  }
  const double box_sum =
      positives == 0 ? 0 : box_loss_of(targets, image, matched, kept, first_face, last_face);
  positives = sum_over_block<kLossThreads>(positives);  // from here on all digits are counted
  backgrounds = sum_over_block<kLossThreads>(backgrounds);
  const double box_loss = sum_over_block<kLossThreads>(box_sum);
  if (threadIdx.x == 0) {
    if (positives > 0) atomicAdd(mining.counts + 2 * image, positives);
    if (backgrounds > 0) atomicAdd(mining.counts + 2 * image + 1, backgrounds);
    mining.box_sums[blockIdx.x] = box_loss;
  }
  digits.flush(mining.histogram(image, 0));
}

// Counts, by a digit, the backgrounds that share all bits before it with the last one wanted.
template <typename T, typename Key = MarginKey<compute_t<T>>>
__global__ void __launch_bounds__(kLossThreads, 2)
    count_kernel(LogitRows<T> logits, Mining<Key> mining, Chunks chunks, int digit,
                 const uint8_t* all_kept) {
  S3FD_SHARED(uint32_t[Digits<Key>::kBins], counts);
  const int64_t image = chunks.image();
  const uint32_t end = chunks.end();
  const uint8_t* kept = all_kept + image * chunks.anchors;
  const Selection<Key> before = digit == 1 ? mining.first_selection(image, chunks.anchors)
                                           : *mining.selection(image, digit - 2);
  const auto selection = next_selection(before, mining.histogram(image, digit - 1), digit - 1);
  if (chunks.chunk() == 0 && threadIdx.x == 0) *mining.selection(image, digit - 1) = selection;
  if (selection.settled()) return;

  const unsigned bins = Digits<Key>::bins(digit);
  for (unsigned i = threadIdx.x; i < bins; i += kLossThreads) counts[i] = 0;
  __syncthreads();
  const int shift = Digits<Key>::shift(digit);
  for (uint32_t base = chunks.begin() + threadIdx.x; base < end; base += kLossRound) {
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
      if (base + j * kLossThreads >= end) break;
      const Key key = rising_key(pair[j].background, pair[j].face);
      if (mark[j] == kNegative && selection.is_equal(key)) {
        atomicAdd(counts + static_cast<uint32_t>(key >> shift) % bins, 1u);
      }
    }
  }
  __syncthreads();
  for (unsigned i = threadIdx.x; i < bins; i += kLossThreads) {
    if (counts[i] > 0) atomicAdd(mining.histogram(image, digit) + i, counts[i]);
    if (digit == Digits<Key>::kCount - 1) {
      mining.ties[int64_t{blockIdx.x} * Digits<Key>::kLastBins + i] = counts[i];
    }
  }
}

// How many of its keys at the threshold a chunk takes: those of the lowest index.
struct TiesOfChunk {
  uint32_t taken;
  bool all;

  __device__ bool are_ranked() const { return !all && taken > 0; }
};

// All threads call it.
template <typename Key>
__device__ TiesOfChunk ties_of_chunk(const Selection<Key>& selection, const Mining<Key>& mining,
                                     const Chunks& chunks) {
  if (selection.settled()) return {0, true};
  constexpr unsigned bins = Digits<Key>::kLastBins;
  const uint32_t chunk = chunks.chunk();
  const uint32_t* first = mining.ties + chunks.image() * chunks.per_image * bins +
                          static_cast<uint32_t>(selection.prefix) % bins;
  uint32_t before = 0;
#pragma unroll 1
  for (uint32_t i = threadIdx.x; i < chunk; i += kLossThreads) before += first[int64_t{i} * bins];
  before = sum_over_block<kLossThreads>(before);
  const uint32_t taken = before < selection.vacant ? selection.vacant - before : 0;
  return {taken, first[int64_t{chunk} * bins] <= taken};
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
  constexpr int kLast = Digits<Key>::kCount - 1;
  const int64_t image = chunks.image();
  const uint32_t end = chunks.end();
  uint8_t* kept = all_kept + image * chunks.anchors;
  const auto selection =
      next_selection(*mining.selection(image, kLast - 1), mining.histogram(image, kLast), kLast);
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
        const auto here = static_cast<uint32_t>(__syncthreads_count(tied));
        tied &= sum_before_in_block<kLossThreads>(tied) < ties.taken;
        ties.taken -= here < ties.taken ? here : ties.taken;
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
  if (is_last_block(mining.arrived)) write_losses(mining, chunks, outputs);
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
        targets.check_splits(image);
        const int64_t match = *matched.at(image, a);
        S3FD_DEVICE_CHECK(match >= 0 && match < targets.boxes_of(image),
                          "s3fd::multibox_loss_backward: matched names a box that isn't there");
        of_deltas = deltas_gradient<U>(targets.error(image, a, match), box_factor);
      }
    }
    outputs.logits[i] = of_logits;
    outputs.deltas[i] = of_deltas;
  }
}

}  // namespace s3fd::cuda
