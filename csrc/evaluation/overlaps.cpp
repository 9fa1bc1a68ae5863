// The face that each detection overlaps most, and what becomes of the detection, as the tools of
// WIDER FACE and PASCAL VOC decide it. For s3fd/evaluation/pixel_overlaps.py.

#include "evaluation/module.h"
#include "evaluation/threads.h"

#include <algorithm>
#include <vector>

namespace s3fd {
namespace {

// First and last pixel: a box of width 0 covers one column.
struct PixelBox {
  double x1, y1, x2, y2;

  double area() const { return (x2 - x1 + 1) * (y2 - y1 + 1); }
};

// In the tools' own order of operations, which decides IoUs at the threshold.
double iou(const PixelBox& a, const PixelBox& b) {
  const double width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1) + 1;
  const double height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1) + 1;
  if (!(width > 0 && height > 0)) return 0;
  const double inter = width * height;
  return inter / (a.area() + b.area() - inter);
}

constexpr int8_t kIgnored = -1, kFalsePositive = 0, kFound = 1;

}  // namespace

std::pair<Array<int64_t>, Array<double>> best_overlaps(const Array<double>& detections,
                                                       const Array<int64_t>& detection_splits,
                                                       const Array<double>& faces,
                                                       const Array<int64_t>& face_splits,
                                                       size_t threads) {
  const Ragged<PixelBox, double> found(detections, detection_splits);
  const Ragged<PixelBox, double> wanted(faces, face_splits);
  if (wanted.images() != found.images()) {
    throw std::invalid_argument("splits: expected the same number of images");
  }
  Array<int64_t> best(detections.shape(0));
  Array<double> overlap(detections.shape(0));
  int64_t* const best_out = best.mutable_data();
  double* const overlap_out = overlap.mutable_data();
  {
    const pybind11::gil_scoped_release release;
    for_each_image(found.images(), threads, [&](size_t image) {
      size_t row = found.begin(image);
      for (const PixelBox& detection : found[image]) {
        int64_t index = -1;
        double largest = -1;
        for (size_t i = 0; i < wanted[image].size(); ++i) {
          const double value = iou(detection, wanted[image][i]);
          if (value > largest) {
            largest = value;
            index = int64_t(i);
          }
        }
        best_out[row] = index;
        overlap_out[row] = std::max(largest, 0.0);
        ++row;
      }
    });
  }
  return {best, overlap};
}

Array<int8_t> judge_detections(const Array<int64_t>& best, const Array<double>& overlap,
                               const Array<int64_t>& detection_splits,
                               const Array<uint8_t>& counted, const Array<int64_t>& face_splits,
                               double iou_threshold) {
  const Ragged<int64_t, int64_t> chosen(best, detection_splits);
  const Ragged<uint8_t, uint8_t> counts(counted, face_splits);
  if (overlap.ndim() != 1 || overlap.shape(0) != best.shape(0)) {
    throw std::invalid_argument("overlap: expected one for each detection");
  }
  if (counts.images() != chosen.images()) {
    throw std::invalid_argument("splits: expected the same number of images");
  }
  Array<int8_t> outcome(best.shape(0));
  int8_t* const out = outcome.mutable_data();
  const double* const overlaps = overlap.data();
  bool within = true;
  {
    const pybind11::gil_scoped_release release;
    std::vector<bool> taken;
    for (size_t image = 0; image < chosen.images() && within; ++image) {
      const std::span<const uint8_t> faces = counts[image];
      taken.assign(faces.size(), false);
      size_t row = chosen.begin(image);
      for (const int64_t face : chosen[image]) {
        out[row] = kFalsePositive;
        if (face >= int64_t(faces.size())) {
          within = false;
          break;
        }
        if (face >= 0 && overlaps[row] >= iou_threshold) {
          if (!faces[size_t(face)]) {
            out[row] = kIgnored;
          } else if (!taken[size_t(face)]) {
            taken[size_t(face)] = true;
            out[row] = kFound;
          }
        }
        ++row;
      }
    }
  }
  if (!within) throw std::invalid_argument("best: expected indices of faces of the same image");
  return outcome;
}

}  // namespace s3fd
