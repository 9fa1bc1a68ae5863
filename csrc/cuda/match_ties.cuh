// The matching of Faster R-CNN, in one stage: an anchor takes the box that it overlaps most, if
// that is enough or if it is promoted, for no anchor has a larger IoU with some box. Equals are
// promoted together.
//
// An anchor's place holds its strongest claim, whose IoU says in the end whether it is enough; what
// promotes and what hides it are two bits above.
//
// overlap_kernel     a block a box: claims all anchors that it overlaps, and keeps its largest IoU
// promote_kernel     a block a box: looks for the anchors of that IoU; ignore regions: four each
// settle_ties_kernel claims become indices: a thread an anchor
//
// What bounds it is said in match_anchors.cuh. The walks are longer, since no threshold cuts them.
#pragma once

#include "cuda/match_anchors.cuh"

namespace s3fd::cuda {

constexpr Key kPromotedBit = Key{1} << 63, kHiddenBit = Key{1} << 62;

// Claims by overlap alone leave these bits free.
constexpr Rule kAnyOverlap = Rule{0};

// best: the bits of the largest IoU of each box.
template <typename Anchors>
__global__ void __launch_bounds__(kMatchThreads)
    overlap_kernel(const S3FD_GRID_CONSTANT Anchors anchors, BoxBatch boxes, uint32_t* best,
                   Key* cells) {
  S3FD_SHARED(typename Anchors::Scratch, scratch);
  const int64_t row = blockIdx.x;
  const BoxPlace place = place_of(boxes, row);
  const Box<float> box = boxes.rows[row];
  if (!is_proper(box)) return;
  const float box_area = area(box);
  Claimant claimant{cells + place.image * anchors.size(), row - place.first_box};
  float largest = 0;
  anchors.look(box, 0, scratch);
  anchors.walk(box, 0, scratch, [&](uint32_t index, const Box<float>& anchor) {
    const float overlap = iou(anchor, area(anchor), box, box_area);
    if (!(overlap > 0)) return;
    largest = std::max(largest, overlap);
    claimant.claim(index, kAnyOverlap, overlap);
  });
  largest = max_over_block<kMatchThreads>(largest);
  if (threadIdx.x == 0) best[row] = bits_of(largest);
}

template <typename Anchors>
__device__ void promote(const Anchors& anchors, const BoxBatch& boxes, int64_t row, float best,
                        Key* cells, typename Anchors::Scratch& scratch) {
  const BoxPlace place = place_of(boxes, row);
  if (best == 0) return;
  const Box<float> box = boxes.rows[row];
  const float box_area = area(box);
  cells += place.image * anchors.size();
  anchors.look(box, best, scratch);
  anchors.walk(box, best, scratch, [&](uint32_t index, const Box<float>& anchor) {
    if (iou(anchor, area(anchor), box, box_area) == best) atomicOr(cells + index, kPromotedBit);
  });
}

// A block for each box, and then kRegionBlocks for each ignore region.
template <typename Anchors>
__global__ void __launch_bounds__(kMatchThreads)
    promote_kernel(const S3FD_GRID_CONSTANT Anchors anchors, BoxBatch boxes, BoxBatch regions,
                   const uint32_t* best, Key* cells) {
  S3FD_SHARED(typename Anchors::Scratch, scratch);
  const int64_t row = blockIdx.x;
  if (row < boxes.num_rows) {
    promote(anchors, boxes, row, std::bit_cast<float>(best[row]), cells, scratch);
  } else {
    const int64_t i = row - boxes.num_rows;
    hide(anchors, regions, i / kRegionBlocks, static_cast<int>(i % kRegionBlocks), cells, scratch,
         [](Key* cell) { atomicOr(cell, kHiddenBit); });
  }
}

// `cells` is the output, int64.
__global__ void __launch_bounds__(kPlainThreads)
    settle_ties_kernel(Key* cells, int64_t size, float positive_iou) {
  const int64_t i = int64_t{blockIdx.x} * kPlainThreads + threadIdx.x;
  if (i >= size) return;
  const Key cell = cells[i], claim = cell & ~(kPromotedBit | kHiddenBit);
  const float overlap = std::bit_cast<float>(static_cast<uint32_t>(claim >> 32));
  const bool is_matched = claim != 0 && ((cell & kPromotedBit) != 0 || overlap >= positive_iou);
  const int64_t settled = is_matched                 ? int64_t{box_of(claim)}
                          : (cell & kHiddenBit) != 0 ? kIgnored
                                                     : kBackground;
  cells[i] = static_cast<Key>(settled);
}

}  // namespace s3fd::cuda
