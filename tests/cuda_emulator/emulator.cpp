#include "emulator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "arrays.h"
#include "block.h"
#include "cuda_runtime.h"
#include "fiber.h"
#include "order.h"
#include "races.h"
#include "store_buffer.h"
#include "watch.h"

// What the linker calls the ends of this library.
extern "C" const char __ehdr_start __attribute__((visibility("hidden")));
extern "C" const char _end __attribute__((visibility("hidden")));

namespace s3fd::emulator {
namespace {

// Blocks that take turns in a random order; otherwise one goes after the other.
constexpr size_t kBlocksAtOnce = 3;

struct Protected {
  void* pages = nullptr;
  size_t bytes = 0;
};

// A copy to the host that has not been waited for.
struct Copy {
  void* to;
  std::vector<unsigned char> bytes;
};

struct State {
  State() {
    const char* name = std::getenv("S3FD_EMULATOR_ORDER");
    if (name != nullptr && *name != 0) order.set(name);
  }

  std::recursive_mutex mutex;  // one kernel at a time, whichever thread of the host starts it
  Order order;
  std::map<std::string, int64_t> counts;
  Place places[kBlocksAtOnce];                 // used again and again
  Block* block = nullptr;                      // whose turn it is
  std::vector<std::unique_ptr<Block>> blocks;  // that have begun
  Races races;
  Arrays arrays;
  bool are_arrays_known = false;
  uint64_t time = 0;
  int on_device = 0;
  std::vector<Copy> copies;
  Protected guarded;
  int device_accesses = 0;
};

State& state() {
  static State* all = new State;  // outlives every other object that may still start a kernel
  return *all;
}

[[noreturn]] void refuse(const std::string& text) {
  throw std::runtime_error("CUDA emulator: " + text);
}

// What is asked of the device has to be asked of the one that the tensors are on, and of the stream
// that torch's other work is in.
void check_place(const std::string& what, const void* stream) {
  if (state().on_device == 0) refuse(what + " goes to another device than the tensors'");
  if (stream != current_stream()) refuse(what + " goes to another stream than torch's current one");
}

StoreBuffer::Others others_of(const StoreBuffer& own) {
  StoreBuffer::Others others;
  for (const auto& block : state().blocks) {
    if (&block->seen != &own) others.push_back(&block->seen);
  }
  return others;
}

bool is_of_library(const void* address) { return address >= &__ehdr_start && address < &_end; }

// Another thread may go on first, with one chance in so many.
void give_turn_away(unsigned many) {
  if (state().order.chance(many)) running->wait();
}

// What a thread did is noted, and what is wrong with it stops the kernel.
void note(Access access, const volatile void* memory, size_t bytes, bool is_shared,
          const void* code) {
  State& all = state();
  const auto address = reinterpret_cast<uintptr_t>(memory);
  running->moment.time = ++all.time;
  std::string wrong;
  if (!is_shared && all.are_arrays_known) {
    wrong = all.arrays.problem(address, bytes, access != Access::kRead);
  }
  if (wrong.empty()) {
    wrong = all.races.note(access, address, bytes, all.block->number, running->moment,
                           all.block->behind);
  }
  if (!wrong.empty()) stop(wrong, place_of(code));
}

// The blocks of a kernel that have begun and not all of which have exited.
class Grid {
 public:
  Grid(Index3 size, Index3 block, size_t shared_bytes, const Body& body)
      : size_(size), block_(block), body_(body), numbers_(uint64_t{size.x} * size.y * size.z) {
    for (uint64_t i = 0; i < numbers_.size(); ++i) numbers_[i] = i;
    all_.order.arrange(numbers_);
    for (Place& place : all_.places) {
      place.shared.resize(shared_bytes);
      free_.push_back(&place);
    }
    if (!all_.order.is_random()) free_.resize(1);
    all_.races.start();
  }

  ~Grid() {
    running = nullptr;
    for (const auto& block : all_.blocks) block->forget();
    all_.blocks.clear();
    all_.block = nullptr;
    for (Place& place : all_.places) place.shared.resize(0);
  }

  void run() {
    while (begin_blocks()) {
      const size_t i = all_.order.pick_of(all_.blocks.size());
      if (!run_for_a_while(*all_.blocks[i])) end_block(i);
      let_writes_be_seen(false);
    }
    let_writes_be_seen(true);
  }

