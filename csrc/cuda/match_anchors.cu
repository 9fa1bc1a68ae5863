#include "cuda/match_anchors.cuh"

#include <vector>

#include "cuda/match_grid.cuh"
#include "cuda/match_list.cuh"
#include "cuda/match_ties.cuh"
#include "cuda/primitives/host.h"
#include "cuda/primitives/prepare.cuh"
#include "cuda/primitives/workspace.h"
#include "shared/operators/match_anchors.h"

namespace s3fd::cuda {
namespace {

// Claims name boxes and anchors by 32 bits, and a block's number is one of 31.
void check_sizes(int64_t boxes, int64_t regions, int64_t anchors) {
  constexpr int64_t kMost = 0x7fffffff;
  STD_TORCH_CHECK(boxes + regions <= kMost / kRegionBlocks && anchors <= kMost,
                  "s3fd::match: expected fewer than 2^31 anchors, and fewer than 2^29 boxes in a "
                  "batch, got ",
                  anchors, " and ", boxes + regions);
}

// In one stage; the largest IoU of each box and the output are 0.
template <typename Anchors>
void match_with_ties(const Anchors& anchors, const BoxBatch& boxes, const BoxBatch& regions,
                     float positive_iou, uint32_t* largest, const Tensor& matched,
                     cudaStream_t stream) {
  auto* cells = mutable_data<Key>(matched);
  launch(overlap_kernel<Anchors>, blocks_for(boxes.num_rows, 1), kMatchThreads, 0, stream, anchors,
         boxes, largest, cells);
  launch(promote_kernel<Anchors>, blocks_for(boxes.num_rows + kRegionBlocks * regions.num_rows, 1),
         kMatchThreads, 0, stream, anchors, boxes, regions, largest, cells);
  launch(settle_ties_kernel, blocks_for(matched.numel(), kPlainThreads), kPlainThreads, 0, stream,
         cells, matched.numel(), positive_iou);
}

template <typename Anchors>
Tensor match_batch(const Anchors& anchors, const MatchCall& call, cudaStream_t stream) {
  const Tensor& boxes = call.boxes;
  const MatchOptions& options = call.options;
  const int64_t images = call.num_images();
  check_sizes(boxes.size(0), call.num_regions(), anchors.size());
  Tensor matched = empty({images, anchors.size()}, ScalarType::Long, boxes);
  if (matched.numel() == 0) return matched;
  const bool compensates = options.top_n != 0 && !options.ties;
  Workspace workspace;
  const auto begins = workspace.add<int64_t>(2 * (images + 1));
  const auto largest = workspace.add<uint32_t>(options.ties ? boxes.size(0) : 0);
  const auto counts_of_boxes = workspace.add<int>(compensates ? boxes.size(0) : 0);
  const auto counts_of_images = workspace.add<int>(compensates ? images : 0);
  workspace.allocate(boxes);
  Splits all = call.splits;
  all.insert(all.end(), call.ignore_splits.begin(), call.ignore_splits.end());
  auto cleared = workspace.extents(largest, counts_of_images);
  cleared.push_back({static_cast<unsigned char*>(matched.mutable_data_ptr()),
                     matched.numel() * int64_t{sizeof(Key)}});
  prepare(all, workspace.at(begins), cleared, stream);
  const BoxBatch faces{data<Box<float>>(boxes), workspace.at(begins), boxes.size(0), images};
  const BoxBatch regions{data<Box<float>>(call.ignore), faces.splits + images + 1,
                         call.num_regions(), images};
  if (options.ties) {
    match_with_ties(anchors, faces, regions, options.positive_iou, workspace.at(largest), matched,
                    stream);
    return matched;
  }
  auto* cells = mutable_data<Key>(matched);
  MatchCounts counts{nullptr, nullptr};
  if (compensates) counts = {workspace.at(counts_of_boxes), workspace.at(counts_of_images)};
  const int64_t blocks = faces.num_rows + kRegionBlocks * regions.num_rows;
  launch(claim_kernel<Anchors>, blocks_for(blocks, 1), kMatchThreads, 0, stream, anchors, faces,
         regions, options, counts, cells);
  if (compensates) {
    launch(compensate_kernel<Anchors>, blocks_for(faces.num_rows, 1), kMatchThreads, 0, stream,
           anchors, faces, options, counts, cells);
  }
  launch(settle_kernel, blocks_for(matched.numel(), kPlainThreads), kPlainThreads, 0, stream, cells,
         matched.numel());
  return matched;
}

Tensor match_list(const Tensor& anchors, const MatchCall& call) {
  const OnDeviceOf device(anchors);
  const int64_t groups = ceil_divide(anchors.size(0), kGroup);
  const Tensor bounds = empty({groups, 6}, ScalarType::Float, anchors);
  const ListAnchors list(data<Box<float>>(anchors), anchors.size(0),
                         mutable_data<AnchorBounds>(bounds));
  launch(bound_groups_kernel, blocks_for(groups * kWarp, kPlainThreads), kPlainThreads, 0,
         device.stream(), list);
  return match_batch(list, call, device.stream());
}

Tensor match_levels(const std::vector<AnchorLevel>& levels, const MatchCall& call) {
  const OnDeviceOf device(call.boxes);
  return match_batch(GridAnchors(make_device_grid(levels)), call, device.stream());
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  s3fd::register_match_anchors<s3fd::cuda::match_list, s3fd::cuda::match_levels>(library);
}
