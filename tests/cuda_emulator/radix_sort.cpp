// In the place of csrc/cuda/primitives/radix_sort.cu, whose kernels are CUB's: the same sort by one
// thread of the emulator, so that the memory that it is given is watched, and its stream checked.

#include "cuda/primitives/radix_sort.h"

#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"

namespace s3fd::cuda {
namespace {

// Of 11 bits, so that four bytes take three passes, after which the second list is the sorted one.
constexpr int kDigitBits = 11, kDigits = 1 << kDigitBits, kKeyBits = 64;

void sort_by_digit_kernel(const uint64_t* keys, const uint32_t* numbers, uint64_t* sorted_keys,
                          uint32_t* sorted_numbers, int64_t size, int shift) {
  S3FD_SHARED(int64_t[kDigits], places);
  for (int digit = 0; digit < kDigits; ++digit) places[digit] = 0;
  const auto digit_of = [&](int64_t i) { return keys[i] >> shift & (kDigits - 1); };
  for (int64_t i = 0; i < size; ++i) ++places[digit_of(i)];
  int64_t before = 0;
  for (int digit = 0; digit < kDigits; ++digit) {
    const int64_t count = places[digit];
    places[digit] = before;
    before += count;
  }
  for (int64_t i = 0; i < size; ++i) {
    const int64_t place = places[digit_of(i)]++;
    sorted_keys[place] = keys[i];
    sorted_numbers[place] = numbers[i];
  }
}

}  // namespace

size_t radix_sort_bytes(int64_t size) { return 1000 + static_cast<size_t>(size) / 100; }

int radix_sort(void* temporary, size_t bytes, const RadixLists& lists, int64_t size, int first_bit,
               cudaStream_t stream) {
  STD_TORCH_CHECK(bytes >= radix_sort_bytes(size), "CUDA emulator: too little memory for a sort");
  STD_CUDA_CHECK(cudaMemsetAsync(temporary, 0x5a, bytes, stream));
  int sorted = 0;
  for (int shift = first_bit; shift < kKeyBits; shift += kDigitBits, sorted = 1 - sorted) {
    launch(sort_by_digit_kernel, 1, 1, 0, stream, lists.keys[sorted], lists.numbers[sorted],
           lists.keys[1 - sorted], lists.numbers[1 - sorted], size, shift);
  }
  return sorted;
}

}  // namespace s3fd::cuda
