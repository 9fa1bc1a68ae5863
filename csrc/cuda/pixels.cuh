// The pixels of a map [B, C, H, W], numbered by image, row and column.
#pragma once

#include <cstdint>

#include "cuda/launch.h"

namespace s3fd::cuda {

struct Pixel {
  int64_t image, row, column;
};

struct PixelNumbers {
  int64_t rows, columns;

  // Divisions of 32 bits take a fraction of the time of others, and serve nearly all maps.
  __device__ Pixel operator[](int64_t i) const {
    return (i | rows | columns) >> 32 == 0 ? split<uint32_t>(i) : split<int64_t>(i);
  }

 private:
  template <typename Index>
  __device__ Pixel split(int64_t i) const {
    const auto number = static_cast<Index>(i), width = static_cast<Index>(columns);
    const Index line = number / width, height = static_cast<Index>(rows);
    return {line / height, line % height, number % width};
  }
};

}  // namespace s3fd::cuda
