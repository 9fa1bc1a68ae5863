// Box voting: the best box that is left, with all that overlap it, becomes their weighted mean.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "cpu/box_index.h"
#include "cpu/order.h"
#include "shared/checks/nms.h"
#include "shared/score_key.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// Rows of numbers as doubles, whatever they are stored in: every dtype fits, exactly.
std::vector<double> read(const Tensor& scores) {
  return dispatch_floating(scores.scalar_type(), "vote_boxes", [&]<typename T>() {
    const T* data = static_cast<const T*>(scores.const_data_ptr());
    std::vector<double> values(static_cast<size_t>(scores.size(0)));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<double>(
          static_cast<compute_t<T>>(data[static_cast<int64_t>(i) * scores.stride(0)]));
    }
    return values;
  });
}

std::vector<Box<double>> read(const Tensor& boxes, const std::vector<int32_t>& order) {
  return dispatch_floating(boxes.scalar_type(), "vote_boxes", [&]<typename T>() {
    const T* data = static_cast<const T*>(boxes.const_data_ptr());
    const int64_t step = boxes.stride(1);
    std::vector<Box<double>> values;
    values.reserve(order.size());
    for (const int32_t i : order) {
      const T* row = data + i * boxes.stride(0);
      const auto side = [&](int64_t k) {
        return static_cast<double>(static_cast<compute_t<T>>(row[k * step]));
      };
      values.push_back({side(0), side(1), side(2), side(3)});
    }
    return values;
  });
}

std::vector<Box<float>> in_single_precision(const std::vector<Box<double>>& boxes) {
  std::vector<Box<float>> rounded;
  rounded.reserve(boxes.size());
  for (const auto& [x1, y1, x2, y2] : boxes) {
    rounded.push_back({static_cast<float>(x1), static_cast<float>(y1), static_cast<float>(x2),
                       static_cast<float>(y2)});
  }
  return rounded;
}

struct Merged {
  Box<double> box;
  double score;
};

// The mean of the members, which come by falling score, weighted by their scores and added up in
// this order.
Box<double> weighted_mean(const std::vector<int32_t>& members,
                          const std::vector<Box<double>>& boxes,
                          const std::vector<double>& scores) {
  const Box<double>& best = boxes[members.front()];
  if (members.size() == 1 || scores[members.front()] == 0) return best;
  Box<double> sum{0, 0, 0, 0};
  double weight = 0;
  for (const int32_t i : members) {
    sum.x1 += boxes[i].x1 * scores[i];
    sum.y1 += boxes[i].y1 * scores[i];
    sum.x2 += boxes[i].x2 * scores[i];
    sum.y2 += boxes[i].y2 * scores[i];
    weight += scores[i];
  }
  return {sum.x1 / weight, sum.y1 / weight, sum.x2 / weight, sum.y2 / weight};
}

// Boxes and scores come by falling score, and so do the merged ones.
std::vector<Merged> vote(const std::vector<Box<double>>& boxes, const std::vector<double>& scores,
                         double iou_threshold, bool keep_single) {
  const std::vector<Box<float>> rounded = in_single_precision(boxes);
  // What the index leaves out has an IoU below the threshold, and not only at it: its slack is
  // larger than the rounding of an IoU.
  const BoxIndex<float> index(rounded, iou_threshold);
  std::vector<char> taken(boxes.size());
  std::vector<Merged> merged;
  std::vector<int32_t> members;
  for (size_t best = 0; best < boxes.size(); ++best) {
    if (taken[best]) continue;
    members.assign(1, static_cast<int32_t>(best));
    taken[best] = true;
    const int32_t position = index.position(static_cast<int32_t>(best));
    if (position != BoxIndex<float>::kNowhere) {
      const Box<float>& box = rounded[best];
      const float box_area = area(box);
      index.near(box, position, [&](int32_t begin, int32_t end) {
        for (int32_t i = begin; i < end; ++i) {
          const int32_t other = index.members()[i];
          if (taken[other]) continue;
          const float overlap = iou(rounded[other], area(rounded[other]), box, box_area);
          if (overlap > 0 && static_cast<double>(overlap) >= iou_threshold) {
            taken[other] = true;
            members.push_back(other);
          }
        }
      });
      std::sort(members.begin(), members.end());
    }
    if (keep_single || members.size() > 1) {
      merged.push_back({weighted_mean(members, boxes, scores), scores[best]});
    }
  }
  return merged;
}

std::tuple<Tensor, Tensor> vote_boxes(const Tensor& boxes, const Tensor& scores,
                                      double iou_threshold, bool keep_single) {
  check_boxes_and_scores("vote_boxes", boxes, scores, kMostBoxes);
  const std::vector<double> given = read(scores);
  STD_TORCH_CHECK(std::all_of(given.begin(), given.end(), is_weight<double>),
                  "s3fd::vote_boxes: expected finite scores >= 0");
  const std::vector<int32_t> order = order_by(static_cast<int32_t>(given.size()),
                                              [&](int32_t i) { return falling_key(given[i]); });
  std::vector<double> sorted;
  sorted.reserve(order.size());
  for (const int32_t i : order) sorted.push_back(given[i]);
  const std::vector<Merged> merged = vote(read(boxes, order), sorted, iou_threshold, keep_single);

  const auto size = static_cast<int64_t>(merged.size());
  Tensor out_boxes = empty({size, 4}, boxes.scalar_type(), boxes);
  Tensor out_scores = empty({size}, scores.scalar_type(), scores);
  dispatch_floating(boxes.scalar_type(), "vote_boxes", [&]<typename T>() {
    T* out = static_cast<T*>(out_boxes.mutable_data_ptr());
    for (const Merged& one : merged) {
      for (const double side : {one.box.x1, one.box.y1, one.box.x2, one.box.y2}) {
        *out++ = static_cast<T>(static_cast<compute_t<T>>(side));
      }
    }
  });
  dispatch_floating(scores.scalar_type(), "vote_boxes", [&]<typename T>() {
    T* out = static_cast<T*>(out_scores.mutable_data_ptr());
    for (const Merged& one : merged) *out++ = static_cast<T>(static_cast<compute_t<T>>(one.score));
  });
  return {out_boxes, out_scores};
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("vote_boxes", TORCH_BOX(&s3fd::cpu::vote_boxes));
}
