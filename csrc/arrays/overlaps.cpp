// The face that each detection overlaps most, and what becomes of the detection, as the tools of
// WIDER FACE and PASCAL VOC decide it. For s3fd/evaluation/pixel_overlaps.py.

#include "arrays/library.h"
#include "arrays/threads.h"

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

// The face that a detection overlaps most, the lower index on ties, and their IoU.
void best_overlap(const PixelBox& detection, std::span<const PixelBox> faces, int64_t& best,
                  double& overlap) {
  best = -1;
  overlap = -1;
  for (size_t i = 0; i < faces.size(); ++i) {
    const double value = iou(detection, faces[i]);
    if (value > overlap) {
      overlap = value;
      best = int64_t(i);
    }
  }
  overlap = std::max(overlap, 0.0);
}

// One image: detections come by falling score, and the first to find a face has it.
void judge_image(std::span<const int64_t> best, const double* overlap,
                 std::span<const uint8_t> counted, double iou_threshold, int8_t* outcome) {
  std::vector<bool> taken(counted.size());
  for (size_t i = 0; i < best.size(); ++i) {
    outcome[i] = kFalsePositive;
    if (best[i] < 0 || !(overlap[i] >= iou_threshold)) continue;
    const size_t face = size_t(best[i]);
    if (!counted[face]) {
      outcome[i] = kIgnored;
    } else if (!taken[face]) {
      taken[face] = true;
      outcome[i] = kFound;
    }
  }
}

}  // namespace
}  // namespace s3fd

// Of each detection (x1, y1, x2, y2): the face of its image that it overlaps most, the lower index
// on ties, and their IoU, areas counted in pixels. -1 and 0 in an image without faces.
S3FD_EXPORT const char* s3fd_best_overlaps(s3fd::RaggedArray detections, s3fd::RaggedArray faces,
                                           int64_t threads, int64_t* best, double* overlap) {
  return s3fd::run_guarded([&] {
    const s3fd::Ragged<s3fd::PixelBox> found(detections), wanted(faces);
    s3fd::for_each_image(found.images(), size_t(threads), [&](size_t image) {
      size_t row = found.begin(image);
      for (const s3fd::PixelBox& detection : found[image]) {
        s3fd::best_overlap(detection, wanted[image], best[row], overlap[row]);
        ++row;
      }
    });
  });
}

// Of each detection, by falling score in its image: 1 if it is the first to reach the threshold
// with its best face, 0 if it is a false positive, -1 if that face does not count.
S3FD_EXPORT const char* s3fd_judge_detections(s3fd::RaggedArray best, const double* overlap,
                                              s3fd::RaggedArray counted, double iou_threshold,
                                              int8_t* outcome) {
  return s3fd::run_guarded([&] {
    const s3fd::Ragged<int64_t> chosen(best);
    const s3fd::Ragged<uint8_t> counts(counted);
    for (size_t image = 0; image < chosen.images(); ++image) {
      const size_t begin = chosen.begin(image);
      s3fd::judge_image(chosen[image], overlap + begin, counts[image], iou_threshold,
                        outcome + begin);
    }
  });
}
