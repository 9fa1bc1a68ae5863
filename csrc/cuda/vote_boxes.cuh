// Box voting: greedy suppression with owners, then the mean of what each box that stays has taken.
//
// After the suppression (ranked_boxes.cuh) every box knows its owner. Members are sorted by owner
// and rank, so that those of one owner lie together, by falling score; one block lists where groups
// begin; and a warp a group gathers its members, 32 at a time, and adds them up in double and in
// their order: the sums of the CPU, bit for bit.
//
// 3 launches, 4 above 4096 boxes, above 32 768 those of a radix sort besides, behind those of the
// suppression, and one wait for the device, for the size of the output. Members are read twice, 8
// bytes each, and boxes and scores again, at random; latency bounds it: three reads that wait for
// each other and 32 additions in a row for each 32 members of the longest group.
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
  static constexpr bool kNumbersRise = true;

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

// What a group's mean is made of: its four sides, weighted by the scores, and the scores.
constexpr int kMeanSums = 5, kMeanWarps = kMeanThreads / kWarp;

// The sums of a group, each of them in the lane of its number, and how many members it has.
struct GroupSums {
  double sum;
  int64_t members;
};

// By one warp. terms_of(row, terms): what a member adds to each sum.
template <typename Terms>
__device__ GroupSums sum_group(const int32_t* order, const NarrowEntry* members, int64_t begin,
                               int64_t size, uint32_t owner, const Terms& terms_of) {
  // Padded, so that lanes which read one member's terms have banks of their own.
  S3FD_SHARED(double[kMeanWarps][kMeanSums][kWarp + 1], all_terms);
  auto& terms = all_terms[threadIdx.x / kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  double sum = 0;
  int count = kWarp;
  int64_t i = begin;
  for (; count == kWarp; i += count) {
    const bool exists = i + lane < size && owner_of(members[i + lane]) == owner;
    count = __popc(__ballot_sync(kAllLanes, exists));
    if (exists) {
      double of_member[kMeanSums];
      terms_of(order[number_of(members[i + lane])], of_member);
      for (int k = 0; k < kMeanSums; ++k) terms[k][lane] = of_member[k];
    }
    __syncwarp();
    if (lane < kMeanSums) {
      for (int j = 0; j < count; ++j) sum += terms[lane][j];
    }
    __syncwarp();
  }
  return {sum, i - begin};
}

// A group's mean a warp.
template <typename T, typename S>
__global__ void __launch_bounds__(kMeanThreads)
    mean_boxes_kernel(GivenBoxes<T> boxes, const S* scores, int64_t score_stride,
                      const int32_t* order, const NarrowEntry* members, int64_t size,
                      const int32_t* begins, int64_t num_groups, T* mean_boxes, S* best_scores) {
  const int64_t group = int64_t{blockIdx.x} * kMeanWarps + threadIdx.x / kWarp;
  if (group >= num_groups) return;
  const auto side_of = [&](int64_t row, int side) {
    const T value = boxes.data[row * boxes.row_stride + side * boxes.stride];
    return static_cast<double>(static_cast<compute_t<T>>(value));
  };
  const auto score_of = [&](int64_t row) {
    return static_cast<double>(static_cast<compute_t<S>>(scores[row * score_stride]));
  };
  const int64_t begin = begins[group];
  const uint32_t owner = owner_of(members[begin]);
  const int64_t best = order[owner];
  const GroupSums sums =
      sum_group(order, members, begin, size, owner, [&](int64_t row, double (&terms)[kMeanSums]) {
        const double score = score_of(row);
        for (int side = 0; side < 4; ++side) {
          terms[side] = side_of(row, side) * score;
        }
        terms[4] = score;
      });
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const double weight = __shfl_sync(kAllLanes, sums.sum, kMeanSums - 1);
  if (lane < 4) {
    const bool is_mean = sums.members > 1 && score_of(best) != 0;
    const double mean = is_mean ? sums.sum / weight : side_of(best, lane);
    mean_boxes[4 * group + lane] = static_cast<T>(static_cast<compute_t<T>>(mean));
  }
  if (lane == 0) best_scores[group] = scores[best * score_stride];
}

}  // namespace s3fd::cuda
