// From raw head maps to detections, image by image, without the host knowing what is found.
//
//  1. One launch reads the class maps of all levels and images, a thread a cell. What passes the
//     threshold, and decodes to a box that is one, is appended to its image's list, by warps: the
//     anchor, or where there are several classes its pair with the class.
//  2. Of images that have more than the candidates these are selected (select.cuh); not launched if
//     images have no more anchors than that.
//  3. The lists are sorted (sort.cuh) and suppressed (greedy_nms.cuh), all images at once.
//  4. One launch writes the boxes and scores of those that stay.
//
// Launches: 4, one more for every further 1024 candidates, one for their ranks above 4096, five to
// seven for the selection; without padding one for the splits, and then one wait for the device.
// The class maps move once, the deltas of what passes only, and the lists are small: bound by the
// class maps' bytes where images are large, by launches where they are not.
#pragma once

#include <cmath>

#include "cuda/device_grid.h"
#include "cuda/greedy_nms.cuh"
#include "cuda/primitives/block.cuh"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/select.cuh"
#include "cuda/primitives/sort.cuh"
#include "shared/class_scores.h"
#include "shared/score_key.h"
#include "shared/tensor.h"

namespace s3fd::cuda {

constexpr int kScanThreads = 256, kWriteThreads = 256;
constexpr int kMostImages = 32;  // whose limits fit into the parameters of one launch

template <typename T>
struct LevelMaps {
  View4<const T> logits, deltas;
  unsigned first_block;
};

// To which the boxes of an image are clipped.
struct ImageLimits {
  float height, width;
};

// What is found in each image, in no order: pairs of an anchor and a class, class by class.
struct FoundLists {
  unsigned* found;          // [B]: how many
  NarrowEntry* entries;     // [B, anchors * classes]: (key of the margin, pair)
  StoredBox<float>* boxes;  // [B, anchors]: of the anchors that were found
  int64_t anchors;
  int classes;

  __device__ NarrowEntry* entries_of(int64_t image) const {
    return entries + image * anchors * classes;
  }

  __device__ int64_t anchor_of(uint32_t pair) const {
    return classes == 1 ? pair : pair / static_cast<uint32_t>(classes);
  }
};

// Everything that the scan needs, by value.
template <typename T>
struct HeadMaps {
  DeviceGrid grid;
  LevelMaps<T> levels[kMostLevels];
  ImageLimits image_limits[kMostImages];
  FoundLists lists;
  Variances<float> variances;
  float lowest_margin;
  float least_above_strongest;  // of a class in a softmax
  int first_image;
  bool is_clipped, has_sigmoid;
};

// Face less strongest background, NaN if any logit is.
template <typename T>
__device__ float margin_of(const T* logits, int64_t step, int classes) {
  float strongest = static_cast<float>(logits[0]);
  bool has_nan = strongest != strongest;
  for (int k = 1; k < classes - 1; ++k) {
    const float logit = static_cast<float>(logits[k * step]);
    has_nan |= logit != logit;
    strongest = logit > strongest ? logit : strongest;
  }
  const float face = static_cast<float>(logits[(classes - 1) * step]);
  return has_nan ? NAN : face - strongest;
}

template <typename T>
__device__ Delta<float> delta_at(const View4<const T>& deltas, int64_t image, int64_t shape,
                                 int64_t row, int64_t column) {
  const T* d = deltas.at(image, 4 * shape, row, column);
  const int64_t step = deltas.stride[1];
  return {static_cast<float>(d[0]), static_cast<float>(d[step]), static_cast<float>(d[2 * step]),
          static_cast<float>(d[3 * step])};
}

// Appends what the lanes of a warp have found, all of which take part.
__device__ inline void append(const FoundLists& lists, int64_t image, bool is_found, float margin,
                              int64_t anchor, int c, const Box<float>& box) {
  const unsigned position = append_lanes(lists.found + image, is_found);
  if (!is_found) return;
  lists.entries_of(image)[position] =
      make_entry(falling_key(margin), static_cast<uint32_t>(anchor * lists.classes + c));
  lists.boxes[image * lists.anchors + anchor] = {box};
}

// The cell of a level that a thread looks at, if it exists. Grid: blocks of cells, level by level;
// images.
template <typename T>
struct HeadCell {
  const HeadMaps<T>& maps;
  int l;
  bool exists;
  int64_t image, row, column;

