// Greedy matching of detections to ground truth, for s3fd/evaluation/matching.py.

#include "arrays/library.h"
#include "shared/geometry.h"

#include <vector>

namespace s3fd {
namespace {

constexpr int64_t kFalsePositive = -1, kIgnored = -2;

using Boxes = Ragged<Box<float>>;

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
}  // namespace s3fd

// Of each detection (x1, y1, x2, y2): its ground truth's index in the image, -1 for a false
// positive, -2 where it counts neither way.
S3FD_EXPORT const char* s3fd_match_detections(s3fd::RaggedArray detections,
                                              s3fd::RaggedArray ground_truths,
                                              s3fd::RaggedArray ignore, double iou_threshold,
                                              int64_t* matched) {
  return s3fd::run_guarded([&] {
    const s3fd::Boxes found(detections), wanted(ground_truths), ignored(ignore);
    for (size_t image = 0; image < found.images(); ++image) {
      s3fd::match_image(found[image], wanted[image], ignored[image], iou_threshold,
                        matched + found.begin(image));
    }
  });
}
