#include "emulator.h"

#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "block.h"
#include "cuda_runtime.h"
#include "fiber.h"
#include "order.h"

namespace s3fd::emulator {
namespace {

struct SharedVariable {
  std::unique_ptr<unsigned char[]> memory;
  size_t offset, size;
};

struct Protected {
  void* pages = nullptr;
  size_t bytes = 0;
};

struct State {
  State() {
    const char* name = std::getenv("S3FD_EMULATOR_ORDER");
    if (name != nullptr && *name != 0) order.set(name);
  }

  std::recursive_mutex mutex;  // one kernel at a time, whichever thread of the host starts it
  Order order;
  std::map<std::string, int64_t> counts;
  Fibers fibers;  // used again and again
  std::map<const void*, SharedVariable> shared;
  std::unique_ptr<unsigned char[]> dynamic;
  Protected guarded;
  int device_accesses = 0;
};

State& state() {
  static State* all = new State;  // outlives every other object that may still start a kernel
  return *all;
}

}  // namespace

void fail(const std::string& text, const std::source_location& where) {
  throw std::runtime_error("CUDA emulator: " + text + "\n    at " + at(where));
}

uint64_t meet(Collective collective, uint32_t mask, uint64_t value, int argument, int width,
              const std::source_location& where) {
  Fiber* self = running;
  if (self == nullptr) fail("a function of a kernel was called by the host", where);
  self->meeting = Meeting{collective, mask, value, argument, width, where};
  self->wait();
  return self->result;
}

void* shared_variable(const void* site, size_t bytes, size_t alignment) {
  auto& [memory, offset, size] = state().shared[site];
  if (memory == nullptr) {
    constexpr size_t kOfHeap = 16;  // what operator new aligns to
    offset = alignment < kOfHeap ? alignment : 0;
    size = bytes;
    memory = std::make_unique_for_overwrite<unsigned char[]>(offset + bytes);
    state().order.poison(memory.get() + offset, bytes);
  }
  return memory.get() + offset;
}

void* dynamic_shared_bytes() { return state().dynamic.get(); }

void count(const std::string& what) { ++state().counts[what]; }

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

void run(const char* kernel, Index3 grid, Index3 block, size_t shared_bytes,
         const std::function<void()>& body) {
  State& all = state();
  const std::scoped_lock lock(all.mutex);
  if (running != nullptr) throw std::logic_error("CUDA emulator: a kernel launches a kernel");
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
  all.dynamic = std::make_unique_for_overwrite<unsigned char[]>(shared_bytes);
  std::vector<uint64_t> blocks(uint64_t{grid.x} * grid.y * grid.z);
  for (uint64_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  all.order.arrange(blocks);
  for (const uint64_t i : blocks) {
    blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                static_cast<unsigned>(i / grid.x / grid.y)};
    for (auto& [site, variable] : all.shared) {
      all.order.poison(variable.memory.get() + variable.offset, variable.size);
    }
    all.order.poison(all.dynamic.get(), shared_bytes);
    Block threads_of_block(all.order, all.fibers, block, body);
    try {
      threads_of_block.run();
    } catch (...) {
      running = nullptr;
      threads_of_block.forget();
      all.shared.clear();
      throw;
    }
  }
  all.shared.clear();
}

}  // namespace s3fd::emulator

void s3fd_emulator_set_order(const char* order) { s3fd::emulator::state().order.set(order); }

void s3fd_emulator_reset_counts() { s3fd::emulator::state().counts.clear(); }

int64_t s3fd_emulator_count_of(const char* what) {
  const auto& counts = s3fd::emulator::state().counts;
  const auto found = counts.find(what);
  return found == counts.end() ? 0 : found->second;
}

void s3fd_emulator_protect(void* pages, size_t bytes) {
  auto& guarded = s3fd::emulator::state().guarded;
  if (guarded.bytes > 0) mprotect(guarded.pages, guarded.bytes, PROT_READ | PROT_WRITE);
  guarded = {pages, bytes};
  if (bytes > 0) mprotect(pages, bytes, PROT_NONE);
}
