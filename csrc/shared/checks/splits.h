// Where the rows of each image begin, [B + 1] numbers that the host knows: what kernels ask of
// them.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace s3fd {

using Splits = std::vector<int64_t>;

inline void check_splits(const char* name, const Splits& splits, int64_t rows) {
  STD_TORCH_CHECK(!splits.empty() && splits.front() == 0 && splits.back() == rows &&
                      std::is_sorted(splits.begin(), splits.end()),
                  "s3fd::", name, ": expected splits that rise from 0 to the number of boxes");
}

}  // namespace s3fd
