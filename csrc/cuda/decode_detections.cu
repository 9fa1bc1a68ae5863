#include "cuda/decode_detections.cuh"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "cuda/primitives/host.h"
#include "cuda/primitives/workspace.h"
#include "shared/checks/decode_detections.h"
#include "shared/threshold.h"

namespace s3fd::cuda {
namespace {

// The detections of B images, on the device.
class Detections {
 public:
  Detections(const DecodeCall& call, cudaStream_t stream)
      : call_(call),
        grid_(make_device_grid(call.levels)),
        stream_(stream),
        images_(call.num_images()),
        candidates_(std::min(call.candidates, grid_.num_anchors)) {
    STD_TORCH_CHECK(grid_.num_anchors < int64_t{1} << 32 &&
                        candidates_ <= std::numeric_limits<int32_t>::max() - kTile,
                    "s3fd::decode_detections: the CUDA kernels number the anchors of an image with "
                    "32 bits, and its candidates with 31; there are ",
                    grid_.num_anchors, " anchors");
    STD_TORCH_CHECK(images_ <= 65535, "s3fd::decode_detections: more than 65535 images at once");
    allocate();
    if (images_ == 0 || candidates_ == 0) return;
    dispatch_floating(call.logits[0].scalar_type(), "decode_detections",
                      [&]<typename T>() { scan<T>(); });
    if (grid_.num_anchors > candidates_) {
      launch(select_candidates_kernel, static_cast<unsigned>(images_), kSelectThreads, 0, stream_,
             found_, candidates_);
    }
    sort_lists(ByMargin{found_, candidates_}, sink_, sort_memory_, images_, candidates_, stream_);
    suppress_greedily<float, false>(lists_, images_, stream_);
  }

  // int64 [B + 1].
  Tensor splits() const {
    Tensor splits = empty({images_ + 1}, ScalarType::Long, call_.logits[0]);
    launch(split_detections_kernel, 1, kWarp, 0, stream_, lists_.progress, images_,
           mutable_data<int64_t>(splits));
    return splits;
  }

  // `rows` of each image at most; see write_detections_kernel().
  void write(int64_t rows, const int64_t* splits, const Tensor& boxes, const Tensor& scores,
             int64_t* counts) const {
    launch(write_detections_kernel,
           dim3(blocks_for(std::max<int64_t>(rows, 1), kWriteThreads).x,
                static_cast<unsigned>(images_)),
           kWriteThreads, 0, stream_, lists_, sink_.margins, splits, rows,
           reinterpret_cast<StoredBox<float>*>(mutable_data<float>(boxes)),
           mutable_data<float>(scores), counts);
  }

  int64_t most_kept() const { return lists_.keep; }

