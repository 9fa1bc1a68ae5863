// Which backgrounds the multi-box loss keeps: a selection by radix, whose counts the launches of
// multibox_loss.cuh share. Digit by digit of their keys it becomes known which ones an image's last
// wanted background begins with: by many blocks for the first two digits, and by one for all
// others, among the few keys that share the first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cuda/primitives/block.cuh"
#include "cuda/primitives/launch.h"
#include "shared/multibox_loss.h"

namespace s3fd::cuda {

constexpr int kLossThreads = 512;

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

constexpr int kDigitWidth = 11;

// The digits of a key, from its highest bits down.
template <typename Key>
struct Digits {
  static constexpr int kBits = 8 * sizeof(Key), kWidth = kDigitWidth, kBins = 1 << kWidth;
  static constexpr int kCount = (kBits + kWidth - 1) / kWidth;
  static constexpr int kLastBins = 1 << (kBits - (kCount - 1) * kWidth);

  // How far to the right a key is shifted so that it ends in a digit.
  S3FD_HOST_DEVICE static int shift(int digit) {
    return digit == kCount - 1 ? 0 : kBits - kWidth * (digit + 1);
  }
  S3FD_HOST_DEVICE static int bins(int digit) { return digit == kCount - 1 ? kLastBins : kBins; }
};

// What is counted by many blocks.
constexpr int kSharedDigits = 2;

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
  static constexpr int kBins = Digits<Key>::kBins;

  uint32_t* histograms;        // [B, kSharedDigits, bins]
  uint32_t* counts;            // [B, 2]: positives, backgrounds
  uint32_t* arrived;           // [1 + B]: blocks of mark, and those of each image
  Selection<Key>* selections;  // [B]: once all digits are known that have to be
  Key* listed;                 // [B, anchors]: of each chunk those that share the first digit
  uint32_t* num_listed;        // [blocks]
  uint32_t* ties;              // [blocks]: keys of each chunk at the threshold
  double* class_sums;          // [blocks]
  double* box_sums;            // [blocks]
  double negative_ratio;

  __device__ uint32_t* histogram(int64_t image, int digit) const {
    return histograms + (image * kSharedDigits + digit) * kBins;
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
  uint32_t total;
  uint32_t above = sum_before<kLossThreads>(bins.x + bins.y + bins.z + bins.w, total);
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

// Counts of a digit, in shared memory. Most margins of an image begin alike: multiprocessors add up
// what the lanes of a warp add to one address.
struct alignas(16) DigitCounts {
  uint32_t bins[1 << kDigitWidth];
};

__device__ inline void clear_counts(uint32_t* counts, unsigned bins) {
  for (unsigned i = threadIdx.x; i < bins; i += kLossThreads) counts[i] = 0;
}
__device__ inline void add_counts(const uint32_t* counts, unsigned bins, uint32_t* histogram) {
  for (unsigned i = threadIdx.x; i < bins; i += kLossThreads) {
    if (counts[i] > 0) atomicAdd(histogram + i, counts[i]);
  }
}

// Calls function(block, keys, how many) for what each chunk of the image has listed: a warp a
// chunk.
template <typename Key, typename Function>
__device__ void for_each_listed(const Mining<Key>& mining, const Chunks& chunks,
                                const Function& function) {
  constexpr uint32_t kWarps = kLossThreads / kWarp;
  const int64_t image = chunks.image();
  for (uint32_t chunk = threadIdx.x / kWarp; chunk < chunks.per_image; chunk += kWarps) {
    const int64_t block = image * chunks.per_image + chunk;
    const Key* listed = mining.listed + image * chunks.anchors + int64_t{chunk} * chunks.length;
    function(block, listed, mining.num_listed[block]);
  }
}

// Takes an image's selection from the first two digits, which are known, to its end, by one block
// that sees what all chunks have listed. All threads call it.
template <typename Key>
__device__ void finish_selection(Selection<Key> selection, DigitCounts& counts,
                                 const Mining<Key>& mining, const Chunks& chunks) {
  const unsigned lane = threadIdx.x % kWarp;
#pragma unroll 1
  for (int digit = kSharedDigits; digit < Digits<Key>::kCount && !selection.settled(); ++digit) {
    const unsigned bins = Digits<Key>::bins(digit);
    const int shift = Digits<Key>::shift(digit);
    clear_counts(counts.bins, bins);
    __syncthreads();
    for_each_listed(mining, chunks, [&](int64_t, const Key* listed, uint32_t size) {
      for (uint32_t i = lane; i < size; i += kWarp) {
        const Key key = listed[i];
        if (selection.is_equal(key)) {
          atomicAdd(counts.bins + static_cast<uint32_t>(key >> shift) % bins, 1u);
        }
      }
    });
    __syncthreads();
    selection = next_selection(selection, counts.bins, digit);
  }
  if (threadIdx.x == 0) mining.selections[chunks.image()] = selection;
  if (selection.settled()) return;
  for_each_listed(mining, chunks, [&](int64_t block, const Key* listed, uint32_t size) {
    uint32_t ties = 0;
    for (uint32_t i = lane; i < size; i += kWarp) ties += selection.is_equal(listed[i]);
    ties = sum_over_warp(ties);
    if (lane == 0) mining.ties[block] = ties;
  });
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
  const uint32_t chunk = chunks.chunk();
  const uint32_t* ties = mining.ties + chunks.image() * chunks.per_image;
  uint32_t before = 0;
#pragma unroll 1
  for (uint32_t i = threadIdx.x; i < chunk; i += kLossThreads) before += ties[i];
  before = sum_over_block<kLossThreads>(before);
  const uint32_t taken = before < selection.vacant ? selection.vacant - before : 0;
  return {taken, ties[chunk] <= taken};
}

}  // namespace s3fd::cuda
