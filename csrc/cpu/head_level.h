// One level of a detector's head: which of its anchors, and of their classes, score enough, and the
// boxes that these decode to.
#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "cpu/known_step.h"
#include "shared/anchor_grid.h"
#include "shared/checks/decode_detections.h"
#include "shared/class_scores.h"
#include "shared/tensor.h"

namespace s3fd::cpu {

struct Detection {
  float margin;  // the logit of the score: in a softmax, face less strongest background
  int64_t pair;  // of anchor and class, class by class: with one class the anchor
  Box<float> box;
};

// Of an image, as it comes out, if it is a box.
inline std::optional<Box<float>> finish(Box<float> box, int64_t image,
                                        const ImageSizes& image_sizes) {
  if (image_sizes) {
    const int64_t* size = image_sizes->data() + 2 * image;
    box = clip(box, static_cast<float>(size[1]), static_cast<float>(size[0]));
  }
  return is_proper(box) ? std::optional(box) : std::nullopt;
}

// One level's maps and anchors.
template <typename T>
struct HeadLevel {
  View4<const T> logits, deltas;
  AnchorLevel anchors;
  int64_t first_anchor, backgrounds, classes;

  // Appends what rows [begin, end) of an image hold.
  void scan(int64_t image, int64_t begin, int64_t end, const DecodeCall& call,
            std::vector<Detection>& found) const {
    if (call.is_plain()) return scan_faces(image, begin, end, call, found);
    scan_classes(image, begin, end, call, found);
  }

 private:
  static constexpr int kBlock = 16;

  int64_t channels() const { return backgrounds + classes; }

  // The largest of some logits of each anchor of a row of one shape. A NaN may be overlooked.
  template <typename Step>
  void strongest(const T* first, int64_t count, Step step, float* __restrict out) const {
    const int64_t columns = anchors.columns;
    for (int64_t x = 0; x < columns; ++x) out[x] = static_cast<float>(first[x * step]);
    for (int64_t k = 1; k < count; ++k) {
      const T* other = first + k * logits.stride[1];
      for (int64_t x = 0; x < columns; ++x) {
        const float logit = static_cast<float>(other[x * step]);
        out[x] = logit > out[x] ? logit : out[x];
      }
    }
  }

  // Margins of a row of one shape. A NaN among the backgrounds may be overlooked here; the few
  // cells that go on are looked at again.
  void margins(int64_t image, int64_t row, int64_t shape, float* __restrict out) const {
    const T* background = logits.at(image, shape * channels(), row, 0);
    with_known_step(logits.stride[3], [&](auto step) {
      strongest(background, backgrounds, step, out);
      const T* face = background + backgrounds * logits.stride[1];
      for (int64_t x = 0; x < anchors.columns; ++x) {
        out[x] = static_cast<float>(face[x * step]) - out[x];
      }
    });
  }

  bool has_nan(int64_t image, int64_t row, int64_t column, int64_t shape) const {
    const T* logit = logits.at(image, shape * channels(), row, column);
    for (int64_t k = 0; k < channels(); ++k) {
      if (std::isnan(static_cast<float>(logit[k * logits.stride[1]]))) return true;
    }
    return false;
  }

  Delta<float> delta(int64_t image, int64_t row, int64_t column, int64_t shape) const {
    const T* d = deltas.at(image, 4 * shape, row, column);
    const int64_t step = deltas.stride[1];
    return {static_cast<float>(d[0]), static_cast<float>(d[step]), static_cast<float>(d[2 * step]),
            static_cast<float>(d[3 * step])};
  }

  // Values of a row, in whole blocks; those behind its end stay NaN.
  std::vector<float> row_of_blocks() const {
    const int64_t blocks = (anchors.columns + kBlock - 1) / kBlock;
    return std::vector<float>(blocks * kBlock, std::numeric_limits<float>::quiet_NaN());
  }

  // Calls visit(column) where a value is not below `least`. They are looked at a block at a time,
  // as nearly all blocks hold nothing.
  template <typename Visit>
  static void for_each_passing(const std::vector<float>& row, float least, const Visit& visit) {
    const auto blocks = static_cast<int64_t>(row.size()) / kBlock;
    for (int64_t block = 0; block < blocks; ++block) {
      const float* of_block = row.data() + block * kBlock;
      int32_t passing = 0;
      for (int i = 0; i < kBlock; ++i) passing |= of_block[i] >= least;
      if (!passing) continue;
      for (int i = 0; i < kBlock; ++i) {
        if (of_block[i] >= least) visit(block * kBlock + i);
      }
    }
  }

  void scan_faces(int64_t image, int64_t begin, int64_t end, const DecodeCall& call,
                  std::vector<Detection>& found) const {
    std::vector<float> margin = row_of_blocks();
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t shape = 0; shape < anchors.num_shapes; ++shape) {
        margins(image, row, shape, margin.data());
        for_each_passing(margin, call.margin, [&](int64_t column) {
          if (has_nan(image, row, column, shape)) return;
          decode_cell(image, row, column, shape, 0, margin[column], call, found);
        });
      }
    }
  }

  void scan_classes(int64_t image, int64_t begin, int64_t end, const DecodeCall& call,
                    std::vector<Detection>& found) const {
    const float least = call.has_sigmoid ? call.margin : least_above_strongest(call.margin);
    std::vector<float> value = row_of_blocks(), best = row_of_blocks();
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t shape = 0; shape < anchors.num_shapes; ++shape) {
        const T* first = logits.at(image, shape * channels(), row, 0);
        if (!call.has_sigmoid) {
          with_known_step(logits.stride[3],
                          [&](auto step) { strongest(first, channels(), step, best.data()); });
        }
        for (int64_t c = 0; c < classes; ++c) {
          values_of_class(first + (backgrounds + c) * logits.stride[1], call.has_sigmoid,
                          best.data(), value.data());
          for_each_passing(value, least, [&](int64_t column) {
            const float margin = call.has_sigmoid
                                     ? value[column]
                                     : softmax_margin(first + column * logits.stride[3],
                                                      logits.stride[1], backgrounds, classes, c);
            if (!(margin >= call.margin)) return;
            decode_cell(image, row, column, shape, c, margin, call, found);
          });
        }
      }
    }
  }

  // A row of a class's logits; of a softmax, less the strongest of all, which may be infinite.
  void values_of_class(const T* logit, bool has_sigmoid, const float* best,
                       float* __restrict out) const {
    const int64_t columns = anchors.columns;
    with_known_step(logits.stride[3], [&](auto step) {
      if (has_sigmoid) {
        for (int64_t x = 0; x < columns; ++x) out[x] = static_cast<float>(logit[x * step]);
      } else {
        for (int64_t x = 0; x < columns; ++x) {
          const float own = static_cast<float>(logit[x * step]);
          out[x] = own == best[x] ? 0 : own - best[x];
        }
      }
    });
  }

  void decode_cell(int64_t image, int64_t row, int64_t column, int64_t shape, int64_t c,
                   float margin, const DecodeCall& call, std::vector<Detection>& found) const {
    const auto anchor = anchors.template box<float>(row, column, shape);
    const auto decoded = decode(delta(image, row, column, shape), anchor, call.variances);
    const auto box = finish(decoded, image, call.image_sizes);
    if (!box) return;
    const int64_t index = first_anchor + anchors.index(row, column, shape);
    found.push_back({margin, index * classes + c, *box});
  }
};

}  // namespace s3fd::cpu
