// The pybind11 module s3fd._evaluation. The arguments are checked, and their meaning is written, in
// s3fd/evaluation.

#include "evaluation/module.h"

#include <pybind11/stl.h>

namespace py = pybind11;

PYBIND11_MODULE(_evaluation, module) {
  module.doc() = "Matching of detections to ground truth, for s3fd.evaluation.";
  module.def("match_detections", &s3fd::match_detections, py::arg("detections"),
             py::arg("detection_splits"), py::arg("ground_truths"), py::arg("ground_truth_splits"),
             py::arg("ignore"), py::arg("ignore_splits"), py::kw_only(), py::arg("iou_threshold"),
             "Of each detection: its ground truth's index in the image, -1 for a false positive, "
             "-2 where it counts neither way.");
  module.def("best_overlaps", &s3fd::best_overlaps, py::arg("detections"),
             py::arg("detection_splits"), py::arg("faces"), py::arg("face_splits"), py::kw_only(),
             py::arg("threads"),
             "Of each detection: the face of its image that it overlaps most, and their IoU.");
  module.def("judge_detections", &s3fd::judge_detections, py::arg("best"), py::arg("overlap"),
             py::arg("detection_splits"), py::arg("counted"), py::arg("face_splits"), py::kw_only(),
             py::arg("iou_threshold"),
             "Of each detection: 1 if it finds its best face, 0 for a false positive, -1 where it "
             "counts neither way.");
  module.def("region_overlaps", &s3fd::region_overlaps, py::arg("faces"), py::arg("face_splits"),
             py::arg("detections"), py::arg("detection_splits"), py::arg("sizes"), py::kw_only(),
             py::arg("threads"),
             "IoUs of ellipses with ellipses or rectangles, counted in pixels of photos.");
  module.def("read_number_lines", &s3fd::read_number_lines, py::arg("text"), py::kw_only(),
             py::arg("start"), py::arg("columns"),
             "The numbers of a text, and the first line that holds anything else, or -1.");
}
