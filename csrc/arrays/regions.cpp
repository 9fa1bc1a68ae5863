// Overlaps of regions that are drawn into a photo, pixel by pixel, as FDDB's tool measures them.
// For s3fd/evaluation/fddb/roc.py.

#include "arrays/library.h"
#include "arrays/threads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace s3fd {
namespace {

struct Rectangle {
  double x1, y1, x2, y2;
};

// The angle is that of the major axis to the x axis, in radians.
struct Ellipse {
  double major, minor, angle, x, y;
};

struct Point {
  double x, y;
};

// Pixels that a region can have: those of the photo, or all where its size is not known.
struct Canvas {
  explicit Canvas(int64_t width, int64_t height) {
    constexpr int64_t kFar = 1 << 15;
    low = width > 0 ? 0 : -kFar;
    right = width > 0 ? std::min(width, kFar) - 1 : kFar;
    bottom = width > 0 ? std::min(height, kFar) - 1 : kFar;
  }
  int64_t low, right, bottom;
};

constexpr double kFarthest = 1e5;  // no photo is that large

// To the nearest whole number, the even one of two, like OpenCV; far numbers to far pixels.
int64_t to_pixel(double value) { return std::lrint(std::clamp(value, -kFarthest, kFarthest)); }

// A convex region: one run of pixels in each row.
class Region {
 public:
  explicit Region(const Canvas& canvas) : canvas_(canvas) {}

  void add(int64_t left, int64_t right, int64_t row) {
    if (row < canvas_.low || row > canvas_.bottom) return;
    if (runs_.empty()) top_ = row;
    while (row < top_) {
      runs_.insert(runs_.begin(), Run{});
      --top_;
    }
    if (size_t(row - top_) >= runs_.size()) runs_.resize(size_t(row - top_) + 1);
    Run& run = runs_[size_t(row - top_)];
    run.left = std::min(run.left, left);
    run.right = std::max(run.right, right);
  }

  // To be called once, when everything is added.
  void clip() {
    area_ = 0;
    for (Run& run : runs_) {
      run.left = std::max(run.left, canvas_.low);
      run.right = std::min(run.right, canvas_.right);
      area_ += std::max(run.right - run.left + 1, int64_t(0));
    }
  }

  double iou(const Region& other) const {
    int64_t shared = 0;
    const int64_t first = std::max(top_, other.top_);
    const int64_t end =
        std::min(top_ + int64_t(runs_.size()), other.top_ + int64_t(other.runs_.size()));
    for (int64_t row = first; row < end; ++row) {
      const Run &a = runs_[size_t(row - top_)], &b = other.runs_[size_t(row - other.top_)];
      shared += std::max(std::min(a.right, b.right) - std::max(a.left, b.left) + 1, int64_t(0));
    }
    return shared == 0 ? 0.0 : double(shared) / double(area_ + other.area_ - shared);
  }

