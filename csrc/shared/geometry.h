// The arithmetic of boxes, written here and nowhere else: every kernel, on the CPU and on a GPU,
// takes its decisions with these expressions, in this order of operations. The libraries are
// compiled without fused multiply-add, so that the same boxes give the same numbers everywhere.
#pragma once

#include <cmath>

#include "shared/elementary.h"

namespace s3fd {

// Continuous pixel coordinates: width is x2 - x1. Degenerate where x2 <= x1 or y2 <= y1, or where a
// coordinate is NaN or infinite.
template <typename T>
struct Box {
  T x1, y1, x2, y2;
};

// Offsets of a box from its anchor, in units of the anchor's size and of the variances.
template <typename T>
struct Delta {
  T dx, dy, dw, dh;
};

// What centre offsets and log sizes are divided by: (0.1, 0.2) for S3FD and its relatives.
template <typename T>
struct Variances {
  T centre, size;

  static Variances of(double centre, double size) {
    return {static_cast<T>(centre), static_cast<T>(size)};
  }
};

// Meaningless for degenerate boxes; iou() copes with that.
template <typename T>
S3FD_HOST_DEVICE inline T area(const Box<T>& box) {
  return (box.x2 - box.x1) * (box.y2 - box.y1);
}

// False for a box that overlaps nothing: without width or height, with NaN or infinity, or of an
// area that T can't hold.
template <typename T>
S3FD_HOST_DEVICE inline bool is_proper(const Box<T>& box) {
  const T size = area(box);
  return box.x2 > box.x1 && box.y2 > box.y1 && size > 0 && size < T(INFINITY);
}

template <typename T>
S3FD_HOST_DEVICE inline T intersection(const Box<T>& a, const Box<T>& b) {
  const T width = (a.x2 < b.x2 ? a.x2 : b.x2) - (a.x1 > b.x1 ? a.x1 : b.x1);
  const T height = (a.y2 < b.y2 ? a.y2 : b.y2) - (a.y1 > b.y1 ? a.y1 : b.y1);
  return width > 0 && height > 0 ? width * height : T(0);
}

// Intersection over union, with the areas of the boxes at hand. A degenerate box overlaps nothing:
// its intersection is 0, or its area infinite or NaN, so that the quotient is 0 or NaN, and the
// last line makes 0 of NaN.
template <typename T>
S3FD_HOST_DEVICE inline T iou(const Box<T>& a, T area_a, const Box<T>& b, T area_b) {
  const T inter = intersection(a, b);
  const T quotient = inter / (area_a + area_b - inter);
  return quotient > 0 ? quotient : T(0);
}

template <typename T>
S3FD_HOST_DEVICE inline T iou(const Box<T>& a, const Box<T>& b) {
  return iou(a, area(a), b, area(b));
}

// Of a box without width or height the log sizes are -infinity, of an inside-out one NaN.
template <typename T>
S3FD_HOST_DEVICE inline Delta<T> encode(const Box<T>& box, const Box<T>& anchor,
                                        const Variances<T>& variances) {
  const T anchor_width = anchor.x2 - anchor.x1, anchor_height = anchor.y2 - anchor.y1;
  const T shift_x = (box.x1 + box.x2) / 2 - (anchor.x1 + anchor.x2) / 2;
  const T shift_y = (box.y1 + box.y2) / 2 - (anchor.y1 + anchor.y2) / 2;
  return {shift_x / (variances.centre * anchor_width), shift_y / (variances.centre * anchor_height),
          logarithm((box.x2 - box.x1) / anchor_width) / variances.size,
          logarithm((box.y2 - box.y1) / anchor_height) / variances.size};
}

// The inverse of encode(). Sizes are not bounded: a large dw gives an infinite box.
template <typename T>
S3FD_HOST_DEVICE inline Box<T> decode(const Delta<T>& delta, const Box<T>& anchor,
                                      const Variances<T>& variances) {
  const T anchor_width = anchor.x2 - anchor.x1, anchor_height = anchor.y2 - anchor.y1;
  const T x = (anchor.x1 + anchor.x2) / 2 + delta.dx * variances.centre * anchor_width;
  const T y = (anchor.y1 + anchor.y2) / 2 + delta.dy * variances.centre * anchor_height;
  const T half_width = anchor_width * exponential(delta.dw * variances.size) / 2;
  const T half_height = anchor_height * exponential(delta.dh * variances.size) / 2;
  return {x - half_width, y - half_height, x + half_width, y + half_height};
}

// Coordinate cut to [0, limit]; NaN stays NaN.
template <typename T>
S3FD_HOST_DEVICE inline T clip(T coordinate, T limit) {
  return coordinate < 0 ? T(0) : coordinate > limit ? limit : coordinate;
}

template <typename T>
S3FD_HOST_DEVICE inline Box<T> clip(const Box<T>& box, T width, T height) {
  return {clip(box.x1, width), clip(box.y1, height), clip(box.x2, width), clip(box.y2, height)};
}

// Gradient of a coordinate that was clipped: it passes where the coordinate lay in [0, limit].
template <typename T>
S3FD_HOST_DEVICE inline T clip_gradient(T gradient, T coordinate, T limit) {
  return coordinate >= 0 && coordinate <= limit ? gradient : T(0);
}

template <typename T>
S3FD_HOST_DEVICE inline Box<T> clip_gradient(const Box<T>& gradient, const Box<T>& box, T width,
                                             T height) {
  return {clip_gradient(gradient.x1, box.x1, width), clip_gradient(gradient.y1, box.y1, height),
          clip_gradient(gradient.x2, box.x2, width), clip_gradient(gradient.y2, box.y2, height)};
}

// A product of what comes back with something else, which may be infinite or NaN: none where none
// comes, as of a row of padding or of a coordinate that was cut off.
template <typename T>
S3FD_HOST_DEVICE inline T passed(T gradient, T product) {
  return gradient == 0 ? T(0) : product;
}

// Gradient of encode() with respect to its box.
template <typename T>
S3FD_HOST_DEVICE inline Box<T> encode_gradient_of_box(const Delta<T>& gradient, const Box<T>& box,
                                                      const Box<T>& anchor,
                                                      const Variances<T>& variances) {
  const T centre_x =
      passed(gradient.dx, gradient.dx / (2 * variances.centre * (anchor.x2 - anchor.x1)));
  const T centre_y =
      passed(gradient.dy, gradient.dy / (2 * variances.centre * (anchor.y2 - anchor.y1)));
  const T width = passed(gradient.dw, gradient.dw / (variances.size * (box.x2 - box.x1)));
  const T height = passed(gradient.dh, gradient.dh / (variances.size * (box.y2 - box.y1)));
  return {centre_x - width, centre_y - height, centre_x + width, centre_y + height};
}

// Gradient of encode() with respect to its anchor.
template <typename T>
S3FD_HOST_DEVICE inline Box<T> encode_gradient_of_anchor(const Delta<T>& gradient,
                                                         const Box<T>& box, const Box<T>& anchor,
                                                         const Variances<T>& variances) {
  const T anchor_width = anchor.x2 - anchor.x1, anchor_height = anchor.y2 - anchor.y1;
  const Delta<T> delta = encode(box, anchor, variances);
  const T centre_x = passed(gradient.dx, -gradient.dx / (2 * variances.centre * anchor_width));
  const T centre_y = passed(gradient.dy, -gradient.dy / (2 * variances.centre * anchor_height));
  const T of_width = passed(gradient.dx, gradient.dx * delta.dx) + gradient.dw / variances.size;
  const T of_height = passed(gradient.dy, gradient.dy * delta.dy) + gradient.dh / variances.size;
  const T width = passed(of_width, -of_width / anchor_width);
  const T height = passed(of_height, -of_height / anchor_height);
  return {centre_x - width, centre_y - height, centre_x + width, centre_y + height};
}

// Gradient of decode() with respect to its delta.
template <typename T>
S3FD_HOST_DEVICE inline Delta<T> decode_gradient_of_delta(const Box<T>& gradient,
                                                          const Delta<T>& delta,
                                                          const Box<T>& anchor,
                                                          const Variances<T>& variances) {
  const T anchor_width = anchor.x2 - anchor.x1, anchor_height = anchor.y2 - anchor.y1;
  const T width = anchor_width * exponential(delta.dw * variances.size);
  const T height = anchor_height * exponential(delta.dh * variances.size);
  const T centre_x = gradient.x1 + gradient.x2, centre_y = gradient.y1 + gradient.y2;
  const T of_width = (gradient.x2 - gradient.x1) / 2, of_height = (gradient.y2 - gradient.y1) / 2;
  return {passed(centre_x, centre_x * variances.centre * anchor_width),
          passed(centre_y, centre_y * variances.centre * anchor_height),
          passed(of_width, of_width * width * variances.size),
          passed(of_height, of_height * height * variances.size)};
}

// Gradient of decode() with respect to its anchor.
template <typename T>
S3FD_HOST_DEVICE inline Box<T> decode_gradient_of_anchor(const Box<T>& gradient,
                                                         const Delta<T>& delta,
                                                         const Variances<T>& variances) {
  const T centre_x = gradient.x1 + gradient.x2, centre_y = gradient.y1 + gradient.y2;
  const T of_width = (gradient.x2 - gradient.x1) / 2, of_height = (gradient.y2 - gradient.y1) / 2;
  const T width = passed(centre_x, centre_x * delta.dx * variances.centre) +
                  passed(of_width, of_width * exponential(delta.dw * variances.size));
  const T height = passed(centre_y, centre_y * delta.dy * variances.centre) +
                   passed(of_height, of_height * exponential(delta.dh * variances.size));
  return {centre_x / 2 - width, centre_y / 2 - height, centre_x / 2 + width, centre_y / 2 + height};
}

}  // namespace s3fd
