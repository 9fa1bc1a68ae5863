// When a thread did something, as far as that matters to the other threads of its block.
#pragma once

#include <cstdint>

namespace s3fd::emulator {

constexpr unsigned kLanes = 32;

struct Moment {
  unsigned thread = 0;      // its number in the block
  uint32_t epoch = 0;       // barriers of the block before
  uint32_t warp_epoch = 0;  // __syncwarp() of all lanes before; no other function orders memory
  uint64_t time = 0;        // accesses to memory before, of all threads

  unsigned warp() const { return thread / kLanes; }

  // Whether it was before what is done at another moment, or only happened to be.
  bool is_before(const Moment& other) const {
    return thread == other.thread || epoch < other.epoch ||
           (warp() == other.warp() && warp_epoch < other.warp_epoch);
  }
};

}  // namespace s3fd::emulator
