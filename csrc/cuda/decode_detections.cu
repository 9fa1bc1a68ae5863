#include "cuda/decode_detections.cuh"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "cuda/primitives/host.h"
#include "cuda/primitives/workspace.h"
#include "shared/operators/decode_detections.h"
#include "shared/threshold.h"

namespace s3fd::cuda {
namespace {

// The detections of B images, on the device.
class Detections {
 public:
  Detections(const DecodeCall& call, bool has_labels, cudaStream_t stream)
      : call_(call),
        has_labels_(has_labels),
        grid_(make_device_grid(call.levels)),
        stream_(stream),
        images_(call.num_images()),
        pairs_(grid_.num_anchors * call.classes),
        candidates_(std::min(call.candidates, pairs_)) {
    STD_TORCH_CHECK(
        pairs_ < int64_t{1} << 32 && candidates_ <= std::numeric_limits<int32_t>::max() - kTile,
        "s3fd::decode_detections: the CUDA kernels number the anchors of an image, with each of "
        "their classes, with 32 bits, and its candidates with 31; there are ",
        pairs_, " of them");
    STD_TORCH_CHECK(images_ <= 65535, "s3fd::decode_detections: more than 65535 images at once");
    allocate();
    if (images_ == 0 || candidates_ == 0) return;
    dispatch_floating(call.logits[0].scalar_type(), "decode_detections",
                      [&]<typename T>() { scan<T>(); });
    sort_lists(selected(), sink_, workspace_, sort_memory_, images_, candidates_, stream_);
    if (call.classes == 1) {
      suppress_greedily<float, false>(lists_, images_, stream_);
    } else {
      suppress_greedily<float, true>(lists_, images_, stream_);
    }
  }

  // int64 [B + 1].
  Tensor splits() const {
    Tensor splits = empty({images_ + 1}, ScalarType::Long, call_.logits[0]);
    launch(split_detections_kernel, 1, kWarp, 0, stream_, lists_.progress, images_,
           mutable_data<int64_t>(splits));
    return splits;
  }

  // `rows` of each image at most; see write_detections_kernel().
  void write(int64_t rows, const int64_t* splits, const DetectionRows& output) const {
    launch(write_detections_kernel,
           dim3(blocks_for(std::max<int64_t>(rows, 1), kWriteThreads).x,
                static_cast<unsigned>(images_)),
           kWriteThreads, 0, stream_, lists_, sink_, splits, rows, output);
  }

  int64_t most_kept() const { return lists_.keep; }

 private:
  bool has_selection() const { return pairs_ > candidates_; }

  // The candidates of all images, in no order.
  ByMargin selected() const {
    if (!has_selection()) return {found_.entries, pairs_, found_.found, candidates_};
    const int number_bits = std::bit_width(static_cast<uint64_t>(pairs_ - 1));
    select_smallest(selection_, images_, pairs_, number_bits, stream_);
    return {selection_.selected, candidates_, found_.found, candidates_};
  }

  void allocate() {
    const int64_t anchors = images_ * grid_.num_anchors, rows = images_ * candidates_;
    const bool has_classes = call_.classes > 1;
    const int64_t keep = std::min(call_.keep, candidates_);
    const auto progress = workspace_.add<Progress>(images_);
    const auto found = workspace_.add<unsigned>(images_);
    const int64_t selections = has_selection() ? images_ : 0;
    const auto thresholds = workspace_.add<Threshold>(selections);
    const auto histograms = workspace_.add<unsigned>(selections * kSelectDigits);
    const auto selected = workspace_.add<NarrowEntry>(selections * candidates_);
    const auto entries = workspace_.add<NarrowEntry>(anchors * call_.classes);
    const auto found_boxes = workspace_.add<StoredBox<float>>(anchors);
    const auto boxes = workspace_.add<StoredBox<float>>(rows);
    const auto margins = workspace_.add<float>(rows);
    const auto owners = workspace_.add<int32_t>(rows);
    const auto pairs = workspace_.add<uint32_t>(has_labels_ ? rows : 0);
    const auto classes = workspace_.add<int64_t>(has_classes ? rows : 0);
    sort_memory_ = add_sort_memory<NarrowEntry>(workspace_, images_, candidates_);
    const auto overlaps = workspace_.add<uint64_t>(overlap_words(images_, candidates_));
    const auto kept = workspace_.add<int32_t>(images_ * keep);
    workspace_.allocate(call_.logits[0]);
    workspace_.clear(progress, histograms, stream_);
    found_ = {workspace_.at(found), workspace_.at(entries), workspace_.at(found_boxes),
              grid_.num_anchors, static_cast<int>(call_.classes)};
    selection_ = {found_.entries,
                  pairs_,
                  found_.found,
                  static_cast<unsigned>(candidates_),
                  workspace_.at(thresholds),
                  workspace_.at(histograms),
                  workspace_.at(selected)};
    sink_ = {found_,
             candidates_,
             workspace_.at(boxes),
             workspace_.at(margins),
             workspace_.at(owners),
             has_labels_ ? workspace_.at(pairs) : nullptr,
             has_classes ? workspace_.at(classes) : nullptr};
    lists_ = {sink_.boxes,
              sink_.classes,
              nullptr,
              found_.found,
              sink_.owners,
              workspace_.at(overlaps),
              workspace_.at(kept),
              workspace_.at(progress),
              candidates_,
              keep,
              largest_not_above<float>(call_.iou_threshold)};
  }

