// Anchors in any order, as the kernels of matching walk them: in groups of neighbours in that
// order. A warp looks at the bounds of 32 groups at a time, and passes by those that the box can't
// overlap enough.
#pragma once

#include "cuda/match_block.cuh"
#include "cuda/primitives/rows.cuh"
#include "shared/anchor_bounds.h"

namespace s3fd::cuda {

// Anchors of a group: each lane of a warp takes two.
constexpr int kGroup = 2 * kWarp;

class ListAnchors {
 public:
  struct Scratch {};

  // `bounds` has a place for each group, which bound_groups_kernel fills.
  ListAnchors(const Box<float>* anchors, int64_t size, AnchorBounds* bounds)
      : anchors_(anchors),
        size_(size),
        bounds_(bounds),
        is_packed_(reinterpret_cast<uintptr_t>(anchors) % alignof(Four<float>) == 0) {}

  S3FD_HOST_DEVICE int64_t size() const { return size_; }
  S3FD_HOST_DEVICE int64_t groups() const { return (size_ + kGroup - 1) / kGroup; }

  __device__ AnchorBounds& bounds(int64_t group) const { return bounds_[group]; }

  __device__ Box<float> operator[](int64_t index) const {
    if (!is_packed_) return anchors_[index];
    const auto four = reinterpret_cast<const Four<float>*>(anchors_)[index];
    return {four.first, four.second, four.third, four.fourth};
  }

  // An IoU that some anchor has with a proper box: all of the most promising group are tried.
  __device__ float some_iou(const Box<float>& box) const {
    const float box_area = area(box);
    Key best = 0;
    for (int64_t group = threadIdx.x; group < groups(); group += kMatchThreads) {
      const float bound = bounds_[group].iou_bound(box, box_area);
      const Key key = Key{bits_of(bound)} << 32 | static_cast<uint32_t>(group);
      if (key > best) best = key;
    }
    best = max_over_block<kMatchThreads>(best);
    const int64_t index = int64_t{static_cast<uint32_t>(best)} * kGroup + threadIdx.x;
    float overlap = 0;
    if (threadIdx.x < kGroup && index < size_) {
      const Box<float> anchor = (*this)[index];
      overlap = iou(anchor, area(anchor), box, box_area);
    }
    return max_over_block<kMatchThreads>(overlap);
  }

  __device__ void look(const Box<float>&, float, Scratch&) const {}

  // As GridAnchors has it.
  template <typename Visit>
  __device__ void walk(const Box<float>& box, float enough, const Scratch&, const Visit& visit,
                       int part = 0, int parts = 1) const {
    const int lane = threadIdx.x % kWarp;
    const float box_area = area(box);
    for (int64_t first = part * kMatchThreads + (threadIdx.x - lane); first < groups();
         first += parts * kMatchThreads) {
      const int64_t group = first + lane;
      const bool is_open =
          group < groups() && AnchorBounds::allows(bounds_[group].iou_bound(box, box_area), enough);
      for (unsigned open = __ballot_sync(kAllLanes, is_open); open != 0; open &= open - 1) {
        const int64_t begin = (first + __ffs(static_cast<int>(open)) - 1) * kGroup;
        for (int64_t index = begin + lane; index < begin + kGroup; index += kWarp) {
          if (index < size_) visit(static_cast<uint32_t>(index), (*this)[index]);
        }
      }
    }
  }

 private:
  const Box<float>* anchors_;
  int64_t size_;
  AnchorBounds* bounds_;
  bool is_packed_;
};

// A warp bounds a group.
__global__ void __launch_bounds__(kPlainThreads) bound_groups_kernel(ListAnchors anchors) {
  const int64_t group = (int64_t{blockIdx.x} * kPlainThreads + threadIdx.x) / kWarp;
  if (group >= anchors.groups()) return;
  const int lane = threadIdx.x % kWarp;
  AnchorBounds bounds = AnchorBounds::none();
  for (int64_t index = group * kGroup + lane; index < (group + 1) * kGroup; index += kWarp) {
    if (index < anchors.size()) bounds.add(AnchorBounds::of(anchors[index]));
  }
  bounds = reduce_over_warp(bounds, [](AnchorBounds all, const AnchorBounds& other) {
    all.add(other);
    return all;
  });
  if (lane == 0) anchors.bounds(group) = bounds;
}

}  // namespace s3fd::cuda
