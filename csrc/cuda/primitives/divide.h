// Division of 64-bit numbers, which a GPU has no instruction for and takes about a hundred others.
#pragma once

#include <cstdint>

#include "shared/geometry.h"

namespace s3fd::cuda {

// a / b for a >= 0 and b > 0, several times faster where both fit into 32 bits.
S3FD_HOST_DEVICE inline int64_t divide(int64_t a, int64_t b) {
  if ((static_cast<uint64_t>(a | b) >> 32) == 0) {
    return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  }
  return a / b;
}

}  // namespace s3fd::cuda
