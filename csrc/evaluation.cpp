// s3fd._evaluation: numpy in, numpy out, no torch.

#include <pybind11/pybind11.h>

PYBIND11_MODULE(_evaluation, module) {
  module.doc() = "Average precision and matching of detections to ground truth.";
}
