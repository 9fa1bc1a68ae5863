// The words of matching, on the CPU and on a GPU: what it is told, and what it says of an anchor.
#pragma once

#include <cstdint>

#include "shared/geometry.h"
#include "shared/threshold.h"

namespace s3fd {

// What an anchor is that no box has.
constexpr int64_t kBackground = -1, kIgnored = -2;

// Thresholds as floats that an IoU, a float, compares with as with the doubles that were asked for:
// IoUs from positive_iou on, and above candidate_iou.
struct MatchOptions {
  float positive_iou, candidate_iou;
  int64_t top_n;  // negative: the mean of stage 1
  bool keep_best;
  bool ties;  // one stage, in which a box promotes all anchors that it overlaps most

  MatchOptions(double positive_iou, double candidate_iou, int64_t top_n, bool keep_best, bool ties)
      : positive_iou(smallest_not_below<float>(positive_iou)),
        candidate_iou(largest_not_above<float>(candidate_iou)),
        top_n(top_n),
        keep_best(keep_best),
        ties(ties) {}
};

// Boxes of several images, one after the other: those of image i are rows[splits[i]:splits[i + 1]].
struct BoxBatch {
  const Box<float>* rows;
  const int64_t* splits;
  int64_t num_rows, num_images;
};

}  // namespace s3fd
