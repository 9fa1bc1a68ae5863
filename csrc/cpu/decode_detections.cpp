// From raw head maps to detections: one pass over the class maps, then only what survives.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "cpu/greedy_nms.h"
#include "cpu/head_level.h"
#include "cpu/order.h"
#include "cpu/parallel.h"
#include "shared/operators/decode_detections.h"
#include "shared/tensor.h"

namespace s3fd::cpu {
namespace {

// Logits that one task looks at, about.
constexpr int64_t kLogitsPerTask = 32768;

// By falling margin, equal ones by rising anchor, then class: a total order.
bool goes_before(const Detection& a, const Detection& b) {
  return a.margin != b.margin ? a.margin > b.margin : a.pair < b.pair;
}

// Some rows of one level of one image.
struct Task {
  int64_t image;
  size_t level;
  int64_t begin, end;
};

std::vector<Task> make_tasks(const DecodeCall& call) {
  std::vector<Task> tasks;
  for (int64_t image = 0; image < call.num_images(); ++image) {
    for (size_t l = 0; l < call.levels.size(); ++l) {
      const AnchorLevel& level = call.levels[l];
      const int64_t row_size =
          level.columns * level.num_shapes * (call.backgrounds(l) + call.classes);
      if (row_size == 0) continue;
      const int64_t rows = kLogitsPerTask / row_size + 1;
      for (int64_t begin = 0; begin < level.rows; begin += rows) {
        tasks.push_back({image, l, begin, std::min(begin + rows, level.rows)});
      }
    }
  }
  return tasks;
}

std::vector<Box<float>> boxes_of(const std::vector<Detection>& detections) {
  std::vector<Box<float>> boxes;
  boxes.reserve(detections.size());
  for (const Detection& detection : detections) boxes.push_back(detection.box);
  return boxes;
}

// Which of sorted detections stay, rising, where those of different classes never meet.
std::vector<int32_t> suppress_classes(const std::vector<Detection>& sorted, int64_t classes,
                                      double iou_threshold, int64_t keep) {
  const auto size = static_cast<int32_t>(sorted.size());
  const auto class_of = [&](int32_t i) { return static_cast<uint64_t>(sorted[i].pair % classes); };
  const std::vector<int32_t> by_class = order_by(size, class_of);
  std::vector<char> stays(sorted.size());
  std::vector<Box<float>> boxes;
  for (int32_t begin = 0, end = 0; begin < size; begin = end) {
    boxes.clear();
    for (; end < size && class_of(by_class[end]) == class_of(by_class[begin]); ++end) {
      boxes.push_back(sorted[by_class[end]].box);
    }
    for (const int32_t i : greedy_nms(boxes, iou_threshold, keep)) stays[by_class[begin + i]] = 1;
  }
  std::vector<int32_t> kept;
  for (int32_t i = 0; i < size && static_cast<int64_t>(kept.size()) < keep; ++i) {
    if (stays[i]) kept.push_back(i);
  }
  return kept;
}

// The best candidates through non-maximum suppression, as many as are kept at most.
void suppress(std::vector<Detection>& found, const DecodeCall& call) {
  if (static_cast<int64_t>(found.size()) > call.candidates) {
    std::nth_element(found.begin(), found.begin() + call.candidates, found.end(), goes_before);
    found.resize(call.candidates);
  }
  std::sort(found.begin(), found.end(), goes_before);
  const std::vector<int32_t> stay =
      call.classes == 1 ? greedy_nms(boxes_of(found), call.iou_threshold, call.keep)
                        : suppress_classes(found, call.classes, call.iou_threshold, call.keep);
  size_t kept = 0;
  for (const int32_t i : stay) found[kept++] = found[i];
  found.resize(kept);
}

template <typename T>
std::vector<HeadLevel<T>> make_head_levels(const DecodeCall& call) {
  std::vector<HeadLevel<T>> views;
  int64_t first_anchor = 0;
  for (size_t l = 0; l < call.levels.size(); ++l) {
    views.push_back({view4<T>(call.logits[l]), view4<T>(call.deltas[l]), call.levels[l],
                     first_anchor, call.backgrounds(l), call.classes});
    first_anchor += call.levels[l].num_anchors();
  }
  return views;
}

// What each image has, best first.
std::vector<std::vector<Detection>> detect(const DecodeCall& call) {
  const std::vector<Task> tasks = make_tasks(call);
  std::vector<std::vector<Detection>> found(tasks.size());
  dispatch_floating(call.logits[0].scalar_type(), "decode_detections", [&]<typename T>() {
    const auto views = make_head_levels<T>(call);
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
    for (int64_t i = begin; i < end; ++i) suppress(by_image[i], call);
  });
  return by_image;
}

// A row for each detection; with classes also its label and its anchor.
struct Rows {
  Tensor boxes, scores;
  std::optional<Tensor> labels, indices;

