// Every operator of torch.ops.s3fd. The kernels register themselves in cpu/ and cuda/, one file an
// operator; what the arguments mean is written at the public function, s3fd/ops/<operator>.py. A
// grid of anchors is one list of numbers, which s3fd/ops/grid.py packs and shared/anchor_levels.h
// reads. Boxes of a batch are one tensor, [T, 4], and `splits`, [B + 1] numbers: those of image i
// are the rows from splits[i] to splits[i + 1]. Without `ignore_splits` there is nothing to ignore,
// and any tensor can stand for `ignore`: to make an empty one takes as long as a small operator.

#include <torch/csrc/stable/library.h>

#include <string>

#include "shared/operators/differentiable.h"

namespace {

// An operator with a gradient, and the one of the same kernels without it.
template <typename Library>
void define_differentiable(Library& library, const std::string& schema) {
  const size_t name = schema.find('(');
  library.def(schema.c_str());
  library.def((schema.substr(0, name) + s3fd::kForward + schema.substr(name)).c_str());
}

}  // namespace

STABLE_TORCH_LIBRARY(s3fd, library) {
  library.def("anchors(Tensor like, SymInt[] feature_sizes, float[] grid) -> Tensor");
  library.def(
      "batched_nms(Tensor boxes, Tensor scores, Tensor groups, float iou_threshold) -> Tensor");
  define_differentiable(
      library,
      "decode_boxes(Tensor deltas, Tensor anchors, float centre_variance, float size_variance, "
      "SymInt[]? image_size) -> Tensor");
  library.def(
      "decode_boxes_backward(Tensor gradient, Tensor deltas, Tensor anchors, "
      "float centre_variance, float size_variance, SymInt[]? image_size, bool of_anchors) "
      "-> Tensor");
  library.def(
      "decode_detections(Tensor[] logits, Tensor[] deltas, float[] grid, float margin, "
      "float iou_threshold, int candidates, int keep, SymInt[]? image_sizes, "
      "float centre_variance, float size_variance) "
      "-> (Tensor boxes, Tensor scores, Tensor splits)");
  library.def(
      "decode_detections_padded(Tensor[] logits, Tensor[] deltas, float[] grid, float margin, "
      "float iou_threshold, int candidates, int keep, SymInt[]? image_sizes, "
      "float centre_variance, float size_variance) "
      "-> (Tensor boxes, Tensor scores, Tensor counts)");
  library.def(
      "decode_detections_labelled(Tensor[] logits, Tensor[] deltas, float[] grid, float margin, "
      "float iou_threshold, int candidates, int keep, SymInt[]? image_sizes, "
      "float centre_variance, float size_variance, int classes, bool sigmoid) "
      "-> (Tensor boxes, Tensor scores, Tensor splits, Tensor labels, Tensor indices)");
  library.def(
      "decode_detections_labelled_padded(Tensor[] logits, Tensor[] deltas, float[] grid, "
      "float margin, float iou_threshold, int candidates, int keep, SymInt[]? image_sizes, "
      "float centre_variance, float size_variance, int classes, bool sigmoid) "
      "-> (Tensor boxes, Tensor scores, Tensor counts, Tensor labels, Tensor indices)");
  define_differentiable(
      library,
      "encode_boxes(Tensor boxes, Tensor anchors, float centre_variance, float size_variance) "
      "-> Tensor");
  library.def(
      "encode_boxes_backward(Tensor gradient, Tensor boxes, Tensor anchors, "
      "float centre_variance, float size_variance, bool of_anchors) -> Tensor");
  define_differentiable(library, "l2_normalize(Tensor features, Tensor weight) -> Tensor");
  library.def(
      "l2_normalize_backward(Tensor gradient, Tensor features, Tensor weight) "
      "-> (Tensor of_features, Tensor of_weight)");
  library.def(
      "match_anchors(Tensor anchors, Tensor boxes, SymInt[] splits, Tensor ignore, "
      "SymInt[] ignore_splits, float positive_iou, float candidate_iou, int top_n, bool keep_best, "
      "bool ties=False) -> Tensor");
  library.def(
      "match_grid(Tensor boxes, SymInt[] splits, Tensor ignore, SymInt[] ignore_splits, "
      "SymInt[] feature_sizes, float[] grid, float positive_iou, float candidate_iou, int top_n, "
      "bool keep_best, bool ties=False) -> Tensor");
  define_differentiable(library, "max_out_background(Tensor logits) -> Tensor");
  library.def("max_out_background_backward(Tensor gradient, Tensor logits) -> Tensor");
  define_differentiable(
      library,
      "multibox_loss(Tensor logits, Tensor deltas, Tensor anchors, Tensor boxes, SymInt[] splits, "
      "Tensor matched, float negative_ratio, float centre_variance, float size_variance) "
      "-> (Tensor class_loss, Tensor box_loss, Tensor kept, Tensor counts)");
  library.def(
      "multibox_loss_backward(Tensor class_gradient, Tensor box_gradient, Tensor logits, "
      "Tensor deltas, Tensor anchors, Tensor boxes, SymInt[] splits, Tensor matched, Tensor kept, "
      "Tensor counts, float centre_variance, float size_variance) "
      "-> (Tensor logits_gradient, Tensor deltas_gradient)");
  library.def("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor");
  library.def(
      "nms_padded(Tensor boxes, Tensor scores, float iou_threshold, SymInt keep) "
      "-> (Tensor indices, Tensor count)");
  library.def(
      "soft_nms(Tensor boxes, Tensor scores, bool gaussian, float sigma, float iou_threshold, "
      "float score_threshold) -> (Tensor indices, Tensor scores)");
  library.def(
      "vote_boxes(Tensor boxes, Tensor scores, float iou_threshold, bool keep_single) "
      "-> (Tensor boxes, Tensor scores)");
}
