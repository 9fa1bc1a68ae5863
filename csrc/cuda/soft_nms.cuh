// Soft-NMS: one block, in which the best box is found and all scores fall by their overlap with it,
// once for every box that comes out.
//
// Three launches: boxes and scores into the types of the computation, the rounds, and what came out
// into the types of the answer; and one wait for the device, for the size of that. Each of K rounds
// reads 24 bytes a box, from the L2 cache and mostly from L1, and waits for the slowest thread
// three times: latency bounds it, K times (N / threads + 1) steps of some 30 operations, exp among
// them. Rounds cannot be had in parallel, since each depends on all scores of the one before; more
// blocks would have to wait for each other at every round, which costs more than a detector's boxes
// do.
#pragma once

#include <limits>

#include "cuda/primitives/block.cuh"
#include "cuda/ranked_boxes.cuh"
#include "shared/score_decay.h"

namespace s3fd::cuda {

constexpr int kSoftThreads = 256;  // of the launches before and after the rounds

// Threads of the rounds, of few boxes, whose sums are taken faster, and of many.
constexpr int kFewSoftThreads = 128, kManySoftThreads = 1024;
constexpr int64_t kFewSoftBoxes = 1024;

// What is counted where a score can't be decayed: the host learns of it without another wait.
constexpr int32_t kNoWeights = -1;

struct SoftLists {
  StoredBox<float>* boxes;  // [N]
  double* scores;           // [N]
  int64_t size;
  int32_t* taken;  // [N], of which `count` are filled: in the order in which they come out
  double* at;      // the scores that they had then
  int32_t* count;
};

template <typename T, typename S>
__global__ void __launch_bounds__(kSoftThreads)
    store_boxes_kernel(GivenBoxes<T> rows, const S* scores, int64_t score_stride, SoftLists lists) {
  const int64_t i = int64_t{blockIdx.x} * kSoftThreads + threadIdx.x;
  if (i >= lists.size) return;
  const auto score = static_cast<compute_t<S>>(scores[i * score_stride]);
  lists.boxes[i] = rows.template at<float>(i);
  lists.scores[i] = is_weight(score) ? static_cast<double>(score) + 0.0  // no -0
                                     : std::numeric_limits<double>::quiet_NaN();
}

// A box that is left, and its score; kGone of a thread that has none.
struct BestLeft {
  double score;
  int64_t index;
};

// The better of two, of equals the first.
struct Better {
  __device__ BestLeft operator()(const BestLeft& a, const BestLeft& b) const {
    return a.score > b.score || (a.score == b.score && a.index < b.index) ? a : b;
  }
};

template <int kThreads, bool kGaussian>
__global__ void __launch_bounds__(kThreads, 1)  // there is no other block
    soft_nms_kernel(SoftLists lists, ScoreDecay<kGaussian> decay, double lowest) {
  // A thread has every kThreads-th score to itself: lets them fall, and gives the best that is
  // left.
  const auto decay_by = [&](const Box<float>& best) {
    BestLeft left{kGone, lists.size};
    const float best_area = area(best);
    for (int64_t i = threadIdx.x; i < lists.size; i += kThreads) {
      const StoredBox<float> box = lists.boxes[i];
      const float overlap = iou<float>(box, area<float>(box), best, best_area);
      const double score = lists.scores[i] * static_cast<double>(decay.factor(overlap));
      const bool stays = score >= lowest;
      lists.scores[i] = stays ? score : kGone;
      if (stays) left = Better{}(left, {score, i});
    }
    return left;
  };
  bool is_bad = false;
  for (int64_t i = threadIdx.x; i < lists.size; i += kThreads) {
    is_bad = is_bad || lists.scores[i] != lists.scores[i];
  }
  int32_t count = 0;
  if (__syncthreads_or(is_bad)) {
    count = kNoWeights;
  } else {
    BestLeft own = decay_by(Box<float>{0, 0, 0, 0});  // which overlaps nothing
    for (;; ++count) {
      const BestLeft best = reduce_over_block<kThreads>(own, Better{});
      if (best.score == kGone) break;
      if (threadIdx.x == 0) {
        lists.taken[count] = static_cast<int32_t>(best.index);
        lists.at[count] = best.score;
      }
      if (threadIdx.x == best.index % kThreads) lists.scores[best.index] = kGone;
      own = decay_by(lists.boxes[best.index]);
    }
  }
  if (threadIdx.x == 0) *lists.count = count;
}

template <typename S>
__global__ void __launch_bounds__(kSoftThreads)
    write_taken_kernel(SoftLists lists, int64_t count, int64_t* indices, S* scores) {
  const int64_t i = int64_t{blockIdx.x} * kSoftThreads + threadIdx.x;
  if (i >= count) return;
  indices[i] = lists.taken[i];
  scores[i] = static_cast<S>(static_cast<compute_t<S>>(lists.at[i]));
}

}  // namespace s3fd::cuda
