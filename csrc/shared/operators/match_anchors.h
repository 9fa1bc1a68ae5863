// The operators of match_anchors, as torch calls them, on top of what a device does with a call.
#pragma once

#include <torch/csrc/stable/library.h>

#include <cstdint>
#include <vector>

#include "shared/anchor_levels.h"
#include "shared/checks/match_anchors.h"
#include "shared/matching.h"
#include "shared/tensor.h"

namespace s3fd {

// What both are called with beside the anchors, checked. The tensors have to outlive it.
struct MatchCall {
  const Tensor& boxes;
  const Splits& splits;
  const Tensor& ignore;
  const Splits ignore_splits;  // all 0 where it got none
  MatchOptions options;

  MatchCall(const Tensor& boxes, const Splits& splits, const Tensor& ignore,
            const Splits& ignore_splits, const MatchOptions& options)
      : boxes(boxes),
        splits(splits),
        ignore(ignore),
        ignore_splits(ignore_splits.empty() ? Splits(splits.size()) : ignore_splits),
        options(options) {
    check_matching(boxes, splits, ignore, ignore_splits);
  }

  int64_t num_images() const { return static_cast<int64_t>(splits.size()) - 1; }
  int64_t num_regions() const { return ignore_splits.back(); }
};

template <auto kMatch>
Tensor match_anchors(const Tensor& anchors, const Tensor& boxes, const Splits& splits,
                     const Tensor& ignore, const Splits& ignore_splits, double positive_iou,
                     double candidate_iou, int64_t top_n, bool keep_best, bool ties) {
  check_box_list(anchors);
  const MatchCall call(boxes, splits, ignore, ignore_splits,
                       {positive_iou, candidate_iou, top_n, keep_best, ties});
  check_one_device("match", anchors, boxes);
  return kMatch(anchors, call);
}

template <auto kMatch>
Tensor match_grid(const Tensor& boxes, const Splits& splits, const Tensor& ignore,
                  const Splits& ignore_splits, const std::vector<int64_t>& feature_sizes,
                  const std::vector<double>& grid, double positive_iou, double candidate_iou,
                  int64_t top_n, bool keep_best, bool ties) {
  const MatchCall call(boxes, splits, ignore, ignore_splits,
                       {positive_iou, candidate_iou, top_n, keep_best, ties});
  return kMatch(make_levels(feature_sizes, grid), call);
}

// kMatchList takes contiguous anchors, kMatchGrid levels, and both a call.
template <auto kMatchList, auto kMatchGrid, typename Library>
void register_match_anchors(Library& library) {
  library.impl("match_anchors", TORCH_BOX((&match_anchors<kMatchList>)));
  library.impl("match_grid", TORCH_BOX((&match_grid<kMatchGrid>)));
}

}  // namespace s3fd
