// Where a GPU and its emulation part. tests/cuda_emulator/ has a header of this name with the same
// functions, under which the kernels of csrc/cuda, and the code that launches them, are compiled as
// plain C++ and run on the CPU; and a file in the place of radix_sort.cu, whose kernels are CUB's.
// Nothing else in csrc/cuda knows of it.
//
// What every file of csrc/cuda keeps to, so that both work:
//  - kernels are started with launch(), never with <<<>>>;
//  - shared memory is declared with S3FD_SHARED, or taken from dynamic_shared();
//  - no thread waits for another one but by __syncthreads() and by the functions of a warp that
//    take a mask; no block waits for another;
//  - memory on the device comes from empty() of shared/tensor.h, and from zeros() of
//    cuda/primitives/host.h.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <cassert>
#include <cstddef>
#include <string>
#include <type_traits>

// Registers the kernels of a file: S3FD_REGISTER_KERNELS(library) { library.impl(...); }
#define S3FD_REGISTER_KERNELS(library) STABLE_TORCH_LIBRARY_IMPL(s3fd, CUDA, library)

// A variable that the threads of a block share, for example S3FD_SHARED(float[kWarps], sums);
#define S3FD_SHARED(type, name) __shared__ std::type_identity_t<type> name

// Stops the kernel if something that memory depends on does not hold. The text is for whoever reads
// the error, which the host sees when it next waits for the device.
#define S3FD_DEVICE_CHECK(condition, text)                               \
  do {                                                                   \
    if (!(condition)) __assert_fail(text, __FILE__, __LINE__, __func__); \
  } while (false)

namespace s3fd::cuda {

// Shared memory of the size that launch() was given.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

// While it lives, the device of a tensor is the current one.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const torch::stable::Tensor& tensor)
      : index_(tensor.get_device_index()), guard_(index_) {}

  // The stream that torch uses on that device now.
  cudaStream_t stream() const {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index_, &stream));
    return static_cast<cudaStream_t>(stream);
  }

 private:
  int32_t index_;
  torch::stable::accelerator::DeviceGuard guard_;
};

// Starts a kernel; a grid without blocks starts nothing. shared_bytes: what dynamic_shared() has,
// at most the 48 KiB that every device gives.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            cudaStream_t stream, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  STD_CUDA_CHECK(cudaGetLastError());
}

}  // namespace s3fd::cuda
