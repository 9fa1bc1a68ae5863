// The memory of a chain of kernels in one allocation.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "cuda/primitives/host.h"

namespace s3fd::cuda {

// Whether every array is an allocation of its own, so that compute-sanitizer and AddressSanitizer
// see one that runs into the next: what S3FD_SEPARATE_ARRAYS=1 in the environment asks for.
inline bool arrays_are_separate() {
  static const bool separate = [] {
    const char* wish = std::getenv("S3FD_SEPARATE_ARRAYS");
    return wish != nullptr && std::string_view(wish) == "1";
  }();
  return separate;
}

// Arrays are added first and have an address once the memory is there:
//   Workspace workspace;
//   const auto order = workspace.add<int32_t>(n);
//   workspace.allocate(like);
//   int32_t* address = workspace.at(order);
class Workspace {
 public:
  template <typename T>
  struct Array {
    int index;
  };

  // Memory that an array, or several in a row, takes.
  struct Extent {
    unsigned char* address;
    int64_t bytes;
  };

  template <typename T>
  Array<T> add(int64_t size) {
    static_assert(alignof(T) <= kAlignment);
    STD_TORCH_CHECK(count_ < kMost, "s3fd: more than ", kMost, " arrays in one workspace");
    extents_[count_] = {nullptr, size * static_cast<int64_t>(sizeof(T))};
    return {count_++};
  }

  void allocate(const Tensor& like) {
    if (arrays_are_separate()) {
      for (int i = 0; i < count_; ++i) {
        extents_[i].address = allocate_bytes(extents_[i].bytes, like);
      }
      return;
    }
    int64_t bytes = 0;
    for (int i = 0; i < count_; ++i) bytes += padded(extents_[i].bytes);
    unsigned char* address = allocate_bytes(bytes, like);
    for (int i = 0; i < count_; ++i) {
      extents_[i].address = address;
      address += padded(extents_[i].bytes);
    }
  }

  template <typename T>
  T* at(const Array<T>& array) const {
    return reinterpret_cast<T*>(extents_[array.index].address);
  }

  // The memory of two arrays and of those added between them: one stretch, unless they are apart.
  template <typename T, typename U>
  std::vector<Extent> extents(const Array<T>& first, const Array<U>& last) const {
    if (arrays_are_separate()) {
      return {extents_.begin() + first.index, extents_.begin() + last.index + 1};
    }
    const Extent& end = extents_[last.index];
    unsigned char* begin = extents_[first.index].address;
    return {{begin, end.address + end.bytes - begin}};
  }

  // Sets every byte of these arrays to 0, on the stream.
  template <typename T, typename U>
  void clear(const Array<T>& first, const Array<U>& last, cudaStream_t stream) const {
    for (const Extent& extent : extents(first, last)) {
      if (extent.bytes == 0) continue;
      STD_CUDA_CHECK(cudaMemsetAsync(extent.address, 0, static_cast<size_t>(extent.bytes), stream));
    }
  }

 private:
  static constexpr int kMost = 24;
  static constexpr int64_t kAlignment = 256;

  static int64_t padded(int64_t bytes) { return ceil_divide(bytes, kAlignment) * kAlignment; }

  unsigned char* allocate_bytes(int64_t bytes, const Tensor& like) {
    memory_.push_back(empty({bytes}, ScalarType::Byte, like));
    return mutable_data<unsigned char>(memory_.back());
  }

  std::array<Extent, kMost> extents_{};
  int count_ = 0;
  std::vector<Tensor> memory_;
};

}  // namespace s3fd::cuda
