// Neighbouring anchors of a list, looked at as one: a box passes those by that it can't overlap
// enough.
#pragma once

#include <algorithm>

#include "shared/geometry.h"

namespace s3fd {

// What the proper ones of some anchors lie in, and the least and the largest area among them.
struct AnchorBounds {
  float left, top, right, bottom, smallest, largest;

  // Of no anchor.
  S3FD_HOST_DEVICE static AnchorBounds none() {
    return {INFINITY, INFINITY, -INFINITY, -INFINITY, INFINITY, 0};
  }

  S3FD_HOST_DEVICE static AnchorBounds of(const Box<float>& anchor) {
    if (!is_proper(anchor)) return none();
    const float size = area(anchor);
    return {anchor.x1, anchor.y1, anchor.x2, anchor.y2, size, size};
  }

  S3FD_HOST_DEVICE void add(const AnchorBounds& other) {
    left = std::min(left, other.left), top = std::min(top, other.top);
    right = std::max(right, other.right), bottom = std::max(bottom, other.bottom);
    smallest = std::min(smallest, other.smallest), largest = std::max(largest, other.largest);
  }

  // The largest IoU that the anchors can have with a proper box, about, and 0 if they share nothing
  // with it.
  S3FD_HOST_DEVICE float iou_bound(const Box<float>& box, float box_area) const {
    constexpr float kLeast = 1e-45f;  // where a bound rounds to 0
    const float width = std::min(right, box.x2) - std::max(left, box.x1);
    const float height = std::min(bottom, box.y2) - std::max(top, box.y1);
    const float common = std::min(std::min(width * height, largest), box_area);
    const float bound = common / std::max(smallest, box_area);
    return (width > 0) & (height > 0) ? std::max(bound, kLeast) : 0.0f;
  }

  static constexpr double kSlack = 1e-5;  // what rounding may add to an IoU, or to a bound

  // Whether a bound leaves room for an IoU of `enough`, whatever rounding has added to either.
  template <typename Real>
  S3FD_HOST_DEVICE static bool allows(float bound, Real enough) {
    return bound > 0 && static_cast<Real>(bound) * (1 + Real(kSlack)) >= enough;
  }
};

}  // namespace s3fd
