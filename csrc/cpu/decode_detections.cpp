// From raw head maps to detections: one pass over the class maps, then only what survives.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cpu/greedy_nms.h"
#include "cpu/parallel.h"
#include "shared/anchor_grid.h"
#include "shared/checks/decode_detections.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// Logits that one task looks at, about.
constexpr int64_t kLogitsPerTask = 32768;

struct Detection {
  float margin;  // face less strongest background: the logit of the score
  int64_t anchor;
  Box<float> box;
};

// By falling margin, equal ones by rising anchor: a total order.
bool goes_before(const Detection& a, const Detection& b) {
  return a.margin != b.margin ? a.margin > b.margin : a.anchor < b.anchor;
}

// Of an image, as it comes out, if it is a box.
std::optional<Box<float>> finish(Box<float> box, int64_t image, const ImageSizes& image_sizes) {
  if (image_sizes) {
    const int64_t* size = image_sizes->data() + 2 * image;
    box = clip(box, static_cast<float>(size[1]), static_cast<float>(size[0]));
  }
  return is_proper(box) ? std::optional(box) : std::nullopt;
}

// One level's maps and anchors.
template <typename T>
struct Level {
  static constexpr int kBlock = 16;

  View4<const T> logits, deltas;
  AnchorLevel anchors;
  int64_t first_anchor;

  int64_t classes() const { return anchors.backgrounds + 1; }

  // Margins of a row of one shape. A NaN among the backgrounds may be overlooked here; the few
  // cells that go on are looked at again.
  void margins(int64_t image, int64_t row, int64_t shape, float* out) const {
    const T* background = logits.at(image, shape * classes(), row, 0);
    switch (logits.stride[3]) {  // steps that compilers vectorise if they know them
      case 1:
        return margins(background, std::integral_constant<int64_t, 1>{}, out);
      case 2:
        return margins(background, std::integral_constant<int64_t, 2>{}, out);
      case 4:
        return margins(background, std::integral_constant<int64_t, 4>{}, out);
      default:
        return margins(background, logits.stride[3], out);
    }
  }

  template <typename Step>
  void margins(const T* background, Step step, float* __restrict out) const {
    const int64_t columns = anchors.columns;
    for (int64_t x = 0; x < columns; ++x) out[x] = static_cast<float>(background[x * step]);
    for (int64_t k = 1; k < anchors.backgrounds; ++k) {
      const T* other = background + k * logits.stride[1];
      for (int64_t x = 0; x < columns; ++x) {
        const float logit = static_cast<float>(other[x * step]);
        out[x] = logit > out[x] ? logit : out[x];
      }
    }
    const T* face = background + anchors.backgrounds * logits.stride[1];
    for (int64_t x = 0; x < columns; ++x) out[x] = static_cast<float>(face[x * step]) - out[x];
  }

  bool has_nan(int64_t image, int64_t row, int64_t column, int64_t shape) const {
    const T* logit = logits.at(image, shape * classes(), row, column);
    for (int64_t k = 0; k < classes(); ++k) {
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

  // Appends what rows [begin, end) of an image hold. Margins are looked at a block at a time, as
  // nearly all blocks hold nothing.
  void scan(int64_t image, int64_t begin, int64_t end, const DecodeCall& call,
            std::vector<Detection>& found) const {
    const int64_t blocks = (anchors.columns + kBlock - 1) / kBlock;
    std::vector<float> margin(blocks * kBlock, std::numeric_limits<float>::quiet_NaN());
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t shape = 0; shape < anchors.num_shapes; ++shape) {
        margins(image, row, shape, margin.data());
        for (int64_t block = 0; block < blocks; ++block) {
          const float* of_block = margin.data() + block * kBlock;
          int32_t passing = 0;
          for (int i = 0; i < kBlock; ++i) passing |= of_block[i] >= call.margin;
          if (!passing) continue;
          for (int i = 0; i < kBlock; ++i) {
            if (!(of_block[i] >= call.margin)) continue;
            decode_cell(image, row, block * kBlock + i, shape, of_block[i], call, found);
          }
        }
      }
    }
  }

  void decode_cell(int64_t image, int64_t row, int64_t column, int64_t shape, float margin,
                   const DecodeCall& call, std::vector<Detection>& found) const {
    if (has_nan(image, row, column, shape)) return;
    const auto anchor = anchors.template box<float>(row, column, shape);
    const auto decoded = decode(delta(image, row, column, shape), anchor, call.variances);
    const auto box = finish(decoded, image, call.image_sizes);
    if (box) found.push_back({margin, first_anchor + anchors.index(row, column, shape), *box});
  }
};

// Some rows of one level of one image.
struct Task {
  int64_t image;
  size_t level;
  int64_t begin, end;
};

std::vector<Task> make_tasks(int64_t images, const std::vector<AnchorLevel>& levels) {
  std::vector<Task> tasks;
  for (int64_t image = 0; image < images; ++image) {
    for (size_t l = 0; l < levels.size(); ++l) {
      const int64_t row_size =
          levels[l].columns * levels[l].num_shapes * (levels[l].backgrounds + 1);
      if (row_size == 0) continue;
      const int64_t rows = kLogitsPerTask / row_size + 1;
      for (int64_t begin = 0; begin < levels[l].rows; begin += rows) {
        tasks.push_back({image, l, begin, std::min(begin + rows, levels[l].rows)});
      }
    }
  }
  return tasks;
}

