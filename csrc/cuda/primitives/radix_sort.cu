#include "cuda/primitives/radix_sort.h"

#include <cub/device/device_radix_sort.cuh>

#include "cuda/primitives/launch.h"

namespace s3fd::cuda {
namespace {

constexpr int kKeyBits = 64;

// The only instantiation of CUB: with null for `temporary` it says how many bytes it needs.
void sort_pairs(void* temporary, size_t& bytes, cub::DoubleBuffer<uint64_t>& keys,
                cub::DoubleBuffer<uint32_t>& numbers, int64_t size, int first_bit,
                cudaStream_t stream) {
  STD_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(
      temporary, bytes, keys, numbers, static_cast<uint32_t>(size), first_bit, kKeyBits, stream));
}

}  // namespace

size_t radix_sort_bytes(int64_t size) {
  size_t bytes = 0;
  cub::DoubleBuffer<uint64_t> keys;
  cub::DoubleBuffer<uint32_t> numbers;
  sort_pairs(nullptr, bytes, keys, numbers, size, 0, nullptr);
  return bytes;
}

int radix_sort(void* temporary, size_t bytes, const RadixLists& lists, int64_t size, int first_bit,
               cudaStream_t stream) {
  cub::DoubleBuffer<uint64_t> keys(lists.keys[0], lists.keys[1]);
  cub::DoubleBuffer<uint32_t> numbers(lists.numbers[0], lists.numbers[1]);
  sort_pairs(temporary, bytes, keys, numbers, size, first_bit, stream);
  STD_TORCH_CHECK(keys.selector == numbers.selector, "s3fd: a sort that parts keys from numbers");
  return keys.selector;
}

}  // namespace s3fd::cuda
