#include "cuda/nms.cuh"

#include <tuple>

#include "cuda/primitives/host.h"
#include "cuda/ranked_boxes.cuh"
#include "shared/checks/nms.h"
#include "shared/threshold.h"

namespace s3fd::cuda {
namespace {

template <typename T>
void write_indices(const RankedBoxes<T>& ranked, const Tensor& indices, int64_t* count,
                   cudaStream_t stream) {
  // One thread at least, for the count.
  launch(write_indices_kernel<T>, blocks_for(std::max<int64_t>(indices.size(0), 1), kIndexThreads),
         kIndexThreads, 0, stream, ranked.lists, ranked.order, mutable_data<int64_t>(indices),
         indices.size(0), count);
}

// Runs function(ranked boxes), with overlaps computed as the dtype of the boxes wants it.
template <bool kGrouped, typename Function>
auto with_suppressed(const Tensor& boxes, const Tensor& scores, const Tensor* groups,
                     double iou_threshold, int64_t keep, cudaStream_t stream,
                     const Function& function) {
  const auto run = [&]<typename T>() {
    RankAndSuppress<T, kGrouped> chain(boxes, scores, groups, largest_not_above<T>(iou_threshold),
                                       keep, stream);
    return function(chain.result());
  };
  return boxes.scalar_type() == ScalarType::Double ? run.template operator()<double>()
                                                   : run.template operator()<float>();
}

template <bool kGrouped>
Tensor indices_of_kept(const Tensor& boxes, const Tensor& scores, const Tensor* groups,
                       double iou_threshold) {
  const OnDeviceOf device(boxes);
  if (boxes.size(0) == 0) return empty({0}, ScalarType::Long, boxes);
  return with_suppressed<kGrouped>(boxes, scores, groups, iou_threshold, boxes.size(0),
                                   device.stream(), [&](const auto& ranked) {
                                     const int32_t kept = read_back(
                                         &ranked.lists.progress->kept_end, device.stream());
                                     Tensor indices = empty({kept}, ScalarType::Long, boxes);
                                     write_indices(ranked, indices, nullptr, device.stream());
                                     return indices;
                                   });
}

Tensor nms(const Tensor& boxes, const Tensor& scores, double iou_threshold) {
  check_boxes_and_scores("nms", boxes, scores, kMostBoxes);
  return indices_of_kept<false>(boxes, scores, nullptr, iou_threshold);
}

Tensor batched_nms(const Tensor& boxes, const Tensor& scores, const Tensor& groups,
                   double iou_threshold) {
  check_boxes_and_scores("batched_nms", boxes, scores, kMostBoxes);
  check_groups(groups, boxes);
  return indices_of_kept<true>(boxes, scores, &groups, iou_threshold);
}

std::tuple<Tensor, Tensor> nms_padded(const Tensor& boxes, const Tensor& scores,
                                      double iou_threshold, int64_t keep) {
  check_boxes_and_scores("nms_padded", boxes, scores, kMostBoxes);
  check_keep(keep);
  const OnDeviceOf device(boxes);
  Tensor indices = empty({keep}, ScalarType::Long, boxes);
  Tensor count = empty({}, ScalarType::Long, boxes);
  if (boxes.size(0) == 0 || keep == 0) {
    const auto bytes = static_cast<size_t>(keep) * sizeof(int64_t);
    if (bytes > 0) {  // -1
      STD_CUDA_CHECK(cudaMemsetAsync(indices.mutable_data_ptr(), 0xff, bytes, device.stream()));
    }
    STD_CUDA_CHECK(cudaMemsetAsync(count.mutable_data_ptr(), 0, sizeof(int64_t), device.stream()));
    return {indices, count};
  }
  with_suppressed<false>(
      boxes, scores, nullptr, iou_threshold, keep, device.stream(), [&](const auto& ranked) {
        write_indices(ranked, indices, mutable_data<int64_t>(count), device.stream());
      });
  return {indices, count};
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  library.impl("batched_nms", TORCH_BOX(&s3fd::cuda::batched_nms));
  library.impl("nms", TORCH_BOX(&s3fd::cuda::nms));
  library.impl("nms_padded", TORCH_BOX(&s3fd::cuda::nms_padded));
}
