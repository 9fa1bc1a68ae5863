// Two-stage matching of anchors to boxes (S3FD, section 3.2, "scale compensation"), for a list of
// anchors and for a grid. Neither holds an IoU for every pair: memory is O(anchors + boxes). On a
// grid only those cells are looked at whose anchor can overlap a box enough.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <span>
#include <vector>

#include "cpu/match_grid.h"
#include "cpu/match_list.h"
#include "cpu/parallel.h"
#include "shared/anchor_levels.h"
#include "shared/matching.h"
#include "shared/operators/match_anchors.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

using Boxes = std::span<const Box<float>>;  // of one image

template <typename Anchors>
class ImageMatcher {
 public:
  ImageMatcher(const Anchors& anchors, const MatchOptions& options)
      : anchors_(anchors), options_(options), iou_(static_cast<size_t>(anchors.size())) {}

  // Fills `matched`, one entry an anchor.
  void match(Boxes boxes, Boxes regions, int64_t* matched) {
    matched_ = matched;
    std::fill_n(matched_, anchors_.size(), kBackground);
    std::fill(iou_.begin(), iou_.end(), 0.0f);
    counts_.assign(boxes.size(), 0);
    total_ = 0;
    if (options_.ties) {
      promote_best(boxes);
    } else {
      claim_by_overlap(boxes);
      compensate_scales(boxes);
    }
    for (const Box<float>& region : regions) hide(region);
  }

 private:
  // Stage 1.
  void claim_by_overlap(Boxes boxes) {
    struct Claim {
      Candidate best;
      int64_t box;
    };
    std::vector<Claim> claims;
    const auto num_boxes = static_cast<int64_t>(boxes.size());
    for (int64_t g = 0; g < num_boxes; ++g) {
      if (!is_proper(boxes[g])) continue;
      Candidate best{0, 0};
      const auto least = [&] {
        return options_.keep_best ? std::min(options_.positive_iou, best.iou)
                                  : options_.positive_iou;
      };
      anchors_.for_each_overlap(boxes[g], least, [&](const Candidate& found) {
        if (is_better(found, best)) best = found;
        if (found.iou >= options_.positive_iou && found.iou > iou_at(found.anchor)) {
          assign(found, g);
        }
      });
      if (options_.keep_best && best.iou > 0) claims.push_back({best, g});
    }
    std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
      if (a.best.anchor != b.best.anchor) return a.best.anchor < b.best.anchor;
      return a.best.iou > b.best.iou || (a.best.iou == b.best.iou && a.box < b.box);
    });
    for (size_t i = 0; i < claims.size(); ++i) {
      if (i > 0 && claims[i].best.anchor == claims[i - 1].best.anchor) continue;
      assign(claims[i].best, claims[i].box);
    }
  }

  // Stage 2. What it assigns has its IoU stored negative, so that stage 1 can be told from it.
  void compensate_scales(Boxes boxes) {
    if (boxes.empty()) return;
    const auto num_boxes = static_cast<int64_t>(boxes.size());
    const int64_t wanted =
        options_.top_n < 0 ? std::max<int64_t>(1, total_ / num_boxes) : options_.top_n;
    std::vector<Candidate> nearest;  // a heap with the worst in front
    for (int64_t g = 0; g < num_boxes; ++g) {
      if (counts_[static_cast<size_t>(g)] >= wanted || !is_proper(boxes[g])) continue;
      nearest.clear();
      const auto is_full = [&] { return static_cast<int64_t>(nearest.size()) == wanted; };
      const auto least = [&] {
        const float worst = is_full() ? nearest.front().iou : 0;
        return std::max(options_.candidate_iou, worst);
      };
      anchors_.for_each_overlap(boxes[g], least, [&](const Candidate& found) {
        if (!(found.iou > options_.candidate_iou)) return;
        if (is_full()) {
          if (!is_better(found, nearest.front())) return;
          std::pop_heap(nearest.begin(), nearest.end(), is_better);
          nearest.pop_back();
        }
        nearest.push_back(found);
        std::push_heap(nearest.begin(), nearest.end(), is_better);
      });
      for (const Candidate& claim : nearest) {
        float& stored = iou_at(claim.anchor);
        const bool free = matched_[claim.anchor] == kBackground;
        if (free || (stored < 0 && claim.iou > -stored)) {
          matched_[claim.anchor] = g;
          stored = -claim.iou;
        }
      }
    }
  }

  // The one stage of Faster R-CNN. Each anchor takes the box that it overlaps most, if that is
  // enough or if no anchor has a larger IoU with some box, which need not be the same one.
  void promote_best(Boxes boxes) {
    std::vector<float> best(boxes.size());  // IoU of each box
    for (size_t g = 0; g < boxes.size(); ++g) {
      if (!is_proper(boxes[g])) continue;
      anchors_.for_each_overlap(
          boxes[g], [] { return 0.0f; },
          [&](const Candidate& found) {
            best[g] = std::max(best[g], found.iou);
            if (!(found.iou > iou_at(found.anchor))) return;
            iou_at(found.anchor) = found.iou;
            matched_[found.anchor] = static_cast<int64_t>(g);
          });
    }
    // What is promoted is as good as an IoU of 1.
    for (size_t g = 0; g < boxes.size(); ++g) {
      if (best[g] == 0) continue;
      anchors_.for_each_overlap(
          boxes[g], [&] { return best[g]; },
          [&](const Candidate& found) {
            if (found.iou == best[g]) iou_at(found.anchor) = 1;
          });
    }
    for (int64_t anchor = 0; anchor < anchors_.size(); ++anchor) {
      if (iou_at(anchor) < options_.positive_iou) matched_[anchor] = kBackground;
    }
  }

  // Backgrounds of whose own area at least half lies in the region.
  void hide(const Box<float>& region) {
    if (!is_proper(region)) return;
    anchors_.for_each_touched(region, [&](int64_t index, const Box<float>& anchor) {
      if (matched_[index] == kBackground && is_proper(anchor) &&
          intersection(anchor, region) >= 0.5f * area(anchor)) {
        matched_[index] = kIgnored;
      }
    });
  }

  void assign(const Candidate& claim, int64_t box) {
    int64_t& owner = matched_[claim.anchor];
    if (owner >= 0) {
      --counts_[static_cast<size_t>(owner)];
    } else {
      ++total_;
    }
    ++counts_[static_cast<size_t>(box)];
    owner = box;
    iou_at(claim.anchor) = claim.iou;
  }

  float& iou_at(int64_t anchor) { return iou_[static_cast<size_t>(anchor)]; }

  const Anchors& anchors_;
  const MatchOptions& options_;
  std::vector<float> iou_;       // of each anchor with its box
  std::vector<int64_t> counts_;  // of each box, its anchors after stage 1
  int64_t total_ = 0;            // anchors matched in stage 1
  int64_t* matched_ = nullptr;
};

