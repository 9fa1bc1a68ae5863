// Every operator of torch.ops.s3fd. The kernels register themselves in cpu/ and cuda/, one file an
// operator; what the arguments mean is written at the public function, s3fd/ops/<operator>.py.

#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(s3fd, library) {
  library.def(
      "anchors(Tensor like, SymInt[] feature_sizes, float[] strides, float[] shapes, "
      "int[] num_shapes, float offset) -> Tensor");
  library.def(
      "decode_boxes(Tensor deltas, Tensor anchors, float centre_variance, float size_variance, "
      "SymInt[]? image_size) -> Tensor");
  library.def(
      "decode_boxes_backward(Tensor gradient, Tensor deltas, Tensor anchors, "
      "float centre_variance, float size_variance, SymInt[]? image_size, bool of_anchors) "
      "-> Tensor");
  library.def(
      "encode_boxes(Tensor boxes, Tensor anchors, float centre_variance, float size_variance) "
      "-> Tensor");
  library.def(
      "encode_boxes_backward(Tensor gradient, Tensor boxes, Tensor anchors, "
      "float centre_variance, float size_variance, bool of_anchors) -> Tensor");
  library.def("max_out_background(Tensor logits) -> Tensor");
  library.def("max_out_background_backward(Tensor gradient, Tensor logits) -> Tensor");
}
