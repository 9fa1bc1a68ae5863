// What a call on a batch needs before its first kernel: memory that is 0, and where the rows of
// each image begin. The host knows these numbers, and they travel as a kernel's parameters: a copy
// from memory of the host would have to keep that memory, and a CUDA graph would copy at each
// replay what lies there by then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "cuda/primitives/grid_constant.h"
#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/workspace.h"

namespace s3fd::cuda {

constexpr int kPrepareThreads = 256;
// Numbers that fit into the parameters of a launch, which may have 4 KiB; more take more launches.
constexpr int kNumbersAtOnce = 480;
constexpr int kMostCleared = 4;

struct ClearedWords {
  uint32_t* first;
  int64_t size;
};

template <int kNumbers>
struct Preparation {
  int64_t numbers[kNumbers];
  int64_t* to;
  int num_numbers;
  ClearedWords cleared[kMostCleared];
};

template <int kNumbers>
__global__ void __launch_bounds__(kPrepareThreads)
    prepare_kernel(const S3FD_GRID_CONSTANT Preparation<kNumbers> preparation) {
  const int64_t i = int64_t{blockIdx.x} * kPrepareThreads + threadIdx.x;
  if (i < preparation.num_numbers) preparation.to[i] = preparation.numbers[i];
#pragma unroll
  for (const ClearedWords& words : preparation.cleared) {
    if (i < words.size) words.first[i] = 0;
  }
}

// Writes the numbers to the device, and 0 to all of the memory, whose sizes are multiples of 4.
inline void prepare(const std::vector<int64_t>& numbers, int64_t* to,
                    const std::vector<Workspace::Extent>& cleared, cudaStream_t stream) {
  STD_TORCH_CHECK(cleared.size() <= kMostCleared, "s3fd: too many arrays to clear at once");
  Preparation<kNumbersAtOnce> preparation{};
  int64_t most = 0;
  for (size_t i = 0; i < cleared.size(); ++i) {
    const int64_t words = cleared[i].bytes / int64_t{sizeof(uint32_t)};
    preparation.cleared[i] = {reinterpret_cast<uint32_t*>(cleared[i].address), words};
    most = std::max(most, words);
  }
  const auto size = static_cast<int64_t>(numbers.size());
  for (int64_t done = 0; done < size || most > 0; done += kNumbersAtOnce) {
    const int64_t count = std::clamp<int64_t>(size - done, 0, kNumbersAtOnce);
    std::copy_n(numbers.data() + std::min(done, size), count, preparation.numbers);
    preparation.to = to + done;
    preparation.num_numbers = static_cast<int>(count);
    launch(prepare_kernel<kNumbersAtOnce>, blocks_for(std::max(most, count), kPrepareThreads),
           kPrepareThreads, 0, stream, preparation);
    std::fill_n(preparation.cleared, kMostCleared, ClearedWords{});
    most = 0;
  }
}

// Where the rows of each image begin, as the parameter of a kernel with room for it.
struct SplitsArgument {
  static constexpr int kMost = 400;

  int64_t values[kMost];
  const int64_t* device;  // where all of them are if these are too many, null otherwise

  __device__ const int64_t* begin() const { return device == nullptr ? values : device; }
};

// Makes that argument, and owns the memory that many images take.
class SplitsOnDevice {
 public:
  SplitsOnDevice(const std::vector<int64_t>& splits, const Tensor& like, cudaStream_t stream) {
    const auto size = static_cast<int64_t>(splits.size());
    if (size <= SplitsArgument::kMost) {
      std::copy_n(splits.data(), size, argument_.values);
      return;
    }
    memory_ = empty({size}, ScalarType::Long, like);
    auto* device = mutable_data<int64_t>(*memory_);
    prepare(splits, device, {}, stream);
    argument_.device = device;
  }

  const SplitsArgument& argument() const { return argument_; }

 private:
  SplitsArgument argument_{};
  std::optional<Tensor> memory_;
};

}  // namespace s3fd::cuda