  Rows(std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> sizes_of_boxes,
       bool has_labels, const Tensor& like)
      : boxes(empty(sizes_of_boxes, ScalarType::Float, like)),
        scores(empty(sizes, ScalarType::Float, like)) {
    if (!has_labels) return;
    labels = empty(sizes, ScalarType::Long, like);
    indices = empty(sizes, ScalarType::Long, like);
  }

  // Rows without a detection: zeros, and -1 for a label and an anchor.
  void clear() const {
    std::fill_n(static_cast<float*>(boxes.mutable_data_ptr()), boxes.numel(), 0.0f);
    std::fill_n(static_cast<float*>(scores.mutable_data_ptr()), scores.numel(), 0.0f);
    for (const auto& numbers : {labels, indices}) {
      if (!numbers) continue;
      std::fill_n(static_cast<int64_t*>(numbers->mutable_data_ptr()), numbers->numel(), -1);
    }
  }

  // Writes the detections of one image one after the other.
  void write(const std::vector<Detection>& detections, int64_t first, int64_t classes) const {
    float* box = static_cast<float*>(boxes.mutable_data_ptr()) + 4 * first;
    float* score = static_cast<float*>(scores.mutable_data_ptr()) + first;
    for (const Detection& detection : detections) {
      *box++ = detection.box.x1;
      *box++ = detection.box.y1;
      *box++ = detection.box.x2;
      *box++ = detection.box.y2;
      *score++ = 1 / (1 + exponential(-detection.margin));
    }
    if (!labels) return;
    int64_t* label = static_cast<int64_t*>(labels->mutable_data_ptr()) + first;
    int64_t* index = static_cast<int64_t*>(indices->mutable_data_ptr()) + first;
    for (const Detection& detection : detections) {
      *label++ = detection.pair % classes;
      *index++ = detection.pair / classes;
    }
  }
};

// All detections in a row, and where those of each image begin.
std::tuple<Rows, Tensor> pack(const std::vector<std::vector<Detection>>& images,
                              const DecodeCall& call, bool has_labels) {
  int64_t total = 0;
  for (const auto& image : images) total += static_cast<int64_t>(image.size());
  const Rows rows({total}, {total, 4}, has_labels, call.logits[0]);
  Tensor splits = empty({call.num_images() + 1}, ScalarType::Long, call.logits[0]);
  int64_t* split = static_cast<int64_t*>(splits.mutable_data_ptr());
  *split = 0;
  for (const auto& image : images) {
    rows.write(image, *split, call.classes);
    split[1] = split[0] + static_cast<int64_t>(image.size());
    ++split;
  }
  return {rows, splits};
}

// As many rows for each image, and how many of them are detections.
std::tuple<Rows, Tensor> pack_padded(const std::vector<std::vector<Detection>>& images,
                                     const DecodeCall& call, bool has_labels) {
  const int64_t batch = call.num_images(), keep = call.keep;
  const Rows rows({batch, keep}, {batch, keep, 4}, has_labels, call.logits[0]);
  Tensor counts = empty({batch}, ScalarType::Long, call.logits[0]);
  int64_t* count = static_cast<int64_t*>(counts.mutable_data_ptr());
  rows.clear();
  for (size_t i = 0; i < images.size(); ++i) {
    rows.write(images[i], static_cast<int64_t>(i) * keep, call.classes);
    count[i] = static_cast<int64_t>(images[i].size());
  }
  return {rows, counts};
}

std::tuple<Rows, Tensor> decode_rows(const DecodeCall& call, bool padded, bool has_labels) {
  const auto images = detect(call);
  return padded ? pack_padded(images, call, has_labels) : pack(images, call, has_labels);
}

}  // namespace
}  // namespace s3fd::cpu

STABLE_TORCH_LIBRARY_IMPL(s3fd, CPU, library) {
  s3fd::register_decode_detections<s3fd::cpu::decode_rows>(library);
}
