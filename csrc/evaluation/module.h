// What s3fd._evaluation offers to s3fd/evaluation: numpy in, numpy out, no torch.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "evaluation/arrays.h"

namespace s3fd {

// Of each detection (x1, y1, x2, y2): its ground truth's index in the image, -1 for a false
// positive, -2 where it counts neither way.
Array<int64_t> match_detections(const Array<float>& detections,
                                const Array<int64_t>& detection_splits,
                                const Array<float>& ground_truths,
                                const Array<int64_t>& ground_truth_splits,
                                const Array<float>& ignore, const Array<int64_t>& ignore_splits,
                                double iou_threshold);

// Of each detection (x1, y1, x2, y2): the face of its image that it overlaps most, the lower
// index on ties, and their IoU, areas counted in pixels. -1 and 0 in an image without faces.
std::pair<Array<int64_t>, Array<double>> best_overlaps(const Array<double>& detections,
                                                       const Array<int64_t>& detection_splits,
                                                       const Array<double>& faces,
                                                       const Array<int64_t>& face_splits,
                                                       size_t threads);

// Of each detection, by falling score in its image: 1 if it is the first to reach the threshold
// with its best face, 0 if it is a false positive, -1 if that face does not count.
Array<int8_t> judge_detections(const Array<int64_t>& best, const Array<double>& overlap,
                               const Array<int64_t>& detection_splits,
                               const Array<uint8_t>& counted, const Array<int64_t>& face_splits,
                               double iou_threshold);

// IoUs of ellipses (major radius, minor radius, angle, x, y) with detections in photos, counted in
// pixels. Detections are such ellipses, or rectangles (x1, y1, x2, y2). `sizes` are the width and
// height of each photo, 0 where they are not known. Image after image a table, a row for each
// ellipse.
Array<double> region_overlaps(const Array<double>& faces, const Array<int64_t>& face_splits,
                              const Array<double>& detections,
                              const Array<int64_t>& detection_splits, const Array<int64_t>& sizes,
                              size_t threads);

// The numbers of a text from byte `start` on, `columns` a line, blank lines passed over; and -1, or
// the first line, from 0, that holds anything else.
std::pair<Array<double>, int64_t> read_number_lines(const pybind11::bytes& text, size_t start,
                                                    size_t columns);

}  // namespace s3fd
