// Non-maximum suppression of one set of boxes, or of several sets at once.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <tuple>
#include <vector>

#include "cpu/greedy_nms.h"
#include "cpu/order.h"
#include "cpu/parallel.h"
#include "shared/checks/nms.h"
#include "shared/score_key.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// Boxes that one task has at least, about, so that small sets stay on one thread.
constexpr int64_t kBoxesPerTask = 1024;

std::vector<int32_t> order_by_falling_score(const Tensor& scores) {
  return dispatch_floating(scores.scalar_type(), "nms", [&]<typename T>() {
    const T* data = static_cast<const T*>(scores.const_data_ptr());
    const int64_t stride = scores.stride(0);
    return order_by(static_cast<int32_t>(scores.size(0)), [&](int32_t i) {
      return falling_key(static_cast<compute_t<T>>(data[i * stride]));
    });
  });
}

// Boxes number order[0], order[1], ...
template <typename T>
std::vector<Box<compute_t<T>>> gather(const Tensor& boxes, const std::vector<int32_t>& order) {
  using C = compute_t<T>;
  const T* data = static_cast<const T*>(boxes.const_data_ptr());
  const int64_t row_stride = boxes.stride(0), stride = boxes.stride(1);
  std::vector<Box<C>> gathered;
  gathered.reserve(order.size());
  for (const int32_t i : order) {
    const T* row = data + i * row_stride;
    gathered.push_back({static_cast<C>(row[0]), static_cast<C>(row[stride]),
                        static_cast<C>(row[2 * stride]), static_cast<C>(row[3 * stride])});
  }
  return gathered;
}

Tensor indices(const std::vector<int32_t>& kept, const Tensor& like) {
  Tensor output = empty({static_cast<int64_t>(kept.size())}, ScalarType::Long, like);
  std::copy(kept.begin(), kept.end(), static_cast<int64_t*>(output.mutable_data_ptr()));
  return output;
}

// Indices of the boxes that stay, at most `keep`.
std::vector<int32_t> keep_best(const char* name, const Tensor& boxes, const Tensor& scores,
                               double iou_threshold, int64_t keep) {
  check_boxes_and_scores(name, boxes, scores, kMostBoxes);
  const std::vector<int32_t> order = order_by_falling_score(scores);
  return dispatch_floating(boxes.scalar_type(), "nms", [&]<typename T>() {
    std::vector<int32_t> kept = greedy_nms(gather<T>(boxes, order), iou_threshold, keep);
    for (int32_t& i : kept) i = order[i];
    return kept;
  });
}

Tensor nms(const Tensor& boxes, const Tensor& scores, double iou_threshold) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  return indices(keep_best("nms", boxes, scores, iou_threshold, kAll), boxes);
}

std::tuple<Tensor, Tensor> nms_padded(const Tensor& boxes, const Tensor& scores,
                                      double iou_threshold, int64_t keep) {
  check_keep(keep);
  const std::vector<int32_t> kept = keep_best("nms_padded", boxes, scores, iou_threshold, keep);
  Tensor padded = empty({keep}, ScalarType::Long, boxes);
  Tensor count = empty({}, ScalarType::Long, boxes);
  auto* index = static_cast<int64_t*>(padded.mutable_data_ptr());
  std::fill(std::copy(kept.begin(), kept.end(), index), index + keep, int64_t{-1});
  *static_cast<int64_t*>(count.mutable_data_ptr()) = static_cast<int64_t>(kept.size());
  return {padded, count};
}

// Each group for itself, shared out among the threads; then what they keep, by falling score.
Tensor batched_nms(const Tensor& boxes, const Tensor& scores, const Tensor& groups,
                   double iou_threshold) {
  check_boxes_and_scores("batched_nms", boxes, scores, kMostBoxes);
  check_groups(groups, boxes);
  const int64_t* group = static_cast<const int64_t*>(groups.const_data_ptr());
  const int64_t group_stride = groups.stride(0);
  const std::vector<int32_t> order = order_by_falling_score(scores);
  const auto group_at = [&](int32_t rank) { return group[order[rank] * group_stride]; };
  // Ranks by group, and within a group as they are; where each group begins.
  const std::vector<int32_t> ranks =
      order_by(static_cast<int32_t>(order.size()),
               [&](int32_t rank) { return static_cast<uint64_t>(group_at(rank)); });
  std::vector<size_t> begins;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (i == 0 || group_at(ranks[i]) != group_at(ranks[i - 1])) begins.push_back(i);
  }
  begins.push_back(ranks.size());

  std::vector<char> stays(order.size());
  dispatch_floating(boxes.scalar_type(), "batched_nms", [&]<typename T>() {
    const auto suppress = [&](size_t begin, size_t end) {
      std::vector<int32_t> members;
      for (size_t i = begin; i < end; ++i) members.push_back(order[ranks[i]]);
      for (const int32_t i : greedy_nms(gather<T>(boxes, members), iou_threshold)) {
        stays[ranks[begin + i]] = true;
      }
    };
    const auto count = static_cast<int64_t>(begins.size()) - 1;
    const int64_t per_task = kBoxesPerTask * count / (static_cast<int64_t>(order.size()) + 1) + 1;
    parallel_for(0, count, per_task, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) suppress(begins[i], begins[i + 1]);
    });
  });
  std::vector<int32_t> kept;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (stays[rank]) kept.push_back(order[rank]);
  }
  return indices(kept, boxes);
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("batched_nms", TORCH_BOX(&s3fd::cpu::batched_nms));
  library.impl("nms", TORCH_BOX(&s3fd::cpu::nms));
  library.impl("nms_padded", TORCH_BOX(&s3fd::cpu::nms_padded));
}
