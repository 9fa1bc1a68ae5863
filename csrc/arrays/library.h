// What s3fd/_arrays.py calls through ctypes: plain C, so that one library serves every Python.
// Arrays are numpy's; that file checks their shapes and splits before it passes pointers, and says
// what the functions mean. Each returns null, or what failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>

#ifdef _WIN32
#define S3FD_EXPORT extern "C" __declspec(dllexport)
#else
#define S3FD_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace s3fd {

// Rows of several images: those of image i are rows splits[i] to splits[i + 1].
struct RaggedArray {
  const void* rows;
  const int64_t* splits;
  int64_t images;
};

// The same, with rows of which the type is known: a struct of numbers.
template <typename Row>
class Ragged {
 public:
  explicit Ragged(const RaggedArray& array)
      : rows_(static_cast<const Row*>(array.rows)),
        splits_(array.splits),
        images_(size_t(array.images)) {}

  size_t images() const { return images_; }
  size_t begin(size_t image) const { return size_t(splits_[image]); }
  std::span<const Row> operator[](size_t image) const {
    return {rows_ + splits_[image], size_t(splits_[image + 1] - splits_[image])};
  }

 private:
  const Row* rows_;
  const int64_t* splits_;
  size_t images_;
};

// Calls `body`, and turns an exception, which can't leave C, into its text.
template <typename Body>
const char* run_guarded(const Body& body) {
  static thread_local std::string failure;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    failure = error.what();
    return failure.c_str();
  }
}

}  // namespace s3fd