  __device__ explicit HeadCell(const HeadMaps<T>& maps) : maps(maps), l(maps.grid.num_levels - 1) {
    while (blockIdx.x < maps.levels[l].first_block) --l;
    const auto columns = static_cast<unsigned>(maps.grid.levels[l].columns);
    const auto rows = static_cast<unsigned>(maps.grid.levels[l].rows);
    const unsigned cell = (blockIdx.x - maps.levels[l].first_block) * kScanThreads + threadIdx.x;
    exists = cell < rows * columns;
    row = exists ? cell / columns : 0;
    column = exists ? cell % columns : 0;
    image = maps.first_image + int64_t{blockIdx.y};
  }

  __device__ const DeviceGrid::Level& anchors() const { return maps.grid.levels[l]; }

  // The first logit of an anchor, of so many.
  __device__ const T* logits(int shape, int channels) const {
    return maps.levels[l].logits.at(image, shape * channels, row, column);
  }

  __device__ int64_t step() const { return maps.levels[l].logits.stride[1]; }

  // Decodes the anchors that the warp has found, and appends those that are boxes.
  __device__ void append_found(int shape, int c, float margin, bool is_found) const {
    if (!__any_sync(kAllLanes, is_found)) return;
    Box<float> box{};
    const int64_t cell = row * anchors().columns + column;
    const int64_t anchor = anchors().first_anchor + cell * anchors().num_shapes + shape;
    if (is_found) {
      box = decode(delta_at(maps.levels[l].deltas, image, shape, row, column),
                   maps.grid.template box<float>(l, row, column, shape), maps.variances);
      if (maps.is_clipped) {
        const ImageLimits& limits = maps.image_limits[blockIdx.y];
        box = clip(box, limits.width, limits.height);
      }
      is_found = is_proper(box);
    }
    append(maps.lists, image, is_found, margin, anchor, c, box);
  }
};

template <typename T>
__global__ void __launch_bounds__(kScanThreads)
    scan_maps_kernel(const S3FD_GRID_CONSTANT HeadMaps<T> maps) {
  const HeadCell<T> cell(maps);
  const int channels = cell.anchors().backgrounds + 1;
  for (int shape = 0; shape < cell.anchors().num_shapes; ++shape) {
    float margin = NAN;
    if (cell.exists) margin = margin_of(cell.logits(shape, channels), cell.step(), channels);
    cell.append_found(shape, 0, margin, margin >= maps.lowest_margin);
  }
}

// The logit of a class's score, or NaN where that is too low for certain. best: the largest logit
// of the anchor.
template <typename T>
__device__ float margin_of_class(const HeadMaps<T>& maps, const T* logits, int64_t step,
                                 int backgrounds, int c, float best) {
  const float own = static_cast<float>(logits[(backgrounds + c) * step]);
  if (maps.has_sigmoid) return own;
  const float above = own == best ? 0 : own - best;
  if (!(above >= maps.least_above_strongest)) return NAN;
  return softmax_margin(logits, step, backgrounds, maps.lists.classes, c);
}

// Two blocks at once are asked for, since the compiler spills where it tries for more.
template <typename T>
__global__ void __launch_bounds__(kScanThreads, 2)
    scan_classes_kernel(const S3FD_GRID_CONSTANT HeadMaps<T> maps) {
  const HeadCell<T> cell(maps);
  const int backgrounds = maps.has_sigmoid ? 0 : cell.anchors().backgrounds;
  const int classes = maps.lists.classes;
  for (int shape = 0; shape < cell.anchors().num_shapes; ++shape) {
    const T* logits = cell.logits(shape, backgrounds + classes);
    float best = -INFINITY;
    for (int k = 0; cell.exists && !maps.has_sigmoid && k < backgrounds + classes; ++k) {
      const float logit = static_cast<float>(logits[k * cell.step()]);
      if (logit > best) best = logit;
    }
    for (int c = 0; c < classes; ++c) {
      float margin = NAN;
      if (cell.exists) {
        margin = margin_of_class(maps, logits, cell.step(), backgrounds, c, best);
      }
      cell.append_found(shape, c, margin, margin >= maps.lowest_margin);
    }
  }
}

// ---- Candidates in their order

struct ByMargin {
  using Entry = NarrowEntry;
  static constexpr bool kNumbersRise = false;

