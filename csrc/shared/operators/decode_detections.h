// The operators of decode_detections, as torch calls them, on top of what a device does with a
// call.
#pragma once

#include <torch/csrc/stable/library.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "shared/checks/decode_detections.h"
#include "shared/tensor.h"

namespace s3fd {

// kDetect(call, padded, labelled) gives rows, which have boxes and scores and, if they are
// labelled, labels and indices; and splits, or counts if they are padded.
template <auto kDetect, bool kPadded>
std::tuple<Tensor, Tensor, Tensor> decode_detections(const std::vector<Tensor>& logits,
                                                     const std::vector<Tensor>& deltas,
                                                     const std::vector<double>& grid, double margin,
                                                     double iou_threshold, int64_t candidates,
                                                     int64_t keep, const ImageSizes& image_sizes,
                                                     double centre_variance, double size_variance) {
  const DecodeCall call(logits, deltas, grid, margin, iou_threshold, candidates, keep, image_sizes,
                        centre_variance, size_variance);
  const auto [rows, splits] = kDetect(call, kPadded, false);
  return {rows.boxes, rows.scores, splits};
}

template <auto kDetect, bool kPadded>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> decode_detections_labelled(
    const std::vector<Tensor>& logits, const std::vector<Tensor>& deltas,
    const std::vector<double>& grid, double margin, double iou_threshold, int64_t candidates,
    int64_t keep, const ImageSizes& image_sizes, double centre_variance, double size_variance,
    int64_t classes, bool has_sigmoid) {
  const DecodeCall call(logits, deltas, grid, margin, iou_threshold, candidates, keep, image_sizes,
                        centre_variance, size_variance, classes, has_sigmoid);
  const auto [rows, splits] = kDetect(call, kPadded, true);
  return {rows.boxes, rows.scores, splits, *rows.labels, *rows.indices};
}

template <auto kDetect, typename Library>
void register_decode_detections(Library& library) {
  library.impl("decode_detections", TORCH_BOX((&decode_detections<kDetect, false>)));
  library.impl("decode_detections_padded", TORCH_BOX((&decode_detections<kDetect, true>)));
  library.impl("decode_detections_labelled",
               TORCH_BOX((&decode_detections_labelled<kDetect, false>)));
  library.impl("decode_detections_labelled_padded",
               TORCH_BOX((&decode_detections_labelled<kDetect, true>)));
}

}  // namespace s3fd
