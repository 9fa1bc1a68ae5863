// Two-stage matching of anchors to boxes, for all images of a batch at once. No matrix of IoUs is
// held: a block of threads takes one box, and walks the anchors that it can overlap enough
// (match_grid.cuh, match_list.cuh).
//
// While boxes compete, an anchor's place in the output holds the strongest claim on it as one
// integer: first the rule that it was made by, then the IoU, then the lower box. An atomic maximum
// settles all ties and all ranks, whatever the order of the claims, so that an anchor of stage 1
// can't be taken away in stage 2, and ignore regions may be marked at any time.
//
// The rule is that boxes with fewer than N anchors after stage 1 look for more. Who has won which
// need not be known for that: a box with N anchors of positive_iou or more finds no other one among
// its N best, and all of these are matched, by it or by another box. (If it owns one below the
// threshold, that is its best, and it has none above.) So boxes count for themselves.
//
// claim_kernel          stage 1: a block a box; and the ignore regions: four blocks each
// compensate_kernel     stage 2: a block a box; those with enough anchors leave at once
// settle_kernel         claims become indices: a thread an anchor
//
// The output is set to 0, and read and written once more: 24 bytes an anchor and image, of which
// the L2 cache keeps most. That, and the four launches (prepare.cuh has the first; a list of
// anchors has a fifth for its bounds), is what small batches take. With many boxes the walks count:
// about 40 operations a visit, one visit in stage 1 and four to seven in stage 2, of some 130
// anchors in the reach of a box on the paper's grid; of a list three times as many are visited,
// after a look at the bounds of all groups of 64.
#pragma once

#include "cuda/device_grid.h"
#include "cuda/match_block.cuh"
#include "shared/matching.h"

namespace s3fd::cuda {

// What an anchor's place holds until it is settled: nothing, or that a region hides it, or a claim.
constexpr Key kUnclaimed = 0, kHidden = 1;

// The rules that a claim can be made by, the stronger the higher.
enum class Rule : unsigned { kCompensation = 1, kOverlap = 2, kBestAnchor = 3 };

__device__ inline Key make_claim(Rule rule, float overlap, int64_t box) {
  return Key{static_cast<unsigned>(rule)} << (kIouBits + 32) | Key{bits_of(overlap)} << 32 |
         ~static_cast<uint32_t>(box);
}

__device__ inline uint32_t box_of(Key claim) { return ~static_cast<uint32_t>(claim); }

// Where in the batch a box is.
struct BoxPlace {
  int64_t image, first_box, num_boxes;
};

// The last image that begins at or before a row. The threads of a block search together, and for up
// to as many images as they are in one step.
__device__ inline BoxPlace place_of(const BoxBatch& batch, int64_t row) {
  int64_t first = 0, count = batch.num_images;
  while (count > 1) {
    const int64_t step = (count + kMatchThreads - 1) / kMatchThreads;
    const int64_t probe = threadIdx.x * step;
    const int begun = __syncthreads_count(probe < count && batch.splits[first + probe] <= row);
    const int64_t skipped = begun > 1 ? (begun - 1) * step : 0;
    first += skipped;
    count = std::min(step, count - skipped);
  }
  const int64_t begin = batch.splits[first];
  return {first, begin, batch.splits[first + 1] - begin};
}

// How many anchors each box overlaps by positive_iou or more, and how many stage 1 gives to the
// boxes of each image; null if nobody asks.
struct MatchCounts {
  int *of_boxes, *of_images;
};

// The claims that one box makes in stage 1.
struct Claimant {
  Key* cells;          // of its image
  int64_t box;         // among those of its image
  unsigned fresh = 0;  // anchors that were nobody's before