// The best `candidates` through non-maximum suppression, `keep` of them at most.
void suppress(std::vector<Detection>& found, int64_t candidates, int64_t keep,
              double iou_threshold) {
  if (static_cast<int64_t>(found.size()) > candidates) {
    std::nth_element(found.begin(), found.begin() + candidates, found.end(), goes_before);
    found.resize(candidates);
  }
  std::sort(found.begin(), found.end(), goes_before);
  std::vector<Box<float>> boxes;
  boxes.reserve(found.size());
  for (const Detection& detection : found) boxes.push_back(detection.box);
  size_t kept = 0;
  for (const int32_t i : greedy_nms(boxes, iou_threshold, keep)) found[kept++] = found[i];
  found.resize(kept);
}

Tensor make(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  return torch::stable::empty({sizes.begin(), sizes.size()}, dtype, std::nullopt, like.device());
}

// Writes the detections of one image one after the other.
void write(const std::vector<Detection>& detections, float* box, float* score) {
  for (const Detection& detection : detections) {
    *box++ = detection.box.x1;
    *box++ = detection.box.y1;
    *box++ = detection.box.x2;
    *box++ = detection.box.y2;
    *score++ = 1 / (1 + std::exp(-detection.margin));
  }
}

// All detections in a row, and where those of each image begin.
std::tuple<Tensor, Tensor, Tensor> pack(const std::vector<std::vector<Detection>>& images,
                                        const Tensor& like) {
  int64_t total = 0;
  for (const auto& image : images) total += static_cast<int64_t>(image.size());
  Tensor boxes = make({total, 4}, ScalarType::Float, like);
  Tensor scores = make({total}, ScalarType::Float, like);
  Tensor splits = make({static_cast<int64_t>(images.size()) + 1}, ScalarType::Long, like);
  float* box = static_cast<float*>(boxes.mutable_data_ptr());
  float* score = static_cast<float*>(scores.mutable_data_ptr());
  int64_t* split = static_cast<int64_t*>(splits.mutable_data_ptr());
  *split = 0;
  for (const auto& image : images) {
    write(image, box + 4 * *split, score + *split);
    split[1] = split[0] + static_cast<int64_t>(image.size());
    ++split;
  }
  return {boxes, scores, splits};
}

// `rows` rows for each image, those behind its detections 0, and how many it has.
std::tuple<Tensor, Tensor, Tensor> pack_padded(const std::vector<std::vector<Detection>>& images,
                                               int64_t rows, const Tensor& like) {
  const auto batch = static_cast<int64_t>(images.size());
  Tensor boxes = make({batch, rows, 4}, ScalarType::Float, like);
  Tensor scores = make({batch, rows}, ScalarType::Float, like);
  Tensor counts = make({batch}, ScalarType::Long, like);
  float* box = static_cast<float*>(boxes.mutable_data_ptr());
  float* score = static_cast<float*>(scores.mutable_data_ptr());
  int64_t* count = static_cast<int64_t*>(counts.mutable_data_ptr());
  std::fill_n(box, boxes.numel(), 0.0f);
  std::fill_n(score, scores.numel(), 0.0f);
  for (const auto& image : images) {
    write(image, box, score);
    box += 4 * rows;
    score += rows;
    *count++ = static_cast<int64_t>(image.size());
  }
  return {boxes, scores, counts};
}

template <typename T>
std::vector<Level<T>> make_level_views(const DecodeCall& call) {
  std::vector<Level<T>> views;
  int64_t first_anchor = 0;
  for (size_t l = 0; l < call.levels.size(); ++l) {
    views.push_back(
        {view4<T>(call.logits[l]), view4<T>(call.deltas[l]), call.levels[l], first_anchor});
    first_anchor += call.levels[l].num_anchors();
  }
  return views;
}

// What each image has, best first.
std::vector<std::vector<Detection>> detect(const DecodeCall& call) {
  const std::vector<Task> tasks = make_tasks(call.num_images(), call.levels);
  std::vector<std::vector<Detection>> found(tasks.size());
  dispatch_floating(call.logits[0].scalar_type(), "decode_detections", [&]<typename T>() {
    const auto views = make_level_views<T>(call);
    parallel_for(0, static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Task& task = tasks[i];
        views[task.level].scan(task.image, task.begin, task.end, call, found[i]);
      }
    });
  });
  std::vector<std::vector<Detection>> by_image(call.num_images());
  for (size_t i = 0; i < tasks.size(); ++i) {
    auto& image = by_image[tasks[i].image];
    image.insert(image.end(), found[i].begin(), found[i].end());
  }
  parallel_for(0, call.num_images(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      suppress(by_image[i], call.candidates, call.keep, call.iou_threshold);
    }
  });
  return by_image;
}

template <bool kPadded>
std::tuple<Tensor, Tensor, Tensor> decode_detections(const std::vector<Tensor>& logits,
                                                     const std::vector<Tensor>& deltas,
                                                     const std::vector<double>& grid, double margin,
                                                     double iou_threshold, int64_t candidates,
                                                     int64_t keep, const ImageSizes& image_sizes,
                                                     double centre_variance, double size_variance) {
  const DecodeCall call(logits, deltas, grid, margin, iou_threshold, candidates, keep, image_sizes,
                        centre_variance, size_variance);
  const auto images = detect(call);
  return kPadded ? pack_padded(images, keep, logits[0]) : pack(images, logits[0]);
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  library.impl("decode_detections", TORCH_BOX(&s3fd::cpu::decode_detections<false>));
  library.impl("decode_detections_padded", TORCH_BOX(&s3fd::cpu::decode_detections<true>));
}
