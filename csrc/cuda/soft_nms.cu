#include "cuda/soft_nms.cuh"

#include <tuple>

#include "cuda/primitives/host.h"
#include "cuda/primitives/workspace.h"
#include "shared/checks/nms.h"

namespace s3fd::cuda {
namespace {

SoftLists store(Workspace& workspace, const Tensor& boxes, const Tensor& scores,
                cudaStream_t stream) {
  const int64_t size = boxes.size(0);
  const auto stored = workspace.add<StoredBox<float>>(size);
  const auto left = workspace.add<double>(size);
  const auto taken = workspace.add<int32_t>(size);
  const auto at = workspace.add<double>(size);
  const auto count = workspace.add<int32_t>(1);
  workspace.allocate(boxes);
  const SoftLists lists{workspace.at(stored), workspace.at(left), size,
                        workspace.at(taken),  workspace.at(at),   workspace.at(count)};
  dispatch_floating(boxes.scalar_type(), "soft_nms", [&]<typename T>() {
    dispatch_floating(scores.scalar_type(), "soft_nms", [&]<typename S>() {
      launch(store_boxes_kernel<T, S>, blocks_for(size, kSoftThreads), kSoftThreads, 0, stream,
             given_boxes<T>(boxes), data<S>(scores), scores.stride(0), lists);
    });
  });
  return lists;
}

template <bool kGaussian>
void take_out(const SoftLists& lists, const ScoreDecay<kGaussian>& decay, double score_threshold,
              cudaStream_t stream) {
  if (lists.size <= kFewSoftBoxes) {
    launch(soft_nms_kernel<kFewSoftThreads, kGaussian>, 1, kFewSoftThreads, 0, stream, lists, decay,
           score_threshold);
  } else {
    launch(soft_nms_kernel<kManySoftThreads, kGaussian>, 1, kManySoftThreads, 0, stream, lists,
           decay, score_threshold);
  }
}

std::tuple<Tensor, Tensor> soft_nms(const Tensor& boxes, const Tensor& scores, bool gaussian,
                                    double sigma, double iou_threshold, double score_threshold) {
  check_boxes_and_scores("soft_nms", boxes, scores, kMostBoxes);
  const OnDeviceOf device(boxes);
  const cudaStream_t stream = device.stream();
  if (boxes.size(0) == 0) {
    return {empty({0}, ScalarType::Long, boxes), empty({0}, scores.scalar_type(), scores)};
  }
  Workspace workspace;
  const SoftLists lists = store(workspace, boxes, scores, stream);
  if (gaussian) {
    take_out(lists, ScoreDecay<true>::of(sigma, iou_threshold), score_threshold, stream);
  } else {
    take_out(lists, ScoreDecay<false>::of(sigma, iou_threshold), score_threshold, stream);
  }
  const int64_t count = read_back(lists.count, stream);
  STD_TORCH_CHECK(count != kNoWeights, "s3fd::soft_nms: expected finite scores >= 0");
  Tensor indices = empty({count}, ScalarType::Long, boxes);
  Tensor decayed = empty({count}, scores.scalar_type(), scores);
  dispatch_floating(scores.scalar_type(), "soft_nms", [&]<typename S>() {
    launch(write_taken_kernel<S>, blocks_for(count, kSoftThreads), kSoftThreads, 0, stream, lists,
           count, mutable_data<int64_t>(indices), mutable_data<S>(decayed));
  });
  return {indices, decayed};
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) { library.impl("soft_nms", TORCH_BOX(&s3fd::cuda::soft_nms)); }