 private:
  void allocate() {
    const int64_t anchors = images_ * grid_.num_anchors, rows = images_ * candidates_;
    const int64_t keep = std::min(call_.keep, candidates_);
    const auto progress = workspace_.add<Progress>(images_);
    const auto found = workspace_.add<unsigned>(images_);
    const auto entries = workspace_.add<NarrowEntry>(anchors);
    const auto found_boxes = workspace_.add<StoredBox<float>>(anchors);
    const auto boxes = workspace_.add<StoredBox<float>>(rows);
    const auto margins = workspace_.add<float>(rows);
    const auto owners = workspace_.add<int32_t>(rows);
    const auto sort_memory =
        workspace_.add<NarrowEntry>(images_ * s3fd::cuda::sort_memory<NarrowEntry>(candidates_));
    const auto overlaps = workspace_.add<uint64_t>(overlap_words(images_, candidates_));
    const auto kept = workspace_.add<int32_t>(images_ * keep);
    workspace_.allocate(call_.logits[0]);
    workspace_.clear(progress, found, stream_);
    found_ = {workspace_.at(found), workspace_.at(entries), workspace_.at(found_boxes),
              grid_.num_anchors};
    sink_ = {found_, candidates_, workspace_.at(boxes), workspace_.at(margins),
             workspace_.at(owners)};
    sort_memory_ = workspace_.at(sort_memory);
    lists_ = {sink_.boxes,
              nullptr,
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
    maps.is_clipped = call_.image_sizes.has_value();
    unsigned blocks = 0;
    for (int l = 0; l < grid_.num_levels; ++l) {
      const Tensor& logits = call_.logits[l];
      maps.levels[l] = {view4<T>(logits), view4<T>(call_.deltas[l]), blocks};
      blocks += blocks_for(grid_.levels[l].rows * grid_.levels[l].columns, kScanThreads).x;
    }
    const int64_t at_once = maps.is_clipped ? kMostImageSizes : images_;
    for (int64_t first = 0; first < images_; first += at_once) {
      const int64_t count = std::min(at_once, images_ - first);
      maps.first_image = static_cast<int>(first);
      for (int64_t i = 0; maps.is_clipped && i < count; ++i) {
        const int64_t* size = call_.image_sizes->data() + 2 * (first + i);
        maps.image_sizes[i] = {static_cast<float>(size[0]), static_cast<float>(size[1])};
      }
      launch(scan_maps_kernel<T>, dim3(blocks, static_cast<unsigned>(count)), kScanThreads, 0,
             stream_, maps);
    }
  }

  const DecodeCall& call_;
  DeviceGrid grid_;
  cudaStream_t stream_;
  int64_t images_, candidates_;
  Workspace workspace_;
  FoundLists found_;
  CandidateSink sink_;
  NarrowEntry* sort_memory_;
  GreedyLists<float> lists_;
};

// All detections in a row, and where those of each image begin.
std::tuple<Tensor, Tensor, Tensor> pack(const Detections& detections, const DecodeCall& call,
                                        cudaStream_t stream) {
  const Tensor& like = call.logits[0];
  Tensor splits = detections.splits();
  const int64_t total = read_back(data<int64_t>(splits) + call.num_images(), stream);
  Tensor boxes = empty({total, 4}, ScalarType::Float, like);
  Tensor scores = empty({total}, ScalarType::Float, like);
  if (total > 0) {
    detections.write(detections.most_kept(), data<int64_t>(splits), boxes, scores, nullptr);
  }
  return {boxes, scores, splits};
}

// As many rows for each image, those behind its detections 0, and how many it has.
std::tuple<Tensor, Tensor, Tensor> pack_padded(const Detections& detections,
                                               const DecodeCall& call) {
  const Tensor& like = call.logits[0];
  Tensor boxes = empty({call.num_images(), call.keep, 4}, ScalarType::Float, like);
  Tensor scores = empty({call.num_images(), call.keep}, ScalarType::Float, like);
  Tensor counts = empty({call.num_images()}, ScalarType::Long, like);
  // One row at least, for the counts.
  detections.write(call.keep, nullptr, boxes, scores, mutable_data<int64_t>(counts));
  return {boxes, scores, counts};
}

template <bool kPadded>
std::tuple<Tensor, Tensor, Tensor> decode_detections(const std::vector<Tensor>& logits,
                                                     const std::vector<Tensor>& deltas,
                                                     const std::vector<double>& grid, double margin,
                                                     double iou_threshold, int64_t candidates,
                                                     int64_t keep, const ImageSizes& image_sizes,
                                                     double centre_variance, double size_variance) {
  const DecodeCall call(logits, deltas, grid, margin, iou_threshold, candidates, keep, image_sizes,
                        centre_variance, size_variance);
  const OnDeviceOf device(logits[0]);
  const Detections detections(call, device.stream());
  return kPadded ? pack_padded(detections, call) : pack(detections, call, device.stream());
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  library.impl("decode_detections", TORCH_BOX(&s3fd::cuda::decode_detections<false>));
  library.impl("decode_detections_padded", TORCH_BOX(&s3fd::cuda::decode_detections<true>));
}
