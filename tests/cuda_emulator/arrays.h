// Which memory of the device kernels may touch.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace s3fd::emulator {

class Arrays {
 public:
  // Whatever was there before is gone.
  void add(uintptr_t begin, size_t bytes, bool is_writable) {
    if (bytes == 0) return;
    auto next = arrays_.lower_bound(begin);
    if (next != arrays_.begin() && std::prev(next)->second.end > begin) --next;
    while (next != arrays_.end() && next->first < begin + bytes) next = arrays_.erase(next);
    arrays_[begin] = {begin + bytes, is_writable};
  }

  void clear() { arrays_.clear(); }

  // What is wrong with an access, or nothing.
  std::string problem(uintptr_t begin, size_t bytes, bool writes) const {
    const auto next = arrays_.upper_bound(begin);
    const bool is_inside = next != arrays_.begin() && begin + bytes <= std::prev(next)->second.end;
    if (is_inside && (std::prev(next)->second.is_writable || !writes)) return {};
    return std::to_string(bytes) + " bytes are " + (writes ? "written " : "read ") +
           (is_inside ? "in an array that is given to the kernel to read"
                      : "outside of all arrays");
  }

 private:
  struct Array {
    uintptr_t end;
    bool is_writable;
  };

  std::map<uintptr_t, Array> arrays_;  // by where they begin
};

}  // namespace s3fd::emulator
