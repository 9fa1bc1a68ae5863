// Box voting: greedy suppression with owners, then the mean of what each box that stays has taken.
//
// After the suppression (ranked_boxes.cuh) every box knows its owner. Members are sorted by owner
// and rank, so that those of one owner lie together, by falling score; one block lists where groups
// begin; and four threads a group, one a side, add up its members in double and in their order: the
// sums of the CPU, bit for bit.
//
// 3 launches, 4 from 4096 boxes on, behind those of the suppression, and one wait for the device,
// for the size of the output. Members are read twice, 8 bytes each, and boxes and scores again, at
// random; latency bounds it, of the longest group most of all.
#pragma once

#include "cuda/primitives/block.cuh"
#include "cuda/primitives/launch.h"
#include "cuda/ranked_boxes.cuh"
#include "shared/score_key.h"

namespace s3fd::cuda {

constexpr int kHeadThreads = 1024, kMeanThreads = 128;

// Members of groups: the owner above, the member below; an owner is its own first member.
struct ByOwner {
  using Entry = NarrowEntry;

  const int32_t* owners;
  int64_t size;

  __device__ int64_t count(int64_t) const { return size; }

  __device__ Entry operator()(int64_t, int64_t i) const {
    return make_entry(static_cast<uint32_t>(owners[i]), static_cast<uint32_t>(i));
  }
};

struct EntrySink {
  NarrowEntry* entries;

  __device__ void operator()(int64_t, int64_t rank, NarrowEntry entry) const {
    entries[rank] = entry;
  }
};

__device__ inline uint32_t owner_of(NarrowEntry member) {
  return static_cast<uint32_t>(member >> 32);
}

// What list_groups_kernel counts where a score can't be a weight: the host learns of it without
// waiting for another answer.
constexpr int32_t kBadScores = -1;

// Where the groups begin among the sorted members, in their order, by one block; of those with one
// member only if these are wanted.
template <typename S>
__global__ void __launch_bounds__(kHeadThreads)
    list_groups_kernel(const NarrowEntry* members, int64_t size, bool keep_single, const S* scores,
                       int64_t score_stride, int32_t* begins, int32_t* num_groups) {
  int32_t listed = 0;
  bool is_bad = false;
  for (int64_t first = 0; first < size; first += kHeadThreads) {
    const int64_t i = first + threadIdx.x;
    bool is_listed = false;
    if (i < size) {
      is_bad = is_bad || !is_weight(static_cast<compute_t<S>>(scores[i * score_stride]));
      const NarrowEntry member = members[i];
      const bool is_first = owner_of(member) == number_of(member);
      const bool has_second = i + 1 < size && owner_of(members[i + 1]) == owner_of(member);
      is_listed = is_first && (keep_single || has_second);
    }
    int total;
    const int before = count_before<kHeadThreads>(is_listed, total);
    if (is_listed) begins[listed + before] = static_cast<int32_t>(i);
    listed += total;
  }
  const bool any_bad = __syncthreads_or(is_bad);
  if (threadIdx.x == 0) *num_groups = any_bad ? kBadScores : listed;
}

// One side of a group's mean a thread.
template <typename T, typename S>
__global__ void __launch_bounds__(kMeanThreads)
    mean_boxes_kernel(GivenBoxes<T> boxes, const S* scores, int64_t score_stride,
                      const int32_t* order, const NarrowEntry* members, int64_t size,
                      const int32_t* begins, int64_t num_groups, T* mean_boxes, S* best_scores) {
  const int64_t thread = int64_t{blockIdx.x} * kMeanThreads + threadIdx.x;
  const int64_t group = thread / 4, side = thread % 4;
  if (group >= num_groups) return;
  const auto side_of = [&](int64_t row) {
    const T value = boxes.data[row * boxes.row_stride + side * boxes.stride];
    return static_cast<double>(static_cast<compute_t<T>>(value));
  };
  const auto score_of = [&](int64_t row) {
    return static_cast<double>(static_cast<compute_t<S>>(scores[row * score_stride]));
  };
  const int64_t begin = begins[group];
  const uint32_t owner = owner_of(members[begin]);
  const int64_t best = order[owner];
  double sum = 0, weight = 0;
  int64_t i = begin;
  for (; i < size && owner_of(members[i]) == owner; ++i) {
    const int64_t row = order[number_of(members[i])];
    const double score = score_of(row);
    sum += side_of(row) * score;
    weight += score;
  }
  const bool is_mean = i - begin > 1 && score_of(best) != 0;
  const double mean = is_mean ? sum / weight : side_of(best);
  mean_boxes[thread] = static_cast<T>(static_cast<compute_t<T>>(mean));
  if (side == 0) best_scores[group] = scores[best * score_stride];
}

}  // namespace s3fd::cuda