  __device__ void claim(uint32_t anchor, Rule rule, float overlap) {
    fresh += atomicMax(cells + anchor, make_claim(rule, overlap, box)) <= kHidden;
  }
};

// An anchor that a box overlaps; of equal IoUs the lower anchor is better.
__device__ inline Key make_candidate(float overlap, uint32_t anchor) {
  return Key{bits_of(overlap)} << 32 | ~anchor;
}

template <typename Anchors>
__device__ void claim_by_overlap(const Anchors& anchors, const BoxBatch& boxes, int64_t row,
                                 const MatchOptions& options, const MatchCounts& counts, Key* cells,
                                 typename Anchors::Scratch& scratch) {
  const BoxPlace place = place_of(boxes, row);
  const Box<float> box = boxes.rows[row];
  if (!is_proper(box)) return;
  const float box_area = area(box);
  float enough = options.positive_iou;
  if (options.keep_best) enough = std::min(enough, anchors.some_iou(box));
  Claimant claimant{cells + place.image * anchors.size(), row - place.first_box};
  Key best = 0;
  unsigned positives = 0;
  anchors.look(box, enough, scratch);
  anchors.walk(box, enough, scratch, [&](uint32_t index, const Box<float>& anchor) {
    const float overlap = iou(anchor, area(anchor), box, box_area);
    if (!(overlap > 0)) return;
    best = std::max(best, make_candidate(overlap, index));
    if (overlap < options.positive_iou) return;
    ++positives;
    claimant.claim(index, Rule::kOverlap, overlap);
  });
  if (options.keep_best) {
    best = max_over_block<kMatchThreads>(best);
    if (threadIdx.x == 0 && best > 0) {
      claimant.claim(~static_cast<uint32_t>(best), Rule::kBestAnchor,
                     std::bit_cast<float>(static_cast<uint32_t>(best >> 32)));
    }
  }
  if (counts.of_boxes == nullptr) return;
  const Key sums = sum_over_block<kMatchThreads>(Key{positives} << 32 | claimant.fresh);
  if (threadIdx.x == 0) {
    counts.of_boxes[row] = static_cast<int>(sums >> 32);
    atomicAdd(counts.of_images + place.image, static_cast<int>(static_cast<uint32_t>(sums)));
  }
}

// A region may be a crowd, and hold most anchors of an image: so many blocks share it.
constexpr int kRegionBlocks = 4;

// Calls mark(cell) for the anchors of whose own area at least half lies in a region, or a part of
// them.
template <typename Anchors, typename Mark>
__device__ void hide(const Anchors& anchors, const BoxBatch& regions, int64_t row, int part,
                     Key* cells, typename Anchors::Scratch& scratch, const Mark& mark) {
  const BoxPlace place = place_of(regions, row);
  const Box<float> region = regions.rows[row];
  if (!is_proper(region)) return;
  cells += place.image * anchors.size();
  anchors.look(region, 0, scratch);
  const auto hide_one = [&](uint32_t index, const Box<float>& anchor) {
    if (is_proper(anchor) && intersection(anchor, region) >= 0.5f * area(anchor)) {
      mark(cells + index);
    }
  };
  anchors.walk(region, 0, scratch, hide_one, part, kRegionBlocks);
}

// A block for each box, and then kRegionBlocks for each ignore region.
template <typename Anchors>
__global__ void __launch_bounds__(kMatchThreads)
    claim_kernel(const S3FD_GRID_CONSTANT Anchors anchors, BoxBatch boxes, BoxBatch regions,
                 MatchOptions options, MatchCounts counts, Key* cells) {
  S3FD_SHARED(typename Anchors::Scratch, scratch);
  const int64_t row = blockIdx.x;
  if (row < boxes.num_rows) {
    claim_by_overlap(anchors, boxes, row, options, counts, cells, scratch);
  } else {
    const int64_t i = row - boxes.num_rows;
    hide(anchors, regions, i / kRegionBlocks, static_cast<int>(i % kRegionBlocks), cells, scratch,
         [](Key* cell) { atomicMax(cell, kHidden); });
  }
}

constexpr int kKeyDigitBits = 8, kKeyDigits = 1 << kKeyDigitBits;

// Of the digits that the keys have at some place, that of the last key that is wanted, counting
// from the largest; how many keys have a larger one, and how many the same. No digit if fewer keys
// are there than are wanted.
struct FoundDigit {
  unsigned digit, above, same;
  bool exists;
};

// Each warp finds it for itself. histogram: how many keys have each digit.
__device__ inline FoundDigit find_digit(const unsigned* histogram, unsigned wanted) {
  constexpr int kOfLane = kKeyDigits / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int highest = kKeyDigits - 1 - lane * kOfLane;
  unsigned own = 0;
  for (int i = 0; i < kOfLane; ++i) own += histogram[highest - i];
  const unsigned until = sum_up_to_lane(own);  // keys in the digits of the lanes up to this one
  const unsigned reached = __ballot_sync(kAllLanes, until >= wanted);
  if (reached == 0) return {0, 0, 0, false};
  unsigned above = until - own;
  int digit = highest;
  for (int i = 1; i < kOfLane && above + histogram[digit] < wanted; ++i) {
    above += histogram[digit--];
  }
  const int winner = __ffs(static_cast<int>(reached)) - 1;
  digit = __shfl_sync(kAllLanes, digit, winner);
  above = __shfl_sync(kAllLanes, above, winner);
  return {static_cast<unsigned>(digit), above, histogram[digit], true};
}

// How many keys have each digit. Three in turn: while one is counted in, that of the digit before
// may still be read, and the next one is cleared.
struct Histograms {
  unsigned of_digit[3][kKeyDigits];

