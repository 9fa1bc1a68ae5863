// What the kernels of decode_detections are called with, and what they ask of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "shared/anchor_levels.h"
#include "shared/checks/one_device.h"
#include "shared/geometry.h"
#include "shared/tensor.h"

namespace s3fd {

// Height and width of each image in turn, to which its boxes are clipped, or nothing.
using ImageSizes = std::optional<std::vector<int64_t>>;

// The arguments of one call, checked. They have to outlive it.
struct DecodeCall {
  const std::vector<Tensor>&logits, &deltas;  // of each level
  std::vector<AnchorLevel> levels;
  float margin;  // of the face over the strongest background, at least
  double iou_threshold;
  int64_t candidates, keep;
  const ImageSizes& image_sizes;
  Variances<float> variances;
  int64_t classes;
  bool has_sigmoid;  // each class for itself, and no background; otherwise a softmax

  DecodeCall(const std::vector<Tensor>& logits, const std::vector<Tensor>& deltas,
             const std::vector<double>& grid, double margin, double iou_threshold,
             int64_t candidates, int64_t keep, const ImageSizes& image_sizes,
             double centre_variance, double size_variance, int64_t classes = 1,
             bool has_sigmoid = false)
      : logits(logits),
        deltas(deltas),
        levels(make_levels(feature_sizes(logits), grid)),
        margin(static_cast<float>(margin)),
        iou_threshold(iou_threshold),
        candidates(candidates),
        keep(keep),
        image_sizes(image_sizes),
        variances(Variances<float>::of(centre_variance, size_variance)),
        classes(classes),
        has_sigmoid(has_sigmoid) {
    STD_TORCH_CHECK(classes >= 1 && classes < int64_t{1} << 31,
                    "s3fd::decode_detections: expected a class at least, got ", classes);
    STD_TORCH_CHECK(!logits.empty() && logits.size() == deltas.size(),
                    "s3fd::decode_detections: expected a class map and a delta map of every level");
    for (size_t l = 0; l < levels.size(); ++l) check_level(l);
    STD_TORCH_CHECK(!image_sizes || image_sizes->size() == 2 * static_cast<uint64_t>(num_images()),
                    "s3fd::decode_detections: expected the size of every image");
    STD_TORCH_CHECK(candidates >= 0 && keep >= 0,
                    "s3fd::decode_detections: expected candidates and keep >= 0");
  }

  int64_t num_images() const { return logits[0].size(0); }

  // Logits of an anchor that are not those of a class.
  int64_t backgrounds(size_t level) const { return has_sigmoid ? 0 : levels[level].backgrounds; }

  // Whether each anchor has a score of one kind: that of a face against its backgrounds.
  bool is_plain() const { return classes == 1 && !has_sigmoid; }

 private:
  // Rows and columns of the maps in turn.
  static std::vector<int64_t> feature_sizes(const std::vector<Tensor>& maps) {
    std::vector<int64_t> sizes;
    sizes.reserve(2 * maps.size());
    for (const Tensor& map : maps) {
      STD_TORCH_CHECK(map.dim() == 4, "s3fd::decode_detections: expected maps [B, C, H, W]");
      sizes.push_back(map.size(2));
      sizes.push_back(map.size(3));
    }
    return sizes;
  }

  void check_level(size_t l) const {
    const Tensor &first = logits[0], &logit = logits[l], &delta = deltas[l];
    const int64_t shapes = levels[l].num_shapes;
    const auto fits = [&](const Tensor& map, int64_t channels) {
      return map.dim() == 4 && map.size(0) == first.size(0) && map.size(1) == shapes * channels &&
             map.size(2) == levels[l].rows && map.size(3) == levels[l].columns &&
             map.scalar_type() == first.scalar_type();
    };
    STD_TORCH_CHECK(
        shapes > 0 && fits(logit, backgrounds(l) + classes) && fits(delta, 4),
        "s3fd::decode_detections: the maps of a level do not fit each other or the grid");
    check_one_device("decode_detections", first, logit, delta);
  }
};

}  // namespace s3fd
