#include "emulator.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define S3FD_ASAN 1
#include <sanitizer/common_interface_defs.h>
#endif

namespace s3fd::emulator {
namespace {

constexpr size_t kStackBytes = 256 * 1024;
constexpr unsigned kLanes = 32;

struct Meeting {
  Collective collective;
  uint32_t mask;
  uint64_t value;
  int argument, width;
  std::source_location where;
};

std::string at(const std::source_location& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

bool same_place(const Meeting& a, const Meeting& b) {
  return a.collective == b.collective && a.mask == b.mask && a.where.line() == b.where.line() &&
         std::strcmp(a.where.file_name(), b.where.file_name()) == 0;
}

class Fiber;
Fiber* running = nullptr;

// Control goes back and forth between the scheduler and one fiber.
class Fiber {
 public:
  Fiber() : stack_(map_stack()) {}
  ~Fiber() { munmap(stack_, kStackBytes); }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void start(uint3 thread, const std::function<void()>* body) {
    index = thread;
    body_ = body;
    exited = false;
    meeting.reset();
    error = nullptr;
  }

  // Runs until the thread exits, or waits.
  void go_on() {
    running = this;
    threadIdx = index;
    if (!alive_) make();
#ifdef S3FD_ASAN
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, stack_, kStackBytes);
    swapcontext(&scheduler_, &context_);
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#else
    // Switching with setjmp() spares the system call that swapcontext() makes for the signal mask.
    if (_setjmp(scheduler_jump_) == 0) {
      if (!alive_) {
        alive_ = true;
        setcontext(&context_);
      }
      _longjmp(fiber_jump_, 1);
    }
#endif
    alive_ = true;
    running = nullptr;
  }

  void wait() {
#ifdef S3FD_ASAN
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, scheduler_stack_, scheduler_stack_bytes_);
    swapcontext(&context_, &scheduler_);
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#else
    if (_setjmp(fiber_jump_) == 0) _longjmp(scheduler_jump_, 1);
#endif
  }

  // After an error the stack holds a thread that will never end.
  void forget() { alive_ = false; }

  uint3 index{};
  bool exited = true;
  std::optional<Meeting> meeting;  // while it waits
  uint64_t result = 0;             // of the last meeting
  std::exception_ptr error;

 private:
  static void* map_stack() {
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
    mprotect(stack, 4096, PROT_NONE);  // an overflow is a crash, not a neighbour's data
    return stack;
  }

  void make() {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = kStackBytes;
    context_.uc_link = nullptr;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
  }

  static void enter(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | low);
#ifdef S3FD_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &self->scheduler_stack_,
                                    &self->scheduler_stack_bytes_);
#endif
    while (true) {  // one thread of one block after the other
      try {
        (*self->body_)();
      } catch (...) {
        self->error = std::current_exception();
      }
      self->exited = true;
      self->wait();
    }
  }

  void* stack_;
  bool alive_ = false;
  const std::function<void()>* body_ = nullptr;
  ucontext_t context_{};
#ifdef S3FD_ASAN
  ucontext_t scheduler_{};
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
#else
  jmp_buf scheduler_jump_, fiber_jump_;
#endif
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
    engine_.seed(random ? std::stoul(name.substr(7)) : 0);
  }

  template <typename T>
  void arrange(std::vector<T>& things) {
    if (kind_ == 'b') std::reverse(things.begin(), things.end());
    if (kind_ == 'r') std::shuffle(things.begin(), things.end(), engine_);
  }

  // The warp that goes on: one, of those that can.
  size_t pick(const std::vector<size_t>& warps) {
    if (kind_ == 'r') {
      const bool goes_on = std::find(warps.begin(), warps.end(), last_) != warps.end();
      if (!goes_on || engine_() % 8 == 0) last_ = warps[engine_() % warps.size()];
      return last_;
    }
    return kind_ == 'f' ? warps.front() : warps.back();
  }

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
  size_t last_ = 0;  // warp that was picked
  std::mt19937 engine_;
};

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
  std::vector<std::unique_ptr<Fiber>> fibers;  // used again and again
  std::map<const void*, SharedVariable> shared;
  std::unique_ptr<unsigned char[]> dynamic;
  Protected guarded;
  int device_accesses = 0;
};

