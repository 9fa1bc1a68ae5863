// Soft-NMS: the box of the largest score goes out, and the scores of those that overlap it fall.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <bit>
#include <tuple>
#include <vector>

#include "cpu/box_index.h"
#include "cpu/simd.h"
#include "shared/checks/nms.h"
#include "shared/score_decay.h"
#include "shared/score_key.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// The boxes that have not gone out yet, in the order they came in, side by side.
class BoxesLeft {
 public:
  BoxesLeft(const Tensor& boxes, const Tensor& scores) {
    read(boxes);
    dispatch_floating(scores.scalar_type(), "soft_nms", [&]<typename S>() {
      const S* data = static_cast<const S*>(scores.const_data_ptr());
      for (size_t i = 0; i < scores_.size(); ++i) {
        const auto score =
            static_cast<compute_t<S>>(data[static_cast<int64_t>(i) * scores.stride(0)]);
        STD_TORCH_CHECK(is_weight(score), "s3fd::soft_nms: expected finite scores >= 0");
        scores_[i] = static_cast<double>(score) + 0.0;  // -0 has the bits of a negative number
      }
    });
  }

  // Lets scores fall by the overlap with `best`, and forgets those that are below `lowest` then.
  template <bool kGaussian>
  void decay(const Box<float>& best, const ScoreDecay<kGaussian>& decay, double lowest) {
    const float best_area = area(best);
    const auto n = static_cast<int32_t>(scores_.size());
    const float *x1 = x1_.data(), *y1 = y1_.data(), *x2 = x2_.data(), *y2 = y2_.data();
    const float* areas = areas_.data();
    double* scores = scores_.data();
    // Bits of numbers that are not negative are in their order, and integers have a maximum that
    // compilers vectorise.
    int64_t largest = kNone;
    int32_t stay = 0;
    vectorized([&, n, best, best_area, decay, lowest] {
      int64_t most = kNone;
      int32_t count = 0;
      for (int32_t i = 0; i < n; ++i) {
        const float overlap =
            iou(Box<float>{x1[i], y1[i], x2[i], y2[i]}, areas[i], best, best_area);
        const double score = scores[i] * static_cast<double>(decay.factor(overlap));
        const bool stays = score >= lowest;
        scores[i] = stays ? score : kGone;
        const int64_t bits = stays ? std::bit_cast<int64_t>(score) : kNone;
        most = bits > most ? bits : most;
        count += stays;
      }
      largest = most;
      stay = count;
    });
    largest_ = largest;
    if (stay < n / 2) compact();
  }

  bool empty() const { return largest_ == kNone; }

  struct Taken {
    int32_t index;
    double score;
    Box<float> box;
  };

  // The one of largest score, of equals the first, which is left no longer.
  Taken take_best() {
    const auto best = std::bit_cast<double>(largest_);
    const auto i =
        static_cast<size_t>(std::find(scores_.begin(), scores_.end(), best) - scores_.begin());
    scores_[i] = kGone;
    return {indices_[i], best, {x1_[i], y1_[i], x2_[i], y2_[i]}};
  }

 private:
  static constexpr int64_t kNone = -1;

  void read(const Tensor& boxes) {
    const auto n = static_cast<size_t>(boxes.size(0));
    indices_.resize(n);
    scores_.resize(n);
    for (auto* side : {&x1_, &y1_, &x2_, &y2_, &areas_}) side->resize(n);
    dispatch_floating(boxes.scalar_type(), "soft_nms", [&]<typename T>() {
      const T* row = static_cast<const T*>(boxes.const_data_ptr());
      const int64_t step = boxes.stride(1);
      const auto side = [&](int64_t k) {
        return static_cast<float>(static_cast<compute_t<T>>(row[k * step]));
      };
      for (size_t i = 0; i < n; ++i, row += boxes.stride(0)) {
        indices_[i] = static_cast<int32_t>(i);
        x1_[i] = side(0), y1_[i] = side(1), x2_[i] = side(2), y2_[i] = side(3);
        areas_[i] = area(Box<float>{x1_[i], y1_[i], x2_[i], y2_[i]});
      }
    });
  }

  void compact() {
    size_t n = 0;
    for (size_t i = 0; i < scores_.size(); ++i) {
      if (scores_[i] == kGone) continue;
      x1_[n] = x1_[i], y1_[n] = y1_[i], x2_[n] = x2_[i], y2_[n] = y2_[i];
      areas_[n] = areas_[i], scores_[n] = scores_[i], indices_[n] = indices_[i];
      ++n;
    }
    for (auto* side : {&x1_, &y1_, &x2_, &y2_, &areas_}) side->resize(n);
    scores_.resize(n);
    indices_.resize(n);
  }

  std::vector<float> x1_, y1_, x2_, y2_, areas_;
  std::vector<double> scores_;
  std::vector<int32_t> indices_;
  int64_t largest_ = kNone;
};

template <bool kGaussian>
std::vector<BoxesLeft::Taken> take_all(BoxesLeft& left, const ScoreDecay<kGaussian>& decay,
                                       double score_threshold) {
  std::vector<BoxesLeft::Taken> taken;
  left.decay(Box<float>{0, 0, 0, 0}, decay, score_threshold);  // which overlaps nothing
  while (!left.empty()) {
    taken.push_back(left.take_best());
    left.decay(taken.back().box, decay, score_threshold);
  }
  return taken;
}

std::tuple<Tensor, Tensor> soft_nms(const Tensor& boxes, const Tensor& scores, bool gaussian,
                                    double sigma, double iou_threshold, double score_threshold) {
  check_boxes_and_scores("soft_nms", boxes, scores, kMostBoxes);
  BoxesLeft left(boxes, scores);
  const std::vector<BoxesLeft::Taken> taken =
      gaussian ? take_all(left, ScoreDecay<true>::of(sigma, iou_threshold), score_threshold)
               : take_all(left, ScoreDecay<false>::of(sigma, iou_threshold), score_threshold);
  const auto size = static_cast<int64_t>(taken.size());
  Tensor indices = empty({size}, ScalarType::Long, boxes);
  Tensor fallen = empty({size}, scores.scalar_type(), boxes);
  auto* index = static_cast<int64_t*>(indices.mutable_data_ptr());
  for (const BoxesLeft::Taken& one : taken) *index++ = one.index;
  dispatch_floating(scores.scalar_type(), "soft_nms", [&]<typename S>() {
    S* score = static_cast<S*>(fallen.mutable_data_ptr());
    for (const BoxesLeft::Taken& one : taken) {
      *score++ = static_cast<S>(static_cast<compute_t<S>>(one.score));
    }
  });
  return {indices, fallen};
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("soft_nms", TORCH_BOX(&s3fd::cpu::soft_nms));
}
