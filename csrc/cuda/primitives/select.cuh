// The smallest entries of several lists at once, whose lengths only the device knows: a selection
// by radix, by many blocks a list.
//
// The entries of a list are counted by their first 11 bits, which tells the bits that the last one
// wanted begins with; those that begin so are counted by the next 11 bits, and so on. Every digit
// is a launch: two or three for what floats differ by, one or two more for the numbers of entries
// whose keys are equal. Of a list that needs no more digits, or that has no more entries than
// wanted, they do nothing. A last launch brings together what is selected, in no order.
#pragma once

#include <algorithm>

#include "cuda/primitives/block.cuh"
#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/sort.cuh"
#include "cuda/primitives/warp.cuh"

namespace s3fd::cuda {

constexpr int kSelectThreads = 512, kSelectDigitBits = 11, kSelectDigits = 1 << kSelectDigitBits;

// What is known of the last wanted entry of a list. All 0 at first.
struct Threshold {
  NarrowEntry last;   // its first bits; once it is settled, what no wanted entry goes behind
  unsigned before;    // entries that go before all that begin so
  unsigned arrived;   // blocks that have counted
  unsigned selected;  // entries that have been brought together
  bool is_settled;
};

struct EntrySelection {
  const NarrowEntry* entries;  // [lists, stride]
  int64_t stride;
  const unsigned* counts;  // [lists]
  unsigned wanted;         // of a list, at most
  Threshold* thresholds;   // [lists], 0 at first
  unsigned* histograms;    // [lists, digits], 0 at first and behind every launch
  NarrowEntry* selected;   // [lists, wanted]
};

// Where in a histogram the entry of a rank is.
struct DigitOfRank {
  unsigned digit, rank, count;  // the rank among those that share the digit, and how many do
};

// Looks up a rank, from 1, in a histogram of the block, which is cleared.
__device__ inline DigitOfRank digit_of_rank(unsigned* histogram, unsigned rank) {
  S3FD_SHARED(DigitOfRank, result);
  constexpr int kPerThread = kSelectDigits / kSelectThreads;
  const unsigned first = threadIdx.x * kPerThread;
  unsigned counts[kPerThread], sum = 0, total;
  for (int i = 0; i < kPerThread; ++i) {
    sum += counts[i] = histogram[first + i];
    histogram[first + i] = 0;
  }
  unsigned before = sum_before<kSelectThreads>(sum, total);
  for (int i = 0; i < kPerThread; ++i) {
    if (before < rank && rank <= before + counts[i]) result = {first + i, rank - before, counts[i]};
    before += counts[i];
  }
  __syncthreads();
  return result;
}

// Counts the entries that begin as the threshold by the digit `shift` bits from their ends, and
// adds that digit to the threshold. `unknown`: how many bits follow those that are known. Grid:
// blocks, lists.
__global__ void __launch_bounds__(kSelectThreads)
    count_digits_kernel(EntrySelection lists, int unknown, int shift) {
  S3FD_SHARED(unsigned[kSelectDigits], counts);
  const int64_t list = blockIdx.y;
  const unsigned count = lists.counts[list];
  Threshold& threshold = lists.thresholds[list];
  if (count <= lists.wanted || threshold.is_settled) return;
  const NarrowEntry prefix = threshold.last;
  const NarrowEntry known = unknown < 64 ? ~NarrowEntry{0} << unknown : 0;
  const unsigned wanted = lists.wanted - threshold.before;

  for (int i = static_cast<int>(threadIdx.x); i < kSelectDigits; i += kSelectThreads) counts[i] = 0;
  __syncthreads();
  const NarrowEntry* entries = lists.entries + list * lists.stride;
  for (int64_t i = int64_t{blockIdx.x} * kSelectThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kSelectThreads) {
    const NarrowEntry entry = entries[i];
    if ((entry & known) == prefix) atomicAdd(&counts[entry >> shift & (kSelectDigits - 1)], 1u);
  }
  __syncthreads();
  unsigned* histogram = lists.histograms + list * kSelectDigits;
  for (int i = static_cast<int>(threadIdx.x); i < kSelectDigits; i += kSelectThreads) {
    if (counts[i] > 0) atomicAdd(histogram + i, counts[i]);
  }
  if (!is_last_block(&threshold.arrived, gridDim.x)) return;
  const DigitOfRank found = digit_of_rank(histogram, wanted);
  if (threadIdx.x > 0) return;
  // All that begin so are wanted, or nothing is left to tell apart.
  const bool is_settled = found.count == found.rank || shift == 0;
  const NarrowEntry bits = prefix | NarrowEntry{found.digit} << shift;
  threshold.last = is_settled ? bits | ~(~NarrowEntry{0} << shift) : bits;
  threshold.before = lists.wanted - found.rank;
  threshold.is_settled = is_settled;
}

// Brings together what does not go behind the thresholds. Grid: blocks, lists.
__global__ void __launch_bounds__(kSelectThreads) gather_selected_kernel(EntrySelection lists) {
  const int64_t list = blockIdx.y;
  const unsigned count = lists.counts[list];
  Threshold& threshold = lists.thresholds[list];
  const NarrowEntry last = count <= lists.wanted ? last_entry<NarrowEntry>() : threshold.last;
  const NarrowEntry* entries = lists.entries + list * lists.stride;
  for (int64_t first = int64_t{blockIdx.x} * kSelectThreads; first < count;
       first += int64_t{gridDim.x} * kSelectThreads) {
    const int64_t i = first + threadIdx.x;
    const NarrowEntry entry = i < count ? entries[i] : 0;
    const bool is_selected = i < count && entry <= last;
    const unsigned place = append_lanes(&threshold.selected, is_selected);
    if (is_selected) lists.selected[list * lists.wanted + place] = entry;
  }
}

// `capacity`: entries that a list may have. Their numbers have `number_bits` bits.
inline void select_smallest(const EntrySelection& selection, int64_t lists, int64_t capacity,
                            int number_bits, cudaStream_t stream) {
  constexpr int64_t kBlocks = 512;  // about as many as run side by side on a large card
  const int64_t blocks =
      std::min(std::max<int64_t>(1, kBlocks / lists), ceil_divide(capacity, kSelectThreads));
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(lists));
  for (int unknown = 64; unknown > 0;) {
    const int shift = std::max(unknown - kSelectDigitBits, 0);
    launch(count_digits_kernel, grid, kSelectThreads, 0, stream, selection, unknown, shift);
    unknown = shift <= 32 ? std::min(shift, number_bits) : shift;
  }
  launch(gather_selected_kernel, grid, kSelectThreads, 0, stream, selection);
}

}  // namespace s3fd::cuda
