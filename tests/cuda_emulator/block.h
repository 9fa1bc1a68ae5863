// The threads of an emulated block: who may go on, what those who meet exchange, and what is wrong
// when nobody can.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "emulator.h"
#include "fiber.h"
#include "order.h"
#include "races.h"
#include "shared_memory.h"
#include "store_buffer.h"

namespace s3fd::emulator {

using Fibers = std::vector<std::unique_ptr<Fiber>>;

inline std::string name_of(const uint3& index) {
  return "thread (" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ") of block (" + std::to_string(blockIdx.x) + ", " +
         std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
}

inline const char* name_of(Collective collective) {
  switch (collective) {
    case Collective::kSyncThreads:
      return "__syncthreads";
    case Collective::kSyncWarp:
      return "__syncwarp";
    case Collective::kBallot:
      return "__ballot_sync";
    case Collective::kMatchAny:
      return "__match_any_sync";
    default:
      return "__shfl_sync";
  }
}

// Where a block of a kernel has its threads and its memory; the next one uses them again.
struct Place {
  Fibers fibers;
  SharedMemory shared;
};

// The threads of one block, until all of them have exited.
class Block {
 public:
  Block(uint64_t number, uint3 index, Order& order, Place& place, Index3 size, const Body& body)
      : number(number), place(place), index_(index), order_(order) {
    for (unsigned z = 0; z < size.z; ++z) {
      for (unsigned y = 0; y < size.y; ++y) {
        for (unsigned x = 0; x < size.x; ++x) add({x, y, z}, body);
      }
    }
    left_ = threads_.size();
    ready_.resize((threads_.size() + kLanes - 1) / kLanes);
    for (size_t i = 0; i < threads_.size(); ++i) ready_[i / kLanes].push_back(threads_[i]);
  }

  // It gets its turn, and gives it away.
  void enter() {
    blockIdx = index_;
    seen.exchange();
  }
  void leave() { seen.exchange(); }

  // Some threads go on; false when all have exited.
  bool step() {
    warps_.clear();
    for (size_t warp = 0; warp < ready_.size(); ++warp) {
      if (!ready_[warp].empty()) warps_.push_back(warp);
    }
    if (!warps_.empty()) {
      run_warp(order_.pick(warps_, picked_));
    } else if (!release_barrier()) {
      explain_standstill();
    }
    return left_ > 0;
  }

  void forget() {
    for (Fiber* thread : threads_) thread->forget();
  }

  const uint64_t number;
  Place& place;
  StoreBuffer seen;
  BlockOrder behind;  // what of other blocks is behind it

 private:
  void add(uint3 index, const Body& body) {
    const size_t i = threads_.size();
    Fibers& fibers = place.fibers;
    if (i == fibers.size()) fibers.push_back(std::make_unique<Fiber>());
    threads_.push_back(fibers[i].get());
    threads_.back()->start(index, static_cast<unsigned>(i), &body);
  }

  // A warp that is picked goes on until it waits for the block, as long as no thread gives its turn
  // away: others may be far behind.
  void run_warp(size_t warp) {
    turn_.clear();
    turn_.swap(ready_[warp]);
    order_.arrange(turn_);
    Fiber::go_on(turn_);
    for (Fiber* thread : turn_) {
      if (thread->error) std::rethrow_exception(thread->error);
      if (thread->exited) {
        --left_;
      } else if (!thread->meeting) {
        ready_[warp].push_back(thread);
      }
    }
    release_warp(warp * kLanes, ready_[warp]);
  }

  static bool waits_for_block(const Fiber& thread) {
    return thread.meeting && thread.meeting->collective == Collective::kSyncThreads;
  }

  // Whether all threads wait at the same barrier.
  bool release_barrier() {
    const Fiber* first = nullptr;
    uint64_t total = 0;
    for (const Fiber* thread : threads_) {
      if (!waits_for_block(*thread)) return false;
      if (first == nullptr) first = thread;
      if (!same_place(*first->meeting, *thread->meeting)) return false;
      total += thread->meeting->value;
    }
    for (size_t i = 0; i < threads_.size(); ++i) {
      ++threads_[i]->moment.epoch;
      finish(threads_[i], total, ready_[i / kLanes]);
    }
    return true;
  }

