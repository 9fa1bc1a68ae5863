// Boxes and their scores as operators get them, sorted by falling score, and suppressed: what nms,
// batched_nms and vote_boxes have in common.
//
// Launches: the sort of the scores (1; 2 above 4096 boxes; above 32 768 2 and those of a radix
// sort), the gathering of the boxes (1), the suppression (1 for every 1024 boxes), and above 8192
// boxes a sort by place (2, and those of a radix sort) before it.
#pragma once

#include <algorithm>

#include "cuda/greedy_nms.cuh"
#include "cuda/primitives/host.h"
#include "cuda/primitives/sort.cuh"
#include "cuda/primitives/workspace.h"
#include "shared/score_key.h"

namespace s3fd::cuda {

// Boxes are counted in 32 bits; a tile less, so that they can be rounded up to tiles.
constexpr int64_t kMostBoxes = std::numeric_limits<int32_t>::max() - kTile;

// So many boxes are worth an order by place.
constexpr int64_t kManyBoxes = 8192;

constexpr int kGatherThreads = 256;

// ---- Orders

template <typename T>
struct ByFallingScore {
  using Entry = decltype(make_entry(falling_key(compute_t<T>{}), 0u));
  static constexpr bool kNumbersRise = true;

  const T* scores;
  int64_t stride, size;

  __device__ int64_t count(int64_t) const { return size; }

  __device__ Entry operator()(int64_t, int64_t i) const {
    const auto score = static_cast<compute_t<T>>(scores[i * stride]);
    return make_entry(falling_key(score), static_cast<uint32_t>(i));
  }
};

// The lower 16 bits, apart.
__device__ inline uint32_t spread_bits(uint32_t bits) {
  bits = (bits | bits << 8) & 0x00ff00ffu;
  bits = (bits | bits << 4) & 0x0f0f0f0fu;
  bits = (bits | bits << 2) & 0x33333333u;
  return (bits | bits << 1) & 0x55555555u;
}

// Along a Z through the plane, of boxes in groups group by group. Only speed depends on this order:
// 7 bits of a coordinate's mantissa tell apart what has to be, whatever the unit of length.
template <typename T, bool kGrouped>
struct ByPlace {
  using Entry = std::conditional_t<kGrouped, WideEntry, NarrowEntry>;
  static constexpr bool kNumbersRise = true;

  const StoredBox<T>* boxes;
  const int64_t* groups;
  int64_t size;

  __device__ int64_t count(int64_t) const { return size; }

  __device__ Entry operator()(int64_t, int64_t i) const {
    const StoredBox<T> box = boxes[i];
    const uint32_t x = falling_key(static_cast<float>(box.x1 / 2 + box.x2 / 2)) >> 16;
    const uint32_t y = falling_key(static_cast<float>(box.y1 / 2 + box.y2 / 2)) >> 16;
    const uint32_t key = spread_bits(x) | spread_bits(y) << 1;
    if constexpr (kGrouped) {
      return make_entry(static_cast<uint64_t>(groups[i]) << 32 | key, static_cast<uint32_t>(i));
    } else {
      return make_entry(key, static_cast<uint32_t>(i));
    }
  }
};

struct NumberSink {
  int32_t* numbers;

  template <typename Entry>
  __device__ void operator()(int64_t, int64_t rank, const Entry& entry) const {
    numbers[rank] = static_cast<int32_t>(number_of(entry));
  }
};

// ---- Boxes by score

template <typename From>
struct GivenBoxes {
  const From* data;
  int64_t row_stride, stride;

  template <typename T>
  __device__ StoredBox<T> at(int64_t row) const {
    const From* side = data + row * row_stride;
    const auto number = [&](int k) {
      return static_cast<T>(static_cast<compute_t<From>>(side[k * stride]));
    };
    return {{number(0), number(1), number(2), number(3)}};
  }
};

template <typename From>
GivenBoxes<From> given_boxes(const Tensor& boxes) {
  return {data<From>(boxes), boxes.stride(0), boxes.stride(1)};
}

// Boxes in their order, and the suppression as it is before it begins.
template <typename From, typename T>
__global__ void __launch_bounds__(kGatherThreads)
    gather_boxes_kernel(GivenBoxes<From> rows, const int64_t* groups, int64_t group_stride,
                        const int32_t* order, StoredBox<T>* boxes, int64_t* groups_by_score,
                        int32_t* owners, Progress* progress, int64_t size) {
  const int64_t i = int64_t{blockIdx.x} * kGatherThreads + threadIdx.x;
  if (i >= size) return;
  const int64_t row = order[i];
  boxes[i] = rows.template at<T>(row);
  owners[i] = kOpen;
  if (groups != nullptr) groups_by_score[i] = groups[row * group_stride];
  if (i == 0) *progress = {0, 0, 0};
}

// ---- The chain

// What the suppression of N > 0 boxes leaves behind.
template <typename T>
struct RankedBoxes {
  Workspace workspace;
  int64_t size;
  const int32_t* order;  // [N]: indices of the boxes by falling score
  GreedyLists<T> lists;