  const Entry* entries;  // [B, stride]
  int64_t stride;
  const unsigned* found;
  int64_t candidates;

  __device__ int64_t count(int64_t image) const {
    const int64_t all = found[image];
    return all < candidates ? all : candidates;
  }

  __device__ Entry operator()(int64_t image, int64_t i) const {
    return entries[image * stride + i];
  }
};

struct CandidateSink {
  FoundLists lists;
  int64_t candidates;
  StoredBox<float>* boxes;  // [B, candidates], as all below
  float* margins;
  int32_t* owners;
  uint32_t* pairs;   // null if nobody asks
  int64_t* classes;  // null if there is one

  __device__ void operator()(int64_t image, int64_t rank, NarrowEntry entry) const {
    const int64_t row = image * candidates + rank;
    const uint32_t pair = number_of(entry);
    const int64_t anchor = lists.anchor_of(pair);
    boxes[row] = lists.boxes[image * lists.anchors + anchor];
    margins[row] = score_of_falling_key(static_cast<uint32_t>(entry >> 32));
    owners[row] = kOpen;
    if (pairs != nullptr) pairs[row] = pair;
    if (classes != nullptr) classes[row] = pair - anchor * lists.classes;
  }
};

// ---- Output

// Where the detections of each image begin, by one warp.
__global__ void __launch_bounds__(kWarp)
    split_detections_kernel(const Progress* progress, int64_t images, int64_t* splits) {
  int64_t end = 0;
  for (int64_t first = 0; first < images; first += kWarp) {
    const int64_t image = first + threadIdx.x;
    int total;
    const int kept = image < images ? progress[image].kept_end : 0;
    const int before = sum_before<kWarp>(kept, total);
    if (image < images) splits[image] = end + before;
    end += total;
  }
  if (threadIdx.x == 0) splits[images] = end;
}

// Where detections are written: a row each, or as many rows for each image, and how many of these
// are detections. Labels and indices are null if nobody asks.
struct DetectionRows {
  StoredBox<float>* boxes;
  float* scores;
  int64_t *counts, *labels, *indices;
};

// Grid: blocks of rows, images. With splits an image's rows begin there; without, every image has
// as many, those behind its detections 0, and their number is written too.
__global__ void __launch_bounds__(kWriteThreads)
    write_detections_kernel(GreedyLists<float> lists, CandidateSink candidates,
                            const int64_t* splits, int64_t rows, DetectionRows output) {
  const int64_t image = blockIdx.y, i = int64_t{blockIdx.x} * kWriteThreads + threadIdx.x;
  const int32_t kept = lists.progress[image].kept_end;
  if (i == 0 && output.counts != nullptr) output.counts[image] = kept;
  if (i >= (splits == nullptr ? rows : kept)) return;
  const int64_t row = (splits == nullptr ? image * rows : splits[image]) + i;
  if (i < kept) {
    const int64_t from = image * lists.capacity + lists.kept[image * lists.keep + i];
    output.boxes[row] = lists.boxes[from];
    output.scores[row] = 1 / (1 + exponential(-candidates.margins[from]));
    if (output.labels == nullptr) return;
    const uint32_t pair = candidates.pairs[from];
    const int64_t anchor = candidates.lists.anchor_of(pair);
    output.labels[row] = pair - anchor * candidates.lists.classes;
    output.indices[row] = anchor;
  } else {
    output.boxes[row] = {};
    output.scores[row] = 0;
    if (output.labels != nullptr) output.labels[row] = output.indices[row] = -1;
  }
}

}  // namespace s3fd::cuda
