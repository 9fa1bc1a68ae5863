// The orders that an emulated kernel can run in, and the garbage that its memory holds.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace s3fd::emulator {

// In which order blocks, the warps of a block and the threads of a warp get their turn.
class Order {
 public:
  void set(const std::string& name) {
    const bool random = name.starts_with("random:");
    if (!random && name != "forward" && name != "reverse") {
      throw std::invalid_argument("order: expected forward, reverse or random:SEED, got " + name);
    }
    kind_ = random ? 'r' : name[0] == 'f' ? 'f' : 'b';
    engine_.seed(random ? std::stoul(name.substr(7)) : 0);
  }

  template <typename T>
  void arrange(std::vector<T>& things) {
    if (kind_ == 'b') std::reverse(things.begin(), things.end());
    if (kind_ == 'r') std::shuffle(things.begin(), things.end(), engine_);
  }

  // The warp that goes on: one, of those that can, often the one that did so last.
  size_t pick(const std::vector<size_t>& warps, size_t& last) {
    if (kind_ == 'r') {
      const bool goes_on = std::find(warps.begin(), warps.end(), last) != warps.end();
      if (!goes_on || engine_() % 8 == 0) last = warps[engine_() % warps.size()];
      return last;
    }
    return kind_ == 'f' ? warps.front() : warps.back();
  }

  bool is_random() const { return kind_ == 'r'; }

  // Whether something happens that has one chance in so many: never unless the order is random.
  bool chance(unsigned many) { return kind_ == 'r' && engine_() % many == 0; }

  // One of so many things, the first unless the order is random.
  size_t pick_of(size_t many) { return kind_ == 'r' ? engine_() % many : 0; }

  // Another one in each order, so that what is read before it was written differs.
  void poison(void* memory, size_t bytes) {
    auto* byte = static_cast<unsigned char*>(memory);
    if (kind_ == 'r') {
      for (size_t i = 0; i < bytes; ++i) byte[i] = static_cast<unsigned char>(engine_());
    } else {
      std::memset(memory, kind_ == 'f' ? 0xff : 0x5a, bytes);
    }
  }

 private:
  char kind_ = 'f';
  std::mt19937 engine_;
};

}  // namespace s3fd::emulator