  const Progress* progress() const { return lists.progress; }
};

// Overlaps are computed in T; kGrouped: only those of boxes of one group count.
template <typename T, bool kGrouped>
class RankAndSuppress {
 public:
  RankAndSuppress(const Tensor& boxes, const Tensor& scores, const Tensor* groups, T highest_iou,
                  int64_t keep, cudaStream_t stream)
      : boxes_(boxes), groups_(groups), stream_(stream) {
    const int64_t size = boxes.size(0);
    const bool many = size > kManyBoxes;
    Workspace& workspace = ranked_.workspace;
    const auto order = workspace.add<int32_t>(size);
    const auto by_score = workspace.add<StoredBox<T>>(size);
    const auto groups_by_score = workspace.add<int64_t>(kGrouped ? size : 0);
    const auto place = workspace.add<int32_t>(many ? size : 0);
    const auto owners = workspace.add<int32_t>(size);
    const auto overlaps = workspace.add<uint64_t>(overlap_words(1, size));
    const auto kept = workspace.add<int32_t>(std::min(keep, size));
    const auto progress = workspace.add<Progress>(1);
    sort_memory_ = add_sort_memory<WideEntry>(workspace, 1, size);
    workspace.allocate(boxes);
    order_ = workspace.at(order);
    place_ = many ? workspace.at(place) : nullptr;
    boxes_by_score_ = workspace.at(by_score);
    groups_by_score_ = workspace.at(groups_by_score);
    ranked_.size = size;
    ranked_.order = order_;
    ranked_.lists = {boxes_by_score_,
                     groups_by_score_,
                     place_,
                     nullptr,
                     workspace.at(owners),
                     workspace.at(overlaps),
                     workspace.at(kept),
                     workspace.at(progress),
                     size,
                     std::min(keep, size),
                     highest_iou};
    sort_by_score(scores);
    gather();
    if (many) sort_by_place();
    suppress_greedily<T, kGrouped>(ranked_.lists, 1, stream);
  }

  RankedBoxes<T>& result() { return ranked_; }

 private:
  void sort_by_score(const Tensor& scores) {
    dispatch_floating(scores.scalar_type(), "nms", [&]<typename S>() {
      const ByFallingScore<S> source{data<S>(scores), scores.stride(0), ranked_.size};
      sort_lists(source, NumberSink{order_}, ranked_.workspace, sort_memory_, 1, ranked_.size,
                 stream_);
    });
  }

  void gather() {
    const int64_t* groups = kGrouped ? data<int64_t>(*groups_) : nullptr;
    const int64_t group_stride = kGrouped ? groups_->stride(0) : 0;
    dispatch_floating(boxes_.scalar_type(), "nms", [&]<typename From>() {
      launch(gather_boxes_kernel<From, T>, blocks_for(ranked_.size, kGatherThreads), kGatherThreads,
             0, stream_, given_boxes<From>(boxes_), groups, group_stride, order_, boxes_by_score_,
             groups_by_score_, ranked_.lists.owners, ranked_.lists.progress, ranked_.size);
    });
  }

  void sort_by_place() {
    using Source = ByPlace<T, kGrouped>;
    const Source source{boxes_by_score_, groups_by_score_, ranked_.size};
    sort_lists(source, NumberSink{place_}, ranked_.workspace, sort_memory_, 1, ranked_.size,
               stream_);
  }

  const Tensor& boxes_;
  const Tensor* groups_;
  cudaStream_t stream_;
  RankedBoxes<T> ranked_;
  int32_t *order_, *place_;
  StoredBox<T>* boxes_by_score_;
  int64_t* groups_by_score_;
  SortMemory sort_memory_;
};

}  // namespace s3fd::cuda
