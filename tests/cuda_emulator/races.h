// Accesses to memory that nothing orders, found as they happen: what was read or written last of
// each word of four bytes, by whom and when.
//
// Threads of a block are ordered by its barriers, lanes of a warp by __syncwarp(). Blocks are
// ordered by nothing but a fence, an atomic operation behind it, another block's atomic operation
// on the same address later, and a fence of that block.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "moment.h"

namespace s3fd::emulator {

enum class Access { kRead, kWrite, kAtomic };

// What a block had put behind a fence when it did an atomic operation.
struct Release {
  uint64_t block;
  uint32_t epoch = 0;            // all that was before this one
  std::vector<uint64_t> fenced;  // and of each thread what was before a time

  bool covers(const Moment& moment) const {
    return moment.epoch < epoch ||
           (moment.thread < fenced.size() && moment.time < fenced[moment.thread]);
  }
};

// Releases at an address, in their order.
using Releases = std::vector<std::shared_ptr<const Release>>;

// The order between one block and the others.
class BlockOrder {
 public:
  void fence(const Moment& now) {
    if (fences_.size() <= now.thread) fences_.resize(now.thread + 1);
    fences_[now.thread] = now;
    for (const Observed& seen : observed_) {
      if (!seen.when.is_before(now)) continue;
      for (size_t i = 0; i < seen.count; ++i) {
        acquired_[(*seen.releases)[i]->block].push_back((*seen.releases)[i]);
      }
    }
    std::erase_if(observed_, [&](const Observed& seen) { return seen.when.is_before(now); });
  }

  void atomic(Releases& at_address, uint64_t block, const Moment& now) {
    if (!at_address.empty()) observed_.push_back({&at_address, at_address.size(), now});
    if (fences_.empty()) return;
    Release release{block, 0, std::vector<uint64_t>(fences_.size())};
    for (size_t thread = 0; thread < fences_.size(); ++thread) {
      const Moment& fenced = fences_[thread];
      if (fenced.time == 0 || !fenced.is_before(now)) continue;
      release.fenced[thread] = fenced.time;
      release.epoch = std::max(release.epoch, fenced.epoch);
    }
    at_address.push_back(std::make_shared<const Release>(std::move(release)));
  }

  bool has_seen(uint64_t block, const Moment& moment) const {
    const auto found = acquired_.find(block);
    if (found == acquired_.end()) return false;
    return std::any_of(found->second.begin(), found->second.end(),
                       [&](const auto& release) { return release->covers(moment); });
  }

 private:
  struct Observed {
    const Releases* releases;
    size_t count;
    Moment when;
  };

  std::vector<Moment> fences_;  // the last one of each thread
  std::vector<Observed> observed_;
  std::unordered_map<uint64_t, Releases> acquired_;
};

class Races {
 public:
  // The kernel before is over: it is ordered before everything that comes.
  void start() {
    ++launch_;
    releases_.clear();
  }

  // Memory that begins anew.
  void forget(uintptr_t begin, size_t bytes) {
    for (uintptr_t place = begin / kWord * kWord; place < begin + bytes; place += kWord) {
      cell_at(place) = {};
    }
  }

  // Where atomic operations of all blocks at an address meet.
  Releases& releases_at(uintptr_t address) { return releases_[address]; }

  // What is wrong with an access, or nothing.
  std::string note(Access access, uintptr_t address, size_t bytes, uint64_t block,
                   const Moment& now, const BlockOrder& order) {
    std::string wrong;
    while (bytes > 0) {
      const uintptr_t place = address / kWord * kWord, first = address - place;
      const size_t count = bytes < kWord - first ? bytes : kWord - first;
      const Record record{now, block, static_cast<uint8_t>(((1u << count) - 1) << first), access};
      Cell& cell = cell_at(place);
      if (wrong.empty()) wrong = conflict(cell, record, order);
      remember(cell, record);
      address += count;
      bytes -= count;
    }
    return wrong;
  }

 private:
  static constexpr size_t kWord = 4, kPage = 1024;

  struct Record {
    Moment when;
    uint64_t block = 0;
    uint8_t mask = 0;  // bytes of the word; none: there was no such access
    Access access = Access::kRead;
    bool by_threads = false, by_warps = false;  // by several, since the last barrier
  };

  struct Cell {
    Record write, read;
  };

  struct Page {
    uint64_t launch = 0;
    std::array<Cell, kPage> cells;
  };

  Cell& cell_at(uintptr_t place) {
    const uintptr_t number = place / kWord / kPage;
    if (number != last_number_ || last_ == nullptr) {
      auto& page = pages_[number];
      if (page == nullptr) page = std::make_unique<Page>();
      last_ = page.get();
      last_number_ = number;
    }
    if (last_->launch != launch_) {
      last_->cells.fill({});
      last_->launch = launch_;
    }
    return last_->cells[place / kWord % kPage];
  }

  static bool are_ordered(const Record& before, const Record& now, const BlockOrder& order) {
    if ((before.mask & now.mask) == 0) return true;
    if (before.access == Access::kAtomic && now.access == Access::kAtomic) return true;
    if (before.block != now.block) return order.has_seen(before.block, before.when);
    if (before.when.epoch < now.when.epoch) return true;
    if (before.by_warps) return false;
    if (!before.by_threads) return before.when.is_before(now.when);
    return before.when.warp() == now.when.warp() && before.when.warp_epoch < now.when.warp_epoch;
  }

  static std::string conflict(const Cell& cell, const Record& now, const BlockOrder& order) {
    const bool writes = now.access != Access::kRead;
    for (const Record* before : {&cell.write, writes ? &cell.read : nullptr}) {
      if (before == nullptr || are_ordered(*before, now, order)) continue;
      return "race: " + name_of(now) + " " + verb_of(now.access) + " what " + name_of(*before) +
             (before->access == Access::kRead ? " reads" : " writes") + ", and nothing orders them";
    }
    return {};
  }

  static void remember(Cell& cell, const Record& now) {
    if (now.access != Access::kRead) {
      cell.write = now;
      return;
    }
    Record& read = cell.read;
    // Reads that a __syncwarp() orders before this one need not be known any more.
    const bool is_ordered = !read.by_warps && read.when.warp() == now.when.warp() &&
                            read.when.warp_epoch < now.when.warp_epoch;
    const bool joins = read.mask == now.mask && read.block == now.block &&
                       read.when.epoch == now.when.epoch && !is_ordered;
    const bool by_threads = joins && (read.by_threads || read.when.thread != now.when.thread);
    const bool by_warps = joins && (read.by_warps || read.when.warp() != now.when.warp());
    read = now;
    read.by_threads = by_threads;
    read.by_warps = by_warps;
  }

  static std::string name_of(const Record& record) {
    return "thread " + std::to_string(record.when.thread) + " of block " +
           std::to_string(record.block);
  }

  static const char* verb_of(Access access) {
    constexpr const char* kVerbs[] = {"reads", "writes", "changes atomically"};
    return kVerbs[static_cast<int>(access)];
  }

  uint64_t launch_ = 0;
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  Page* last_ = nullptr;
  uintptr_t last_number_ = 0;
  std::map<uintptr_t, Releases> releases_;  // Releases keep their place
};

}  // namespace s3fd::emulator
