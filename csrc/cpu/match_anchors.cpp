// Two-stage matching of anchors to boxes (S3FD, section 3.2, "scale compensation"), for a list of
// anchors and for a grid. Neither holds an IoU for every pair: memory is O(anchors + boxes). On a
// grid only those cells are looked at whose anchor can overlap a box enough.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/simd.h"
#include "shared/anchor_bounds.h"
#include "shared/anchor_grid.h"
#include "shared/anchor_levels.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

constexpr int64_t kBackground = -1, kIgnored = -2;

struct Options {
  double positive_iou, candidate_iou;
  int64_t top_n;  // negative: the mean of stage 1
  bool keep_best;
};

// An anchor that a box may claim. Of equal IoUs the lower anchor is better.
struct Candidate {
  float iou;
  int64_t anchor;
};

bool is_better(const Candidate& a, const Candidate& b) {
  return a.iou > b.iou || (a.iou == b.iou && a.anchor < b.anchor);
}

// Anchors in any order, in blocks of neighbours in that order. A box looks only into the blocks
// whose bounds it can overlap enough: few if anchors are listed row by row, as they usually are.
class AnchorList {
 public:
  AnchorList(const Box<float>* anchors, int64_t size) : size_(size) {
    const auto blocks = static_cast<size_t>((size + kBlock - 1) / kBlock);
    for (auto* side : {&x1_, &y1_, &x2_, &y2_, &areas_}) side->resize(blocks * kBlock);
    for (auto* bound : {&left_, &top_, &right_, &bottom_, &smallest_, &largest_}) {
      bound->resize(blocks);
    }
    for (size_t block = 0; block < blocks; ++block) {
      const auto first = static_cast<int64_t>(block * kBlock);
      fill_block(block, anchors + first, std::min(kBlock, size - first));
    }
  }

  int64_t size() const { return size_; }

  // Calls visit(index, anchor, IoU) for all anchors whose IoU with a proper box is positive and not
  // below least(), and perhaps for others. The most promising block comes first; least() may grow
  // meanwhile.
  template <typename Least, typename Visit>
  void for_each_overlap(const Box<float>& box, const Least& least, const Visit& visit) const {
    std::vector<float> bounds(left_.size());
    const size_t best = bound_blocks(box, bounds.data());
    if (best == bounds.size()) return;
    visit_block(best, box, least(), visit);
    for (size_t block = 0; block < bounds.size(); ++block) {
      if (block == best || !(bounds[block] > 0)) continue;
      const double enough = least();
      if (AnchorBounds::allows(bounds[block], enough)) visit_block(block, box, enough, visit);
    }
  }

  // Calls visit(index, anchor) at least for all anchors that share something with the box.
  template <typename Visit>
  void for_each_touched(const Box<float>& box, const Visit& visit) const {
    std::vector<float> bounds(left_.size());
    bound_blocks(box, bounds.data());
    for (int64_t i = 0; i < size_; ++i) {
      if (i % kBlock == 0 && !(bounds[i / kBlock] > 0)) {
        i += kBlock - 1;
      } else {
        visit(i, Box<float>{x1_[i], y1_[i], x2_[i], y2_[i]});
      }
    }
  }

 private:
  static constexpr int64_t kBlock = 64;
  static constexpr double kSlack = 1e-5;  // what rounding may add to an IoU

  void fill_block(size_t block, const Box<float>* anchors, int64_t count) {
    AnchorBounds bounds = AnchorBounds::none();
    for (int64_t i = 0; i < count; ++i) {
      const Box<float>& anchor = anchors[i];
      const size_t at = block * kBlock + static_cast<size_t>(i);
      x1_[at] = anchor.x1, y1_[at] = anchor.y1, x2_[at] = anchor.x2, y2_[at] = anchor.y2;
      areas_[at] = area(anchor);
      bounds.add(AnchorBounds::of(anchor));
    }
    left_[block] = bounds.left, top_[block] = bounds.top;
    right_[block] = bounds.right, bottom_[block] = bounds.bottom;
    smallest_[block] = bounds.smallest, largest_[block] = bounds.largest;
  }

  // The bounds of all blocks; which one is the largest, or the number of blocks if all are 0.
  size_t bound_blocks(const Box<float>& box, float* __restrict bounds) const {
    const size_t count = left_.size();
    const float box_area = area(box);
    const float *left = left_.data(), *top = top_.data(), *right = right_.data();
    const float *bottom = bottom_.data(), *smallest = smallest_.data(), *largest = largest_.data();
    vectorized([&] {
      for (size_t i = 0; i < count; ++i) {
        bounds[i] =
            AnchorBounds{left[i], top[i], right[i], bottom[i], smallest[i], largest[i]}.iou_bound(
                box, box_area);
      }
    });
    size_t best = count;
    for (size_t i = 0; i < count; ++i) {
      if (bounds[i] > (best == count ? 0.0f : bounds[best])) best = i;
    }
    return best;
  }

