// What the kernels of matching share: the sizes of their blocks, and the integers that claims are.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda/primitives/block.cuh"
#include "shared/geometry.h"

namespace s3fd::cuda {

// A box has a block: its windows hold one or two hundred anchors, as a rule.
constexpr int kMatchThreads = 128;
// And of those that look at each anchor for itself.
constexpr int kPlainThreads = 256;

// What atomics take; larger is better in all uses.
using Key = unsigned long long;

// The bits of a float that is not negative order as the numbers do. An IoU, at most 1, has 30.
constexpr int kIouBits = 30;

__device__ inline uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

}  // namespace s3fd::cuda