 private:
  struct Run {
    int64_t left = std::numeric_limits<int32_t>::max();
    int64_t right = std::numeric_limits<int32_t>::min();
  };
  Canvas canvas_;
  int64_t top_ = 0, area_ = 0;
  std::vector<Run> runs_;
};

// The corners are moved to whole pixels, and belong to it.
Region draw(const Rectangle& rectangle, const Canvas& canvas) {
  Region region(canvas);
  const auto [left, right] = std::minmax({to_pixel(rectangle.x1), to_pixel(rectangle.x2)});
  const auto [top, bottom] = std::minmax({to_pixel(rectangle.y1), to_pixel(rectangle.y2)});
  for (int64_t row = std::max(top, canvas.low); row <= std::min(bottom, canvas.bottom); ++row) {
    region.add(left, right, row);
  }
  region.clip();
  return region;
}

// Every pixel that a line passes nearest, one in each column of a flat line, in each row of a steep
// one.
void add_line(Point from, Point to, const Canvas& canvas, Region& region) {
  const auto round = [](double value) { return int64_t(std::floor(value + 0.5)); };
  for (const Point& end : {from, to}) region.add(round(end.x), round(end.x), round(end.y));
  const double width = std::abs(to.x - from.x), height = std::abs(to.y - from.y);
  if (width >= height) {
    if (from.x > to.x) std::swap(from, to);
    const double slope = width > 0 ? (to.y - from.y) / width : 0;
    for (double x = std::ceil(from.x); x <= std::floor(to.x); ++x) {
      region.add(int64_t(x), int64_t(x), round(from.y + (x - from.x) * slope));
    }
  } else {
    if (from.y > to.y) std::swap(from, to);
    const double slope = (to.x - from.x) / height;
    const double last = std::min(std::floor(to.y), double(canvas.bottom));
    for (double y = std::max(std::ceil(from.y), double(canvas.low)); y <= last; ++y) {
      const int64_t x = round(from.x + (y - from.y) * slope);
      region.add(x, x, int64_t(y));
    }
  }
}

// As OpenCV draws a filled ellipse: its centre on a whole pixel, radii cut to whole pixels, the
// angle to whole degrees; a polygon with a corner every few degrees, filled with its outline.
Region draw(const Ellipse& ellipse, const Canvas& canvas) {
  Region region(canvas);
  const double x = double(to_pixel(ellipse.x)), y = double(to_pixel(ellipse.y));
  const double major = std::trunc(std::min(std::abs(ellipse.major), kFarthest));
  const double minor = std::trunc(std::min(std::abs(ellipse.minor), kFarthest));
  const double degree = std::numbers::pi / 180;
  const double angle = std::nearbyint(std::remainder(ellipse.angle / degree, 360)) * degree;
  const double larger = std::max(major, minor);
  const int step = larger < 3 ? 90 : larger < 10 ? 30 : larger < 15 ? 18 : 5;
  const auto corner = [&](int degrees) {
    const double along = major * std::cos(degrees * degree);
    const double across = minor * std::sin(degrees * degree);
    return Point{x + along * std::cos(angle) - across * std::sin(angle),
                 y + along * std::sin(angle) + across * std::cos(angle)};
  };
  for (int degrees = 0; degrees < 360; degrees += step) {
    add_line(corner(degrees), corner(degrees + step), canvas, region);
  }
  region.clip();
  return region;
}

// Image after image a table, a row for each face.
template <typename Shape>
void fill_overlaps(const Ragged<Ellipse>& faces, const Ragged<Shape>& found, const int64_t* sizes,
                   size_t threads, double* table) {
  std::vector<size_t> begins(faces.images() + 1);
  for (size_t image = 0; image < faces.images(); ++image) {
    begins[image + 1] = begins[image] + faces[image].size() * found[image].size();
  }
  for_each_image(faces.images(), threads, [&](size_t image) {
    const Canvas canvas(sizes[2 * image], sizes[2 * image + 1]);
    std::vector<Region> detections;
    for (const Shape& shape : found[image]) detections.push_back(draw(shape, canvas));
    double* cell = table + begins[image];
    for (const Ellipse& face : faces[image]) {
      const Region region = draw(face, canvas);
      for (const Region& detection : detections) *cell++ = region.iou(detection);
    }
  });
}

}  // namespace
}  // namespace s3fd

// IoUs of ellipses (major radius, minor radius, angle, x, y) with detections in photos, counted in
// pixels. Detections are such ellipses, or rectangles (x1, y1, x2, y2). `sizes` are the width and
// height of each photo, 0 where they are not known.
S3FD_EXPORT const char* s3fd_region_overlaps(s3fd::RaggedArray faces, s3fd::RaggedArray detections,
                                             bool detections_are_ellipses, const int64_t* sizes,
                                             int64_t threads, double* table) {
  return s3fd::run_guarded([&] {
    const s3fd::Ragged<s3fd::Ellipse> wanted(faces);
    if (detections_are_ellipses) {
      const s3fd::Ragged<s3fd::Ellipse> found(detections);
      s3fd::fill_overlaps(wanted, found, sizes, size_t(threads), table);
    } else {
      const s3fd::Ragged<s3fd::Rectangle> found(detections);
      s3fd::fill_overlaps(wanted, found, sizes, size_t(threads), table);
    }
  });
}