BoxBatch batch_of(const Tensor& boxes, const Splits& splits) {
  return {static_cast<const Box<float>*>(boxes.const_data_ptr()), splits.data(), boxes.size(0),
          static_cast<int64_t>(splits.size()) - 1};
}

Boxes boxes_of(const BoxBatch& batch, int64_t image) {
  return {batch.rows + batch.splits[image], batch.rows + batch.splits[image + 1]};
}

template <typename Anchors>
Tensor match_batch(const Anchors& anchors, const MatchCall& call) {
  const BoxBatch faces = batch_of(call.boxes, call.splits);
  const BoxBatch regions = batch_of(call.ignore, call.ignore_splits);
  Tensor matched = empty({call.num_images(), anchors.size()}, ScalarType::Long, call.boxes);
  auto* rows = static_cast<int64_t*>(matched.mutable_data_ptr());
  parallel_for(0, call.num_images(), 1, [&](int64_t begin, int64_t end) {
    ImageMatcher<Anchors> matcher(anchors, call.options);
    for (int64_t image = begin; image < end; ++image) {
      matcher.match(boxes_of(faces, image), boxes_of(regions, image),
                    rows + image * anchors.size());
    }
  });
  return matched;
}

Tensor match_list(const Tensor& anchors, const MatchCall& call) {
  const auto* rows = static_cast<const Box<float>*>(anchors.const_data_ptr());
  return match_batch(ListAnchors(rows, anchors.size(0)), call);
}

Tensor match_levels(const std::vector<AnchorLevel>& levels, const MatchCall& call) {
  return match_batch(GridAnchors(levels), call);
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  s3fd::register_match_anchors<s3fd::cpu::match_list, s3fd::cpu::match_levels>(library);
}