State& state() {
  static State* all = new State;  // outlives every other object that may still start a kernel
  return *all;
}

std::string name_of(const uint3& index) {
  return "thread (" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ") of block (" + std::to_string(blockIdx.x) + ", " +
         std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
}

const char* name_of(Collective collective) {
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

// The threads of one block, until all of them have exited.
class Block {
 public:
  Block(State& state, Index3 size, const std::function<void()>& body) : state_(state) {
    for (unsigned z = 0; z < size.z; ++z) {
      for (unsigned y = 0; y < size.y; ++y) {
        for (unsigned x = 0; x < size.x; ++x) add({x, y, z}, body);
      }
    }
    left_ = threads_.size();
    ready_.resize((threads_.size() + kLanes - 1) / kLanes);
  }

  void run() {
    for (size_t i = 0; i < threads_.size(); ++i) ready_[i / kLanes].push_back(threads_[i]);
    while (left_ > 0) {
      std::vector<size_t> warps;
      for (size_t warp = 0; warp < ready_.size(); ++warp) {
        if (!ready_[warp].empty()) warps.push_back(warp);
      }
      if (warps.empty()) {
        if (!release_barrier()) explain_standstill();
        continue;
      }
      run_warp(state_.order.pick(warps));
    }
  }

  void forget() {
    for (Fiber* thread : threads_) thread->forget();
  }

 private:
  void add(uint3 index, const std::function<void()>& body) {
    const size_t i = threads_.size();
    if (i == state_.fibers.size()) state_.fibers.push_back(std::make_unique<Fiber>());
    threads_.push_back(state_.fibers[i].get());
    threads_.back()->start(index, &body);
  }

  // The warp that is picked goes on until it waits for the block: others may be far behind.
  void run_warp(size_t warp) {
    std::vector<Fiber*> turn;
    turn.swap(ready_[warp]);
    state_.order.arrange(turn);
    for (Fiber* thread : turn) {
      thread->go_on();
      if (thread->error) std::rethrow_exception(thread->error);
      if (thread->exited) --left_;
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
    for (size_t i = 0; i < threads_.size(); ++i) finish(threads_[i], total, ready_[i / kLanes]);
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
    std::vector<Meeting> meetings(kLanes);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (mask >> lane & 1) meetings[lane] = *threads_[first + lane]->meeting;
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (mask >> lane & 1) {
        finish(threads_[first + lane], result_of(meetings, mask, static_cast<int>(lane)), released);
      }
    }
  }

  static uint64_t result_of(const std::vector<Meeting>& meetings, uint32_t mask, int lane) {
    const Meeting& own = meetings[lane];
    const int begin = own.width > 0 ? lane / own.width * own.width : 0, end = begin + own.width;
    const auto value_of = [&](int source) {
      if ((mask >> source & 1) == 0) {
        fail("lane " + std::to_string(lane) + " takes a value from lane " + std::to_string(source) +
                 ", which is not in the mask",
             own.where);
      }
      return meetings[source].value;
    };
    uint64_t lanes = 0;
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
          const bool counts = own.collective == Collective::kBallot
                                  ? meetings[other].value != 0
                                  : meetings[other].value == own.value;
          lanes |= uint64_t{counts} << other;
        }
        return lanes;
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

  State& state_;
  std::vector<Fiber*> threads_;
  std::vector<std::vector<Fiber*>> ready_;  // of each warp, the threads that can go on
  size_t left_ = 0;
};

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
      grid.z > 65535 || shared_bytes > 227 * 1024) {
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
    Block threads_of_block(all, block, body);
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
