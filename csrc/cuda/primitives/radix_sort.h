// Sorting of one long list by the digits of its keys. radix_sort.cu hands it to CUB, whose kernels
// need a GPU; tests/cuda_emulator/radix_sort.cpp has the same functions on the CPU, and stands in
// its place there.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace s3fd::cuda {

// A list of keys with a number each, and memory for a second one.
struct RadixLists {
  uint64_t* keys[2];
  uint32_t* numbers[2];
};

// Bytes of `temporary`, aligned to 256, that so many entries take, less than 2^31, on the current
// device.
size_t radix_sort_bytes(int64_t size);

// Sorts the first list by the bits of its keys from `first_bit` up; what is equal there stays in
// its order. Returns which of the lists is sorted then; the other one holds anything. Everything
// goes to the stream, and nothing waits.
int radix_sort(void* temporary, size_t bytes, const RadixLists& lists, int64_t size, int first_bit,
               cudaStream_t stream);

}  // namespace s3fd::cuda