 private:
  // As many as there is room for; false if none is left.
  bool begin_blocks() {
    while (begun_ < numbers_.size() && !free_.empty()) {
      const uint64_t number = numbers_[begun_++];
      Place& place = *free_.back();
      free_.pop_back();
      place.shared.begin_anew(all_.order, all_.races);
      const uint3 index = {static_cast<unsigned>(number % size_.x),
                           static_cast<unsigned>(number / size_.x % size_.y),
                           static_cast<unsigned>(number / size_.x / size_.y)};
      all_.blocks.push_back(
          std::make_unique<Block>(number, index, all_.order, place, block_, body_));
    }
    return !all_.blocks.empty();
  }

  // Whether any of its threads is left.
  bool run_for_a_while(Block& block) {
    all_.block = &block;
    block.enter();
    bool goes_on = block.step();
    while (goes_on && !all_.order.chance(4)) goes_on = block.step();
    block.leave();
    return goes_on;
  }

  void end_block(size_t i) {
    free_.push_back(&all_.blocks[i]->place);
    ended_.push_back(std::move(all_.blocks[i]->seen));
    all_.blocks.erase(all_.blocks.begin() + static_cast<std::ptrdiff_t>(i));
  }

  // Some writes, also of blocks that have ended, reach the others.
  void let_writes_be_seen(bool all) {
    for (const auto& block : all_.blocks) {
      block->seen.drift(others_of(block->seen), all_.order, all);
    }
    for (StoreBuffer& seen : ended_) seen.drift(others_of(seen), all_.order, all);
    std::erase_if(ended_, [](const StoreBuffer& seen) { return seen.has_all_been_seen(); });
  }

