// The orders that an emulated kernel can run in, and the garbage that its memory holds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace s3fd::emulator {

// Random numbers of a single word, SplitMix64's: they are drawn between any two switches of
// threads, and the state of std::mt19937 fills a sixth of the first cache.
class RandomNumbers {
 public:
  using result_type = uint64_t;

  explicit RandomNumbers(uint64_t seed) : state_(seed) {}

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return std::numeric_limits<uint64_t>::max(); }

  uint64_t operator()() {
    uint64_t word = state_ += 0x9e3779b97f4a7c15;
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
  }

  uint64_t below(uint32_t many) { return ((*this)() >> 32) * many >> 32; }

 private:
  uint64_t state_;
};

// In which order blocks, the warps of a block and the threads of a warp get their turn.
class Order {
 public:
  void set(const std::string& name) {
    const bool random = name.starts_with("random:");
    if (!random && name != "forward" && name != "reverse") {
      throw std::invalid_argument("order: expected forward, reverse or random:SEED, got " + name);
    }
    kind_ = random ? 'r' : name[0] == 'f' ? 'f' : 'b';
    numbers_ = RandomNumbers(random ? std::stoul(name.substr(7)) : 0);
  }

  template <typename T>
  void arrange(std::vector<T>& things) {
    if (kind_ == 'b') std::reverse(things.begin(), things.end());
    if (kind_ == 'r') std::shuffle(things.begin(), things.end(), numbers_);
  }

  // The warp that goes on: one, of those that can, often the one that did so last.
  size_t pick(const std::vector<size_t>& warps, size_t& last) {
    if (kind_ == 'r') {
      const bool goes_on = std::find(warps.begin(), warps.end(), last) != warps.end();
      if (!goes_on || chance(8)) last = warps[pick_of(warps.size())];
      return last;
    }
    return kind_ == 'f' ? warps.front() : warps.back();
  }

  bool is_random() const { return kind_ == 'r'; }

  // Whether something happens that has one chance in so many: never unless the order is random.
  bool chance(unsigned many) { return kind_ == 'r' && numbers_.below(many) == 0; }

  // One of so many things, the first unless the order is random.
  size_t pick_of(size_t many) {
    return kind_ == 'r' ? numbers_.below(static_cast<uint32_t>(many)) : 0;
  }

  // Another one in each order, so that what is read before it was written differs.
  void poison(void* memory, size_t bytes) {
    auto* byte = static_cast<unsigned char*>(memory);
    if (kind_ == 'r') {
      for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        const uint64_t word = numbers_();
        std::memcpy(byte + i, &word, std::min(sizeof(word), bytes - i));
      }
    } else {
      std::memset(memory, kind_ == 'f' ? 0xff : 0x5a, bytes);
    }
  }

 private:
  char kind_ = 'f';
  RandomNumbers numbers_{0};
};

}  // namespace s3fd::emulator