  // Looks at all maps; as many images at once as have their sizes in the parameters.
  template <typename T>
  void scan() const {
    HeadMaps<T> maps{};
    maps.grid = grid_;
    maps.lists = found_;
    maps.variances = call_.variances;
    maps.lowest_margin = call_.margin;
    maps.least_above_strongest = least_above_strongest(call_.margin);
    maps.has_sigmoid = call_.has_sigmoid;
    maps.is_clipped = call_.image_sizes.has_value();
    unsigned blocks = 0;
    for (int l = 0; l < grid_.num_levels; ++l) {
      const Tensor& logits = call_.logits[l];
      maps.levels[l] = {view4<T>(logits), view4<T>(call_.deltas[l]), blocks};
      blocks += blocks_for(grid_.levels[l].rows * grid_.levels[l].columns, kScanThreads).x;
    }
    const int64_t at_once = maps.is_clipped ? kMostImages : images_;
    for (int64_t first = 0; first < images_; first += at_once) {
      const int64_t count = std::min(at_once, images_ - first);
      maps.first_image = static_cast<int>(first);
      for (int64_t i = 0; maps.is_clipped && i < count; ++i) {
        const int64_t* size = call_.image_sizes->data() + 2 * (first + i);
        maps.image_limits[i] = {static_cast<float>(size[0]), static_cast<float>(size[1])};
      }
      launch(call_.is_plain() ? scan_maps_kernel<T> : scan_classes_kernel<T>,
             dim3(blocks, static_cast<unsigned>(count)), kScanThreads, 0, stream_, maps);
    }
  }

  const DecodeCall& call_;
  bool has_labels_;
  DeviceGrid grid_;
  cudaStream_t stream_;
  int64_t images_, pairs_, candidates_;
  Workspace workspace_;
  FoundLists found_;
  EntrySelection selection_;
  CandidateSink sink_;
  SortMemory sort_memory_;
  GreedyLists<float> lists_;
};

// A row for each detection; with classes also its label and its anchor.
struct Rows {
  Tensor boxes, scores;
  std::optional<Tensor> labels, indices;

  Rows(std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> sizes_of_boxes,
       bool has_labels, const Tensor& like)
      : boxes(empty(sizes_of_boxes, ScalarType::Float, like)),
        scores(empty(sizes, ScalarType::Float, like)) {
    if (!has_labels) return;
    labels = empty(sizes, ScalarType::Long, like);
    indices = empty(sizes, ScalarType::Long, like);
  }

  DetectionRows on_device(int64_t* counts) const {
    return {reinterpret_cast<StoredBox<float>*>(mutable_data<float>(boxes)),
            mutable_data<float>(scores), counts, labels ? mutable_data<int64_t>(*labels) : nullptr,
            indices ? mutable_data<int64_t>(*indices) : nullptr};
  }
};

// All detections in a row, and where those of each image begin.
std::tuple<Rows, Tensor> pack(const DecodeCall& call, bool has_labels, cudaStream_t stream) {
  const Detections detections(call, has_labels, stream);
  Tensor splits = detections.splits();
  const int64_t total = read_back(data<int64_t>(splits) + call.num_images(), stream);
  const Rows rows({total}, {total, 4}, has_labels, call.logits[0]);
  if (total > 0) {
    detections.write(detections.most_kept(), data<int64_t>(splits), rows.on_device(nullptr));
  }
  return {rows, splits};
}

// As many rows for each image, those behind its detections 0, and how many it has.
std::tuple<Rows, Tensor> pack_padded(const DecodeCall& call, bool has_labels, cudaStream_t stream) {
  const Detections detections(call, has_labels, stream);
  const int64_t images = call.num_images();
  const Rows rows({images, call.keep}, {images, call.keep, 4}, has_labels, call.logits[0]);
  Tensor counts = empty({images}, ScalarType::Long, call.logits[0]);
  // One row at least, for the counts.
  detections.write(call.keep, nullptr, rows.on_device(mutable_data<int64_t>(counts)));
  return {rows, counts};
}

std::tuple<Rows, Tensor> decode_rows(const DecodeCall& call, bool padded, bool has_labels) {
  const OnDeviceOf device(call.logits[0]);
  return padded ? pack_padded(call, has_labels, device.stream())
                : pack(call, has_labels, device.stream());
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  s3fd::register_decode_detections<s3fd::cuda::decode_rows>(library);
}