  State& all_ = state();
  Index3 size_, block_;
  const Body& body_;
  std::vector<uint64_t> numbers_;  // of the blocks, in the order in which they begin
  size_t begun_ = 0;
  std::vector<Place*> free_;
  std::vector<StoreBuffer> ended_;  // what ended blocks have written and not all others see
};

}  // namespace

void fail(const std::string& text, const std::source_location& where) {
  throw std::runtime_error("CUDA emulator: " + text + "\n    at " + at(where));
}

void stop(const std::string& text, const std::string& where) {
  const std::runtime_error error("CUDA emulator: " + text + "\n    at " + where);
  if (running == nullptr) throw error;
  running->stop(std::make_exception_ptr(error));
}

uint64_t meet(Collective collective, uint32_t mask, uint64_t value, int argument, int width,
              const std::source_location& where) {
  Fiber* self = running;
  if (self == nullptr) fail("a function of a kernel was called by the host", where);
  self->meeting = Meeting{collective, mask, value, argument, width, where};
  self->wait();
  return self->result;
}

void accessed(Access access, const volatile void* address, size_t bytes, const void* code) {
  Fiber* self = running;
  const void* memory = const_cast<const void*>(address);
  if (self == nullptr || self->owns(memory)) return;
  State& all = state();
  const bool is_shared = all.block->place.shared.contains(memory, bytes);
  if (!is_shared && is_of_library(memory)) return;
  give_turn_away(is_shared ? 32 : 8);
  note(access, address, bytes, is_shared, code);
  if (access == Access::kWrite && !is_shared) {
    StoreBuffer& own = all.block->seen;
    own.write(reinterpret_cast<uintptr_t>(memory), bytes, self->moment, others_of(own), all.order);
  }
}

void before_atomic(void* memory, size_t bytes) {
  State& all = state();
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const bool is_shared = all.block->place.shared.contains(memory, bytes);
  give_turn_away(2);
  note(Access::kAtomic, memory, bytes, is_shared, __builtin_return_address(0));
  if (is_shared) return;
  Block& block = *all.block;
  block.seen.write_through(address, bytes, others_of(block.seen), all.order);
  block.behind.atomic(all.races.releases_at(address), block.number, running->moment);
}

void after_atomic() { give_turn_away(2); }

void fence() {
  Block& block = *state().block;
  running->moment.time = ++state().time;
  block.seen.fence(running->moment, others_of(block.seen), state().order);
  block.behind.fence(running->moment);
}

void* shared_variable(const void* site, size_t bytes, size_t alignment) {
  State& all = state();
  return all.block->place.shared.variable(site, bytes, alignment, all.order, all.races);
}

void* dynamic_shared_bytes() { return state().block->place.shared.dynamic(); }

void count(const std::string& what) { ++state().counts[what]; }

OnDevice::OnDevice() { ++state().on_device; }

OnDevice::~OnDevice() {
  if (--state().on_device == 0) state().copies.clear();
}

void* current_stream() {
  static char stream;
  return &stream;
}

void set_bytes(void* address, int value, size_t bytes, const void* stream) {
  check_place("cudaMemsetAsync", stream);
  State& all = state();
  if (all.are_arrays_known) {
    const auto begin = reinterpret_cast<uintptr_t>(address);
    const std::string wrong = all.arrays.problem(begin, bytes, true);
    if (!wrong.empty()) refuse("cudaMemsetAsync: " + wrong);
  }
  count("memsets");
  const DeviceAccess access;
  std::memset(address, value, bytes);
}

void copy_bytes(void* to, const void* from, size_t bytes, bool to_host, const void* stream) {
  check_place("cudaMemcpyAsync", stream);
  count("copies");
  const DeviceAccess access;
  if (to_host) {
    const auto* begin = static_cast<const unsigned char*>(from);
    state().copies.push_back({to, {begin, begin + bytes}});
    std::memset(to, 0xa5, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

void synchronise(const void* stream) {
  check_place("cudaStreamSynchronize", stream);
  count("synchronisations");
  for (const Copy& copy : state().copies)
    std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
  state().copies.clear();
}

void allocated(void* address, size_t bytes) {
  count("allocations");
  state().arrays.add(reinterpret_cast<uintptr_t>(address), bytes, true);
  state().order.poison(address, bytes);
}

DeviceAccess::DeviceAccess() {
  const Protected& pages = state().guarded;
  if (state().device_accesses++ == 0 && pages.bytes > 0) {
    mprotect(pages.pages, pages.bytes, PROT_READ | PROT_WRITE);
  }
}

DeviceAccess::~DeviceAccess() {
  const Protected& pages = state().guarded;
  if (--state().device_accesses == 0 && pages.bytes > 0) {
    mprotect(pages.pages, pages.bytes, PROT_NONE);
  }
}

void run(const char* kernel, Index3 grid, Index3 block, size_t shared_bytes, const void* stream,
         const Body& body) {
  const std::scoped_lock lock(state().mutex);
  if (running != nullptr) throw std::logic_error("CUDA emulator: a kernel launches a kernel");
  check_place(kernel, stream);
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535 || shared_bytes > 48 * 1024) {
    throw std::invalid_argument(std::string("CUDA emulator: no device starts such a grid: ") +
                                kernel);
  }
  count("launches");
  const DeviceAccess access;
  gridDim = {grid.x, grid.y, grid.z};
  blockDim = {block.x, block.y, block.z};
  Grid(grid, block, shared_bytes, body).run();
}

}  // namespace s3fd::emulator

void s3fd_emulator_set_order(const char* order) { s3fd::emulator::state().order.set(order); }

void s3fd_emulator_reset_counts() { s3fd::emulator::state().counts.clear(); }

int64_t s3fd_emulator_count_of(const char* what) {
  const auto& counts = s3fd::emulator::state().counts;
  const auto found = counts.find(what);
  return found == counts.end() ? 0 : found->second;
}

void s3fd_emulator_add_array(void* address, size_t bytes) {
  s3fd::emulator::state().arrays.add(reinterpret_cast<uintptr_t>(address), bytes, false);
  s3fd::emulator::state().are_arrays_known = true;
}

void s3fd_emulator_forget_arrays() {
  s3fd::emulator::state().arrays.clear();
  s3fd::emulator::state().are_arrays_known = false;
}

void s3fd_emulator_protect(void* pages, size_t bytes) {
  auto& guarded = s3fd::emulator::state().guarded;
  if (guarded.bytes > 0) mprotect(guarded.pages, guarded.bytes, PROT_READ | PROT_WRITE);
  guarded = {pages, bytes};
  if (bytes > 0) mprotect(pages, bytes, PROT_NONE);
}
