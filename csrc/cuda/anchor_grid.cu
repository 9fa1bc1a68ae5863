#include "cuda/anchor_grid.cuh"

#include <vector>

#include "cuda/primitives/host.h"

namespace s3fd::cuda {
namespace {

// `like` is an empty tensor: it brings the dtype and the device.
Tensor anchors(const Tensor& like, const std::vector<int64_t>& feature_sizes,
               const std::vector<double>& grid) {
  const DeviceGrid on_device = make_device_grid(make_levels(feature_sizes, grid));
  const OnDeviceOf device(like);
  Tensor output = empty({on_device.num_anchors, 4}, like.scalar_type(), like);
  dispatch_floating(like.scalar_type(), "anchors", [&]<typename T>() {
    launch(anchors_kernel<T>, blocks_for(on_device.num_anchors, kAnchorThreads), kAnchorThreads, 0,
           device.stream(), on_device, mutable_data<T>(output));
  });
  return output;
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) { library.impl("anchors", TORCH_BOX(&s3fd::cuda::anchors)); }