  template <typename Visit>
  void visit_block(size_t block, const Box<float>& box, double enough, const Visit& visit) const {
    const size_t first = block * kBlock;
    const float box_area = area(box);
    const auto low = static_cast<float>(enough * (1 - kSlack));
    const float *x1 = &x1_[first], *y1 = &y1_[first], *x2 = &x2_[first], *y2 = &y2_[first];
    const float* areas = &areas_[first];
    float overlaps[kBlock];
    float* __restrict out = overlaps;
    const int32_t any = vectorized([=] {
      int32_t found = 0;
      for (int64_t i = 0; i < kBlock; ++i) {
        out[i] = iou({x1[i], y1[i], x2[i], y2[i]}, areas[i], box, box_area);
        found |= (out[i] > 0) & (out[i] >= low);
      }
      return found;
    });
    if (!any) return;
    for (int64_t i = 0; i < kBlock; ++i) {
      if (overlaps[i] > 0 && overlaps[i] >= low) {
        visit(Candidate{overlaps[i], static_cast<int64_t>(first) + i});
      }
    }
  }

  int64_t size_;
  std::vector<float> x1_, y1_, x2_, y2_, areas_;
  // Of the proper anchors of each block.
  std::vector<float> left_, top_, right_, bottom_, smallest_, largest_;
};

class Grid {
 public:
  explicit Grid(std::vector<AnchorLevel> levels) : levels_(std::move(levels)) {
    for (const AnchorLevel& level : levels_) {
      for (int64_t shape = 0; shape < level.num_shapes; ++shape) {
        shapes_.push_back({&level, shape, size_, AnchorReach<double>(level, shape)});
      }
      size_ += level.num_anchors();
    }
  }

  int64_t size() const { return size_; }

  // As AnchorList has it.
  template <typename Least, typename Visit>
  void for_each_overlap(const Box<float>& box, const Least& least, const Visit& visit) const {
    const float box_area = area(box);
    for_each_near(box, least, [&](int64_t index, const Box<float>& anchor) {
      const float overlap = iou(anchor, area(anchor), box, box_area);
      if (overlap > 0) visit(Candidate{overlap, index});
    });
  }

  template <typename Visit>
  void for_each_touched(const Box<float>& box, const Visit& visit) const {
    for_each_near(box, [] { return 0.0; }, visit);
  }

 private:
  // Calls visit(index, anchor) at least for all anchors whose IoU with a proper box is positive and
  // not below least(). Shapes that can overlap the box best come first; least() may grow meanwhile.
  template <typename Least, typename Visit>
  void for_each_near(const Box<float>& box, const Least& least, const Visit& visit) const {
    struct Ranked {
      double bound;
      const Shape* shape;
    };
    std::vector<Ranked> order;
    order.reserve(shapes_.size());
    for (const Shape& shape : shapes_) order.push_back({shape.reach.iou_bound(box), &shape});
    std::sort(order.begin(), order.end(),
              [](const Ranked& a, const Ranked& b) { return a.bound > b.bound; });
    for (const auto& [bound, shape] : order) {
      const double enough = least();
      if (bound < enough) break;
      visit_window(*shape, box, enough, visit);
    }
  }

  // The anchors of one shape on one level, whose anchors begin at `first`.
  struct Shape {
    const AnchorLevel* level;
    int64_t shape, first;
    AnchorReach<double> reach;
  };

  template <typename Visit>
  static void visit_window(const Shape& shape, const Box<float>& box, double enough,
                           const Visit& visit) {
    const AnchorLevel& level = *shape.level;
    const auto [rows, columns] = shape.reach.window(box, enough);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        visit(shape.first + level.index(row, column, shape.shape),
              level.template box<float>(row, column, shape.shape));
      }
    }
  }

  std::vector<AnchorLevel> levels_;
  std::vector<Shape> shapes_;
  int64_t size_ = 0;
};

template <typename Anchors>
class ImageMatcher {
 public:
  ImageMatcher(const Anchors& anchors, const Options& options)
      : anchors_(anchors), options_(options), iou_(static_cast<size_t>(anchors.size())) {}

  // Fills `matched`, one entry an anchor.
  void match(const Box<float>* boxes, int64_t num_boxes, const Box<float>* ignore,
             int64_t num_ignore, int64_t* matched) {
    matched_ = matched;
    std::fill_n(matched_, anchors_.size(), kBackground);
    std::fill(iou_.begin(), iou_.end(), 0.0f);
    counts_.assign(static_cast<size_t>(num_boxes), 0);
    total_ = 0;
    claim_by_overlap(boxes, num_boxes);
    compensate_scales(boxes, num_boxes);
    for (int64_t i = 0; i < num_ignore; ++i) hide(ignore[i]);
  }

