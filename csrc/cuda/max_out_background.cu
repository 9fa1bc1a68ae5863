#include "cuda/max_out_background.cuh"

#include <algorithm>

#include "cuda/primitives/host.h"
#include "shared/checks/max_out_background.h"
#include "shared/operators/differentiable.h"

namespace s3fd::cuda {
namespace {

Pixels pixels_of(const Tensor& map) {
  const int64_t per_image = map.size(2) * map.size(3);
  STD_TORCH_CHECK(per_image <= 0xffffffff - kMaxOutThreads,
                  "s3fd::max_out_background: an image has more than 2^32 - 257 pixels");
  return {static_cast<unsigned>(per_image), static_cast<unsigned>(map.size(3)), map.size(0)};
}

// A thread a pixel, and rows of blocks for the images, as many as a grid can have.
dim3 grid_for(const Pixels& pixels) {
  return dim3(blocks_for(pixels.per_image, kMaxOutThreads).x,
              static_cast<unsigned>(std::min<int64_t>(pixels.images, 65535)));
}

Tensor max_out_background(const Tensor& logits) {
  check_max_out_background(logits);
  const OnDeviceOf device(logits);
  Tensor output = empty_in_format_of(logits, 2);
  const Pixels pixels = pixels_of(logits);
  dispatch_floating(logits.scalar_type(), "max_out_background", [&]<typename T>() {
    launch(max_out_background_kernel<T>, grid_for(pixels), kMaxOutThreads, 0, device.stream(),
           view4<T>(logits), mutable_view4<T>(output), pixels, logits.size(1) - 1);
  });
  return output;
}

Tensor max_out_background_backward(const Tensor& gradient, const Tensor& logits) {
  check_max_out_background_backward(gradient, logits);
  const OnDeviceOf device(logits);
  Tensor of_logits = empty_in_format_of(logits, logits.size(1));
  const Pixels pixels = pixels_of(logits);
  dispatch_floating(logits.scalar_type(), "max_out_background_backward", [&]<typename T>() {
    launch(max_out_background_backward_kernel<T>, grid_for(pixels), kMaxOutThreads, 0,
           device.stream(), view4<T>(gradient), view4<T>(logits), mutable_view4<T>(of_logits),
           pixels, logits.size(1) - 1);
  });
  return of_logits;
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  s3fd::implement_differentiable(library, "max_out_background",
                                 TORCH_BOX(&s3fd::cuda::max_out_background));
  library.impl("max_out_background_backward", TORCH_BOX(&s3fd::cuda::max_out_background_backward));
}
