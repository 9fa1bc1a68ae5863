// What the anchors of a list or of a grid are to a box that looks for its own.
#pragma once

#include <cstdint>

namespace s3fd::cpu {

// An anchor that a box may claim. Of equal IoUs the lower anchor is better.
struct Candidate {
  float iou;
  int64_t anchor;
};

inline bool is_better(const Candidate& a, const Candidate& b) {
  return a.iou > b.iou || (a.iou == b.iou && a.anchor < b.anchor);
}

}  // namespace s3fd::cpu