 private:
  // Stage 1.
  void claim_by_overlap(const Box<float>* boxes, int64_t num_boxes) {
    struct Claim {
      Candidate best;
      int64_t box;
    };
    std::vector<Claim> claims;
    for (int64_t g = 0; g < num_boxes; ++g) {
      if (!is_proper(boxes[g])) continue;
      Candidate best{0, 0};
      const auto least = [&] {
        return options_.keep_best ? std::min<double>(options_.positive_iou, best.iou)
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
  void compensate_scales(const Box<float>* boxes, int64_t num_boxes) {
    if (num_boxes == 0) return;
    const int64_t wanted =
        options_.top_n < 0 ? std::max<int64_t>(1, total_ / num_boxes) : options_.top_n;
    std::vector<Candidate> nearest;  // a heap with the worst in front
    for (int64_t g = 0; g < num_boxes; ++g) {
      if (counts_[static_cast<size_t>(g)] >= wanted || !is_proper(boxes[g])) continue;
      nearest.clear();
      const auto is_full = [&] { return static_cast<int64_t>(nearest.size()) == wanted; };
      const auto least = [&] {
        const double worst = is_full() ? nearest.front().iou : 0;
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
  const Options& options_;
  std::vector<float> iou_;       // of each anchor with its box
  std::vector<int64_t> counts_;  // of each box, its anchors after stage 1
  int64_t total_ = 0;            // anchors matched in stage 1
  int64_t* matched_ = nullptr;
};

// Boxes of several images, one after the other: those of image i are boxes[splits[i]:splits[i +
// 1]].
struct Batch {
  const Box<float>* boxes;
  const int64_t* splits;

  const Box<float>* begin(int64_t image) const { return boxes + splits[image]; }
  int64_t size(int64_t image) const { return splits[image + 1] - splits[image]; }
};

const Box<float>* box_data(const Tensor& boxes) {
  STD_TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.is_contiguous() &&
                      boxes.scalar_type() == ScalarType::Float,
                  "s3fd::match: expected boxes and anchors as contiguous float32 [N, 4]");
  return static_cast<const Box<float>*>(boxes.const_data_ptr());
}

Batch batch_of(const Tensor& boxes, const Tensor& splits) {
  STD_TORCH_CHECK(splits.dim() == 1 && splits.size(0) >= 1 && splits.is_contiguous() &&
                      splits.scalar_type() == ScalarType::Long,
                  "s3fd::match: expected splits as contiguous int64 [B + 1]");
  const auto* data = static_cast<const int64_t*>(splits.const_data_ptr());
  const int64_t images = splits.size(0) - 1;
  STD_TORCH_CHECK(
      data[0] == 0 && data[images] == boxes.size(0) && std::is_sorted(data, data + images + 1),
      "s3fd::match: expected splits that rise from 0 to the number of boxes");
  return {box_data(boxes), data};
}

template <typename Anchors>
Tensor match_batch(const Anchors& anchors, const Tensor& boxes, const Tensor& splits,
                   const Tensor& ignore, const Tensor& ignore_splits, const Options& options) {
  const Batch faces = batch_of(boxes, splits), regions = batch_of(ignore, ignore_splits);
  STD_TORCH_CHECK(splits.size(0) == ignore_splits.size(0),
                  "s3fd::match: expected ignore boxes for as many images as boxes");
  const std::array<int64_t, 2> sizes{splits.size(0) - 1, anchors.size()};
  Tensor matched = torch::stable::empty({sizes.data(), sizes.size()}, ScalarType::Long,
                                        std::nullopt, boxes.device());
  auto* rows = static_cast<int64_t*>(matched.mutable_data_ptr());
  parallel_for(0, sizes[0], 1, [&](int64_t begin, int64_t end) {
    ImageMatcher<Anchors> matcher(anchors, options);
    for (int64_t image = begin; image < end; ++image) {
      matcher.match(faces.begin(image), faces.size(image), regions.begin(image),
                    regions.size(image), rows + image * anchors.size());
    }
  });
  return matched;
}

Tensor match_anchors(const Tensor& anchors, const Tensor& boxes, const Tensor& splits,
                     const Tensor& ignore, const Tensor& ignore_splits, double positive_iou,
                     double candidate_iou, int64_t top_n, bool keep_best) {
  const AnchorList list(box_data(anchors), anchors.size(0));
  const Options options{positive_iou, candidate_iou, top_n, keep_best};
  return match_batch(list, boxes, splits, ignore, ignore_splits, options);
}

Tensor match_grid(const Tensor& boxes, const Tensor& splits, const Tensor& ignore,
                  const Tensor& ignore_splits, const std::vector<int64_t>& feature_sizes,
                  const std::vector<double>& strides, const std::vector<double>& shapes,
                  const std::vector<int64_t>& num_shapes, double offset, double positive_iou,
                  double candidate_iou, int64_t top_n, bool keep_best) {
  const Grid grid(make_levels(feature_sizes, strides, shapes, num_shapes, offset));
  const Options options{positive_iou, candidate_iou, top_n, keep_best};
  return match_batch(grid, boxes, splits, ignore, ignore_splits, options);
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("match_anchors", TORCH_BOX(&s3fd::cpu::match_anchors));
  library.impl("match_grid", TORCH_BOX(&s3fd::cpu::match_grid));
}
