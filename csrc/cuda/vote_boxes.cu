#include "cuda/vote_boxes.cuh"

#include <algorithm>
#include <tuple>

#include "cuda/primitives/host.h"
#include "shared/checks/nms.h"
#include "shared/threshold.h"

namespace s3fd::cuda {
namespace {

// Groups of boxes, in memory of their own.
struct Groups {
  explicit Groups(const RankedBoxes<float>& ranked, const Tensor& like)
      : members(workspace.add<NarrowEntry>(ranked.size)),
        memory(add_sort_memory<NarrowEntry>(workspace, 1, ranked.size)),
        begins(workspace.add<int32_t>(ranked.size)),
        count(workspace.add<int32_t>(1)) {
    workspace.allocate(like);
  }

  Workspace workspace;
  Workspace::Array<NarrowEntry> members;
  SortMemory memory;
  Workspace::Array<int32_t> begins, count;
};

Groups list_groups(const RankedBoxes<float>& ranked, const Tensor& scores, bool keep_single,
                   cudaStream_t stream) {
  Groups groups(ranked, scores);
  Workspace& workspace = groups.workspace;
  sort_lists(ByOwner{ranked.lists.owners, ranked.size}, EntrySink{workspace.at(groups.members)},
             workspace, groups.memory, 1, ranked.size, stream);
  dispatch_floating(scores.scalar_type(), "vote_boxes", [&]<typename S>() {
    launch(list_groups_kernel<S>, 1, kHeadThreads, 0, stream, workspace.at(groups.members),
           ranked.size, keep_single, data<S>(scores), scores.stride(0), workspace.at(groups.begins),
           workspace.at(groups.count));
  });
  return groups;
}

std::tuple<Tensor, Tensor> vote_boxes(const Tensor& boxes, const Tensor& scores,
                                      double iou_threshold, bool keep_single) {
  check_boxes_and_scores("vote_boxes", boxes, scores, kMostBoxes);
  const OnDeviceOf device(boxes);
  const int64_t size = boxes.size(0);
  if (size == 0) {
    return {empty({0, 4}, boxes.scalar_type(), boxes), empty({0}, scores.scalar_type(), scores)};
  }
  const cudaStream_t stream = device.stream();
  // Boxes that do not meet are not merged, whatever the threshold.
  const float highest_iou = std::max(0.0f, largest_below<float>(iou_threshold));
  RankAndSuppress<float, false> chain(boxes, scores, nullptr, highest_iou, size, stream);
  const RankedBoxes<float>& ranked = chain.result();
  Groups groups = list_groups(ranked, scores, keep_single, stream);
  Workspace& workspace = groups.workspace;
  const int64_t merged = read_back(workspace.at(groups.count), stream);
  STD_TORCH_CHECK(merged != kBadScores, "s3fd::vote_boxes: expected finite scores >= 0");
  Tensor mean_boxes = empty({merged, 4}, boxes.scalar_type(), boxes);
  Tensor best_scores = empty({merged}, scores.scalar_type(), scores);
  dispatch_floating(boxes.scalar_type(), "vote_boxes", [&]<typename T>() {
    dispatch_floating(scores.scalar_type(), "vote_boxes", [&]<typename S>() {
      launch(mean_boxes_kernel<T, S>, blocks_for(merged, kMeanWarps), kMeanThreads, 0, stream,
             given_boxes<T>(boxes), data<S>(scores), scores.stride(0), ranked.order,
             workspace.at(groups.members), size, workspace.at(groups.begins), merged,
             mutable_data<T>(mean_boxes), mutable_data<S>(best_scores));
    });
  });
  return {mean_boxes, best_scores};
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) { library.impl("vote_boxes", TORCH_BOX(&s3fd::cuda::vote_boxes)); }
