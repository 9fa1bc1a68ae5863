// numpy arrays as the evaluation's functions take them. The checks here guard memory; what the
// arguments mean is written, and checked, in Python.
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace s3fd {

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

// Rows of several images: those of image i are rows splits[i] to splits[i + 1]. Row is a struct of
// numbers of one type, Value.
template <typename Row, typename Value>
class Ragged {
  static constexpr int64_t kColumns = sizeof(Row) / sizeof(Value);

 public:
  Ragged(const Array<Value>& rows, const Array<int64_t>& splits) {
    static_assert(sizeof(Row) == kColumns * sizeof(Value));
    if constexpr (kColumns == 1) {
      if (rows.ndim() != 1) throw std::invalid_argument("expected values [N]");
    } else if (rows.ndim() != 2 || rows.shape(1) != kColumns) {
      throw std::invalid_argument("expected rows [N, " + std::to_string(kColumns) + "]");
    }
    if (splits.ndim() != 1 || splits.size() == 0) {
      throw std::invalid_argument("splits: expected [B + 1]");
    }
    rows_ = {reinterpret_cast<const Row*>(rows.data()), size_t(rows.shape(0))};
    splits_ = {splits.data(), size_t(splits.size())};
    if (splits_.front() != 0 || splits_.back() != rows.shape(0)) {
      throw std::invalid_argument("splits: expected to start at 0 and to end at N");
    }
    for (size_t i = 1; i < splits_.size(); ++i) {
      if (splits_[i] < splits_[i - 1]) throw std::invalid_argument("splits: expected to rise");
    }
  }

  size_t images() const { return splits_.size() - 1; }
  size_t begin(size_t image) const { return size_t(splits_[image]); }
  std::span<const Row> operator[](size_t image) const {
    return rows_.subspan(begin(image), size_t(splits_[image + 1] - splits_[image]));
  }

 private:
  std::span<const Row> rows_;
  std::span<const int64_t> splits_;
};

}  // namespace s3fd
