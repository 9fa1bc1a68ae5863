// Non-maximum suppression of one set of boxes, or of several sets at once.

#include <torch/csrc/stable/library.h>

#include <limits>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/greedy_nms.h"

namespace s3fd::cpu {
namespace {

void check_boxes_and_scores(const Tensor& boxes, const Tensor& scores) {
  STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && scores.dim() == 1 &&
                      scores.size(0) == boxes.size(0) &&
                      scores.scalar_type() == boxes.scalar_type(),
                  "s3fd::nms: expected boxes [N, 4] and scores [N] of one dtype");
  STD_TORCH_CHECK(boxes.size(0) <= std::numeric_limits<int32_t>::max(),
                  "s3fd::nms: more than 2^31 - 1 boxes");
}

template <typename T>
Box<compute_t<T>> read_box(const Tensor& boxes, int64_t i) {
  using C = compute_t<T>;
  const T* row = static_cast<const T*>(boxes.const_data_ptr()) + i * boxes.stride(0);
  const int64_t stride = boxes.stride(1);
  return {static_cast<C>(row[0]), static_cast<C>(row[stride]), static_cast<C>(row[2 * stride]),
          static_cast<C>(row[3 * stride])};
}

template <typename T>
std::vector<int32_t> order_by_falling_score(const Tensor& scores) {
  const T* data = static_cast<const T*>(scores.const_data_ptr());
  const int64_t stride = scores.stride(0);
  return order_by(static_cast<int32_t>(scores.size(0)), [&](int32_t i) {
    return falling_key(static_cast<compute_t<T>>(data[i * stride]));
  });
}

Tensor indices(const std::vector<int32_t>& kept, const Tensor& like) {
  const std::array<int64_t, 1> sizes{static_cast<int64_t>(kept.size())};
  Tensor output = torch::stable::empty({sizes.data(), sizes.size()}, ScalarType::Long, std::nullopt,
                                       like.device());
  std::copy(kept.begin(), kept.end(), static_cast<int64_t*>(output.mutable_data_ptr()));
  return output;
}

Tensor nms(const Tensor& boxes, const Tensor& scores, double iou_threshold) {
  check_boxes_and_scores(boxes, scores);
  return dispatch_floating(boxes.scalar_type(), "nms", [&]<typename T>() {
    GreedyNms<compute_t<T>> greedy(iou_threshold);
    std::vector<int32_t> kept;
    for (const int32_t i : order_by_falling_score<T>(scores)) {
      if (greedy.keep(read_box<T>(boxes, i))) kept.push_back(i);
    }
    return indices(kept, boxes);
  });
}

// The groups one after the other, each by falling score; then what was kept by falling score.
Tensor batched_nms(const Tensor& boxes, const Tensor& scores, const Tensor& groups,
                   double iou_threshold) {
  check_boxes_and_scores(boxes, scores);
  STD_TORCH_CHECK(groups.dim() == 1 && groups.size(0) == boxes.size(0) &&
                      groups.scalar_type() == ScalarType::Long,
                  "s3fd::batched_nms: expected groups int64 [N]");
  const int64_t* group = static_cast<const int64_t*>(groups.const_data_ptr());
  const int64_t group_stride = groups.stride(0);
  return dispatch_floating(boxes.scalar_type(), "batched_nms", [&]<typename T>() {
    const std::vector<int32_t> order = order_by_falling_score<T>(scores);
    const auto group_at = [&](int32_t rank) { return group[order[rank] * group_stride]; };
    const std::vector<int32_t> ranks =
        order_by(static_cast<int32_t>(order.size()),
                 [&](int32_t rank) { return static_cast<uint64_t>(group_at(rank)); });
    std::vector<char> stays(order.size());
    for (size_t begin = 0, end; begin < ranks.size(); begin = end) {
      GreedyNms<compute_t<T>> greedy(iou_threshold);
      const int64_t current = group_at(ranks[begin]);
      for (end = begin; end < ranks.size() && group_at(ranks[end]) == current; ++end) {
        stays[ranks[end]] = greedy.keep(read_box<T>(boxes, order[ranks[end]]));
      }
    }
    std::vector<int32_t> kept;
    for (size_t rank = 0; rank < order.size(); ++rank) {
      if (stays[rank]) kept.push_back(order[rank]);
    }
    return indices(kept, boxes);
  });
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("batched_nms", TORCH_BOX(&s3fd::cpu::batched_nms));
  library.impl("nms", TORCH_BOX(&s3fd::cpu::nms));
}
