// What the threads of one block share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "order.h"
#include "races.h"

namespace s3fd::emulator {

class SharedMemory {
 public:
  // For a kernel that is about to start.
  void resize(size_t dynamic_bytes) {
    variables_.clear();
    dynamic_ = std::make_unique_for_overwrite<unsigned char[]>(dynamic_bytes);
    dynamic_bytes_ = dynamic_bytes;
  }

  // For another block of the kernel: garbage, and nobody's.
  void begin_anew(Order& order, Races& races) {
    const auto clear = [&](unsigned char* memory, size_t bytes) {
      order.poison(memory, bytes);
      races.forget(reinterpret_cast<uintptr_t>(memory), bytes);
    };
    for (auto& [site, variable] : variables_) clear(variable.begin(), variable.bytes);
    clear(dynamic_.get(), dynamic_bytes_);
  }

  void* variable(const void* site, size_t bytes, size_t alignment, Order& order, Races& races) {
    Variable& found = variables_[site];
    if (found.memory == nullptr) {
      constexpr size_t kOfHeap = 16;  // what operator new aligns to
      found.offset = alignment < kOfHeap ? alignment : 0;
      found.bytes = bytes;
      found.memory = std::make_unique_for_overwrite<unsigned char[]>(found.offset + bytes);
      order.poison(found.begin(), bytes);
      races.forget(reinterpret_cast<uintptr_t>(found.begin()), bytes);
    }
    return found.begin();
  }

  unsigned char* dynamic() { return dynamic_.get(); }

  bool contains(const void* address, size_t bytes) const {
    const auto* begin = static_cast<const unsigned char*>(address);
    const auto is_in = [&](const unsigned char* memory, size_t size) {
      return begin >= memory && begin + bytes <= memory + size;
    };
    if (is_in(dynamic_.get(), dynamic_bytes_)) return true;
    for (const auto& [site, variable] : variables_) {
      if (is_in(variable.begin(), variable.bytes)) return true;
    }
    return false;
  }

 private:
  struct Variable {
    std::unique_ptr<unsigned char[]> memory;
    size_t offset, bytes;

    unsigned char* begin() const { return memory.get() + offset; }
  };

  std::map<const void*, Variable> variables_;  // by where they are declared
  std::unique_ptr<unsigned char[]> dynamic_;
  size_t dynamic_bytes_ = 0;
};

}  // namespace s3fd::emulator