  void release_warp(size_t first, std::vector<Fiber*>& released) {
    const size_t size = std::min<size_t>(kLanes, threads_.size() - first);
    for (size_t lane = 0; lane < size; ++lane) {
      const Fiber& thread = *threads_[first + lane];
      if (!thread.meeting || waits_for_block(thread)) continue;
      const uint32_t mask = thread.meeting->mask;
      if ((mask >> lane & 1) == 0) {
        fail("the mask of this thread does not name its own lane " + std::to_string(lane),
             thread.meeting->where);
      }
      bool complete = true;
      for (size_t other = 0; other < kLanes; ++other) {
        if ((mask >> other & 1) == 0) continue;
        if (other >= size) {
          fail("the mask names lane " + std::to_string(other) + ", which the block doesn't have",
               thread.meeting->where);
        }
        const Fiber& there = *threads_[first + other];
        if (there.exited) {
          fail("the mask names lane " + std::to_string(other) + ", which has exited",
               thread.meeting->where);
        }
        complete = complete && there.meeting && same_place(*thread.meeting, *there.meeting);
      }
      if (complete) exchange(first, mask, released);
    }
  }

  void exchange(size_t first, uint32_t mask, std::vector<Fiber*>& released) {
    Fiber* const* lanes = &threads_[first];
    // Nothing else orders memory, and this only where all lanes take part.
    if (mask == ~0u && lanes[0]->meeting->collective == Collective::kSyncWarp) {
      for (size_t lane = 0; lane < kLanes; ++lane) ++lanes[lane]->moment.warp_epoch;
    }
    std::array<uint64_t, kLanes> results;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (mask >> lane & 1) results[lane] = result_of(lanes, mask, static_cast<int>(lane));
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (mask >> lane & 1) finish(lanes[lane], results[lane], released);
    }
  }

  static uint64_t result_of(Fiber* const* lanes, uint32_t mask, int lane) {
    const Meeting& own = *lanes[lane]->meeting;
    const int begin = own.width > 0 ? lane / own.width * own.width : 0, end = begin + own.width;
    const auto value_of = [&](int source) {
      if ((mask >> source & 1) == 0) {
        fail("lane " + std::to_string(lane) + " takes a value from lane " + std::to_string(source) +
                 ", which is not in the mask",
             own.where);
      }
      return lanes[source]->meeting->value;
    };
    uint64_t counted = 0;
    switch (own.collective) {
      case Collective::kShuffle:
        return value_of(begin + (own.argument & (own.width - 1)));
      case Collective::kShuffleUp:
        return value_of(lane - own.argument < begin ? lane : lane - own.argument);
      case Collective::kShuffleDown:
        return value_of(lane + own.argument >= end ? lane : lane + own.argument);
      case Collective::kShuffleXor:
        return value_of((lane ^ own.argument) >= end ? lane : lane ^ own.argument);
      case Collective::kBallot:
      case Collective::kMatchAny:
        for (int other = 0; other < static_cast<int>(kLanes); ++other) {
          if ((mask >> other & 1) == 0) continue;
          const uint64_t value = lanes[other]->meeting->value;
          const bool counts =
              own.collective == Collective::kBallot ? value != 0 : value == own.value;
          counted |= uint64_t{counts} << other;
        }
        return counted;
      default:
        return 0;
    }
  }

  static void finish(Fiber* thread, uint64_t result, std::vector<Fiber*>& released) {
    thread->result = result;
    thread->meeting.reset();
    released.push_back(thread);
  }

  // No thread can go on: says why, with the first two that don't agree.
  [[noreturn]] void explain_standstill() const {
    const Fiber *waiting = nullptr, *exited = nullptr;
    for (const Fiber* thread : threads_) {
      if (thread->exited) {
        exited = thread;
      } else if (waiting == nullptr) {
        waiting = thread;
      }
    }
    const Meeting& there = *waiting->meeting;
    for (const Fiber* thread : threads_) {
      if (thread->meeting && !same_place(there, *thread->meeting)) {
        fail("divergence, or a deadlock: " + name_of(waiting->index) + " waits in " +
                 name_of(there.collective) + ", and " + name_of(thread->index) + " in " +
                 name_of(thread->meeting->collective) + " at " + at(thread->meeting->where),
             there.where);
      }
    }
    if (exited != nullptr) {
      fail("divergent barrier: " + name_of(waiting->index) + " waits in " +
               name_of(there.collective) + ", and " + name_of(exited->index) + " has exited",
           there.where);
    }
    fail("deadlock: " + name_of(waiting->index) + " waits in " + name_of(there.collective),
         there.where);
  }

  uint3 index_;
  Order& order_;
  std::vector<Fiber*> threads_;
  std::vector<std::vector<Fiber*>> ready_;  // of each warp, the threads that can go on
  std::vector<Fiber*> turn_;                // those that go on
  std::vector<size_t> warps_;               // that have any of them
  size_t left_ = 0;
  size_t picked_ = 0;  // the warp that went on last
};

}  // namespace s3fd::emulator