  __device__ void clear(int turn) {
    for (int i = threadIdx.x; i < kKeyDigits; i += kMatchThreads) of_digit[turn % 3][i] = 0;
  }
};

// The `wanted`-th largest of different keys of key_bits bits, or 0 if there are fewer: a radix
// selection that stops as soon as all keys with the digits found so far are wanted.
// walk(visit): calls visit(key) for every key, each in one of the block's threads.
template <typename Walk>
__device__ Key select_key(const Walk& walk, unsigned wanted, int key_bits, Histograms& histograms) {
  Key prefix = 0;
  histograms.clear(0);
  __syncthreads();
  for (int high = key_bits, turn = 0; high > 0; ++turn) {
    const int low = std::max(high - kKeyDigitBits, 0);
    unsigned* histogram = histograms.of_digit[turn % 3];
    histograms.clear(turn + 1);
    walk([&](Key key) {
      const auto digit = static_cast<unsigned>(key >> low) & ((1u << (high - low)) - 1);
      if (key >> high == prefix) atomicAdd(histogram + digit, 1u);
    });
    __syncthreads();
    const FoundDigit found = find_digit(histogram, wanted);
    if (!found.exists) return 0;
    wanted -= found.above;
    prefix = prefix << (high - low) | found.digit;
    high = low;
    if (found.same == wanted) return prefix << low;
  }
  return prefix;
}

template <typename Anchors>
__global__ void __launch_bounds__(kMatchThreads, 8)
    compensate_kernel(const S3FD_GRID_CONSTANT Anchors anchors, BoxBatch boxes,
                      MatchOptions options, MatchCounts counts, Key* cells) {
  S3FD_SHARED(typename Anchors::Scratch, scratch);
  S3FD_SHARED(Histograms, histograms);
  const int64_t row = blockIdx.x;
  const BoxPlace place = place_of(boxes, row);
  const Box<float> box = boxes.rows[row];
  int64_t wanted = options.top_n;
  if (wanted < 0) wanted = std::max<int64_t>(1, counts.of_images[place.image] / place.num_boxes);
  if (!is_proper(box) || counts.of_boxes[row] >= wanted) return;
  const float box_area = area(box);
  const float enough = options.candidate_iou;
  anchors.look(box, enough, scratch);
  // Anchors are numbered with as few bits as they need, from the last.
  const auto last = static_cast<uint32_t>(anchors.size() - 1);
  const int anchor_bits = 32 - __clz(static_cast<int>(last));
  const auto walk = [&](const auto& visit) {
    anchors.walk(box, enough, scratch, [&](uint32_t index, const Box<float>& anchor) {
      const float overlap = iou(anchor, area(anchor), box, box_area);
      if (overlap > enough) visit(Key{bits_of(overlap)} << anchor_bits | (last - index));
    });
  };
  const Key least = select_key(walk, static_cast<unsigned>(std::min(wanted, anchors.size())),
                               kIouBits + anchor_bits, histograms);
  cells += place.image * anchors.size();
  walk([&](Key key) {
    if (key < least) return;
    const uint32_t index = last - static_cast<uint32_t>(key & ((Key{1} << anchor_bits) - 1));
    const float overlap = std::bit_cast<float>(static_cast<uint32_t>(key >> anchor_bits));
    atomicMax(cells + index, make_claim(Rule::kCompensation, overlap, row - place.first_box));
  });
}

// `cells` is the output, int64.
__global__ void __launch_bounds__(kPlainThreads) settle_kernel(Key* cells, int64_t size) {
  const int64_t i = int64_t{blockIdx.x} * kPlainThreads + threadIdx.x;
  if (i >= size) return;
  const Key cell = cells[i];
  const int64_t settled = cell == kUnclaimed ? kBackground
                          : cell == kHidden  ? kIgnored
                                             : int64_t{box_of(cell)};
  cells[i] = static_cast<Key>(settled);
}

}  // namespace s3fd::cuda
