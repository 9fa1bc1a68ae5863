// s3fd._evaluation: numpy in, numpy out, no torch. The arguments are checked, and their meaning is
// written, in s3fd/evaluation/matching.py; the checks here guard memory.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "geometry.h"

namespace py = pybind11;

namespace s3fd {
namespace {

constexpr int64_t kFalsePositive = -1, kIgnored = -2;

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// The boxes of several images: those of image i are rows splits[i] to splits[i + 1].
class RaggedBoxes {
 public:
  RaggedBoxes(const Array<float>& boxes, const Array<int64_t>& splits) {
    static_assert(sizeof(Box<float>) == 4 * sizeof(float));
    if (boxes.ndim() != 2 || boxes.shape(1) != 4 || splits.ndim() != 1 || splits.size() == 0) {
      throw std::invalid_argument("expected boxes [N, 4] and splits [B + 1]");
    }
    boxes_ = {reinterpret_cast<const Box<float>*>(boxes.data()), size_t(boxes.shape(0))};
    splits_ = {splits.data(), size_t(splits.size())};
    if (splits_.front() != 0 || splits_.back() != boxes.shape(0)) {
      throw std::invalid_argument("splits: expected to start at 0 and to end at N");
    }
    for (size_t i = 1; i < splits_.size(); ++i) {
      if (splits_[i] < splits_[i - 1]) throw std::invalid_argument("splits: expected to rise");
    }
  }

  size_t images() const { return splits_.size() - 1; }
  size_t begin(size_t image) const { return size_t(splits_[image]); }
  std::span<const Box<float>> operator[](size_t image) const {
    return boxes_.subspan(begin(image), size_t(splits_[image + 1] - splits_[image]));
  }

 private:
  std::span<const Box<float>> boxes_;
  std::span<const int64_t> splits_;
};

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

py::array_t<int64_t> match_detections(const Array<float>& detections,
                                      const Array<int64_t>& detection_splits,
                                      const Array<float>& ground_truths,
                                      const Array<int64_t>& ground_truth_splits,
                                      const Array<float>& ignore,
                                      const Array<int64_t>& ignore_splits, double iou_threshold) {
  const RaggedBoxes found(detections, detection_splits);
  const RaggedBoxes wanted(ground_truths, ground_truth_splits);
  const RaggedBoxes ignored(ignore, ignore_splits);
  if (wanted.images() != found.images() || ignored.images() != found.images()) {
    throw std::invalid_argument("splits: expected the same number of images");
  }
  py::array_t<int64_t> matched(detections.shape(0));
  int64_t* const out = matched.mutable_data();
  {
    const py::gil_scoped_release release;
    for (size_t image = 0; image < found.images(); ++image) {
      match_image(found[image], wanted[image], ignored[image], iou_threshold,
                  out + found.begin(image));
    }
  }
  return matched;
}

}  // namespace
}  // namespace s3fd

PYBIND11_MODULE(_evaluation, module) {
  module.doc() = "Matching of detections to ground truth, for s3fd.evaluation.";
  module.def("match_detections", &s3fd::match_detections, py::arg("detections"),
             py::arg("detection_splits"), py::arg("ground_truths"), py::arg("ground_truth_splits"),
             py::arg("ignore"), py::arg("ignore_splits"), py::kw_only(), py::arg("iou_threshold"),
             "Of each detection: its ground truth's index in the image, -1 for a false positive, "
             "-2 where it counts neither way.");
}
