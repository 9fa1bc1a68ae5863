// What a block has written and other blocks don't see yet, and what others have written and this
// block doesn't see yet. The first ends, word by word and in any order, at a fence at the latest;
// the second at a fence of this block.
//
// Memory holds what the block that runs sees: exchange() brings that in, and takes it away.
#pragma once

#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moment.h"
#include "order.h"

namespace s3fd::emulator {

class StoreBuffer {
 public:
  using Others = std::vector<StoreBuffer*>;

  // A thread of the block is about to write.
  void write(uintptr_t address, size_t bytes, const Moment& by, const Others& others,
             Order& order) {
    each_word(address, bytes, [&](uintptr_t place, unsigned mask) {
      see(place, mask);
      const auto found = unseen_.find(place);
      if (found != unseen_.end() && found->second.by.thread != by.thread) {
        publish(found->first, found->second, others, order);
        unseen_.erase(found);
      }
      Word& word = unseen_[place];
      take_from_memory(word, place, mask);
      word.by = by;
    });
  }

  // Memory itself is about to be changed, by an atomic operation of the block.
  void write_through(uintptr_t address, size_t bytes, const Others& others, Order& order) {
    each_word(address, bytes, [&](uintptr_t place, unsigned mask) {
      see(place, mask);
      const auto found = unseen_.find(place);
      if (found == unseen_.end()) return;
      publish(found->first, found->second, others, order);
      unseen_.erase(found);
    });
  }

  // Others see what was written before now, and the block sees what they have written.
  void fence(const Moment& now, const Others& others, Order& order) {
    std::erase_if(unseen_, [&](const auto& entry) {
      if (!entry.second.by.is_before(now)) return false;
      publish(entry.first, entry.second, others, order);
      return true;
    });
    for (auto& [place, word] : stale_) swap(word, place);
    stale_.clear();
  }

  // The block goes on, or stops.
  void exchange() {
    for (auto& [place, word] : stale_) swap(word, place);
    for (auto& [place, word] : unseen_) swap(word, place);
  }

  bool has_all_been_seen() const { return unseen_.empty(); }

  // While the block doesn't run: some, or all, of what it has written becomes visible.
  void drift(const Others& others, Order& order, bool all) {
    for (auto entry = unseen_.begin(); entry != unseen_.end();) {
      if (!all && !order.chance(16)) {
        ++entry;
        continue;
      }
      swap(entry->second, entry->first);
      publish(entry->first, entry->second, others, order);
      entry = unseen_.erase(entry);
    }
  }

 private:
  static constexpr size_t kWord = 4;

  // Bytes of a word, those of the mask, that are not what memory has.
  struct Word {
    unsigned mask = 0;
    unsigned char bytes[kWord] = {};
    Moment by;
  };

  template <typename Function>
  static void each_word(uintptr_t address, size_t bytes, const Function& function) {
    while (bytes > 0) {
      const uintptr_t place = address / kWord * kWord, first = address - place;
      const size_t count = bytes < kWord - first ? bytes : kWord - first;
      function(place, ((1u << count) - 1) << first);
      address += count;
      bytes -= count;
    }
  }

  static unsigned char* memory(uintptr_t place) { return reinterpret_cast<unsigned char*>(place); }

  static void swap(Word& word, uintptr_t place) {
    for (size_t i = 0; i < kWord; ++i) {
      if (word.mask >> i & 1) std::swap(word.bytes[i], memory(place)[i]);
    }
  }

  static void take_from_memory(Word& word, uintptr_t place, unsigned mask) {
    for (size_t i = 0; i < kWord; ++i) {
      if ((mask & ~word.mask) >> i & 1) word.bytes[i] = memory(place)[i];
    }
    word.mask |= mask;
  }

  // The block sees bytes as they are.
  void see(uintptr_t place, unsigned mask) {
    const auto found = stale_.find(place);
    if (found == stale_.end()) return;
    Word& word = found->second;
    for (size_t i = 0; i < kWord; ++i) {
      if ((mask & word.mask) >> i & 1) std::swap(word.bytes[i], memory(place)[i]);
    }
    word.mask &= ~mask;
    if (word.mask == 0) stale_.erase(found);
  }

  // Memory has what was written, `word` what was there before: some others go on seeing that.
  static void publish(uintptr_t place, const Word& word, const Others& others, Order& order) {
    for (StoreBuffer* other : others) {
      if (order.chance(2)) other->go_on_seeing(place, word);
    }
  }

  void go_on_seeing(uintptr_t place, const Word& old) {
    const auto own = unseen_.find(place);
    const auto held = stale_.find(place);
    unsigned mask = old.mask;
    if (own != unseen_.end()) mask &= ~own->second.mask;
    if (held != stale_.end()) mask &= ~held->second.mask;
    if (mask == 0) return;
    Word& word = stale_[place];
    for (size_t i = 0; i < kWord; ++i) {
      if (mask >> i & 1) word.bytes[i] = old.bytes[i];
    }
    word.mask |= mask;
  }

  std::unordered_map<uintptr_t, Word> unseen_, stale_;
};

}  // namespace s3fd::emulator
