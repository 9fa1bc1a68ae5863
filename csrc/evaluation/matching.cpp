// Greedy matching of detections to ground truth, for s3fd/evaluation/matching.py.

#include "evaluation/module.h"
#include "shared/geometry.h"

#include <vector>

namespace s3fd {
namespace {

constexpr int64_t kFalsePositive = -1, kIgnored = -2;

using Boxes = Ragged<Box<float>, float>;

// At least half of the detection's own area lies in one ignore box.
bool is_ignored(const Box<float>& detection, std::span<const Box<float>> ignore) {
  if (!is_proper(detection)) return false;
  const float half = 0.5f * area(detection);
  for (const Box<float>& box : ignore) {
    if (is_proper(box) && intersection(detection, box) >= half) return true;
  }
  return false;
}

// One image. Detections choose in the order they come in, each the free ground truth that it
// overlaps most, the lower index on ties.
void match_image(std::span<const Box<float>> detections, std::span<const Box<float>> ground_truths,
                 std::span<const Box<float>> ignore, double iou_threshold, int64_t* matched) {
  std::vector<bool> taken(ground_truths.size());
  for (const Box<float>& detection : detections) {
    int64_t best = kFalsePositive;
    float best_iou = 0;
    for (size_t i = 0; i < ground_truths.size(); ++i) {
      if (taken[i]) continue;
      const float overlap = iou(detection, ground_truths[i]);
      if (overlap > best_iou && overlap >= iou_threshold) {
        best = int64_t(i);
        best_iou = overlap;
      }
    }
    if (best != kFalsePositive) {
      taken[size_t(best)] = true;
    } else if (is_ignored(detection, ignore)) {
      best = kIgnored;
    }
    *matched++ = best;
  }
}

}  // namespace

Array<int64_t> match_detections(const Array<float>& detections,
                                const Array<int64_t>& detection_splits,
                                const Array<float>& ground_truths,
                                const Array<int64_t>& ground_truth_splits,
                                const Array<float>& ignore, const Array<int64_t>& ignore_splits,
                                double iou_threshold) {
  const Boxes found(detections, detection_splits);
  const Boxes wanted(ground_truths, ground_truth_splits);
  const Boxes ignored(ignore, ignore_splits);
  if (wanted.images() != found.images() || ignored.images() != found.images()) {
    throw std::invalid_argument("splits: expected the same number of images");
  }
  Array<int64_t> matched(detections.shape(0));
  int64_t* const out = matched.mutable_data();
  {
    const pybind11::gil_scoped_release release;
    for (size_t image = 0; image < found.images(); ++image) {
      match_image(found[image], wanted[image], ignored[image], iou_threshold,
                  out + found.begin(image));
    }
  }
  return matched;
}

}  // namespace s3fd
