// csrc/cuda/primitives/launch.h for the emulator: the same names, so that everything else in
// csrc/cuda is compiled as it is. The kernels take tensors on the CPU, in the place of those for
// CUDA: tests/helpers/kernel_bridge.py calls them.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/tensor.h>

#include <cstddef>
#include <stdexcept>
#include <type_traits>

#define S3FD_REGISTER_KERNELS(library) STABLE_TORCH_LIBRARY_IMPL(s3fd, CUDA, library)

#define S3FD_SHARED(type, name)                           \
  static const char name##_site = 0;                      \
  auto& name = *static_cast<std::type_identity_t<type>*>( \
      s3fd::emulator::shared_variable(&name##_site, sizeof(type), alignof(type)))

#define S3FD_DEVICE_CHECK(condition, text)                                         \
  do {                                                                             \
    if (!(condition)) s3fd::emulator::fail(text, std::source_location::current()); \
  } while (false)

#undef STD_CUDA_CHECK
#define STD_CUDA_CHECK(call)                                                      \
  do {                                                                            \
    if ((call) != cudaSuccess) throw std::runtime_error("emulated call: " #call); \
  } while (false)

namespace s3fd::cuda {

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(s3fd::emulator::dynamic_shared_bytes());
}

class OnDeviceOf {
 public:
  explicit OnDeviceOf(const torch::stable::Tensor&) {}
  cudaStream_t stream() const { return emulator::current_stream(); }

 private:
  emulator::OnDevice device_;
};

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            cudaStream_t stream, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "more than all drivers pass to a kernel");
  const auto start = [&]() S3FD_UNWATCHED { kernel(static_cast<Parameters>(arguments)...); };
  const auto start_with = [](const void* that)
                              S3FD_UNWATCHED { (*static_cast<decltype(start)*>(that))(); };
  emulator::run(__PRETTY_FUNCTION__, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z},
                shared_bytes, stream, {start_with, &start});
}

}  // namespace s3fd::cuda
