// The thread of a CUDA block as a fiber: it runs until it meets others, or gives its turn away, and
// is gone on with later.
#pragma once

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "emulator.h"
#include "moment.h"

#if defined(__SANITIZE_ADDRESS__)
#define S3FD_ASAN 1
#include <sanitizer/common_interface_defs.h>
#endif

namespace s3fd::emulator {

// An odd number of pages: what all threads have at the same depth of their stacks would otherwise
// share a few sets of the processor's caches, and each switch would wait for memory.
constexpr size_t kLine = 64, kPageBytes = 4096, kStackBytes = 65 * kPageBytes;

// What a thread waits for, and what it brings.
struct Meeting {
  Collective collective;
  uint32_t mask;
  uint64_t value;
  int argument, width;
  std::source_location where;
};

inline std::string at(const std::source_location& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

inline bool same_place(const Meeting& a, const Meeting& b) {
  const char *file = a.where.file_name(), *other = b.where.file_name();
  return a.collective == b.collective && a.mask == b.mask && a.where.line() == b.where.line() &&
         (file == other || std::strcmp(file, other) == 0);
}

class Fiber;
inline Fiber* running = nullptr;  // whose turn it is

#ifndef S3FD_ASAN
inline jmp_buf scheduler_jump;  // where it goes on
#endif

// Control goes from the scheduler to one fiber after the other, and back.
class Fiber {
 public:
  Fiber() : stack_(map_stack()) {}
  ~Fiber() { munmap(stack_, kStackBytes); }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void start(uint3 thread, unsigned its_number, const Body* body) {
    index = thread;
    moment = {its_number, 0, 0, 0};
    body_ = body;
    exited = false;
    meeting.reset();
    error = nullptr;
  }

  // Runs the threads of a turn one after the other, each until it exits, or waits; up to one with
  // an error. There is one at least.
  static void go_on(const std::vector<Fiber*>& turn) {
#ifdef S3FD_ASAN
    for (Fiber* fiber : turn) {
      fiber->go_on();
      if (fiber->error) break;
    }
#else
    for (size_t i = 0; i < turn.size(); ++i) {
      turn[i]->next_ = i + 1 < turn.size() ? turn[i + 1] : nullptr;
    }
    // Switching with setjmp() spares the system call that swapcontext() makes for the signal mask.
    if (_setjmp(scheduler_jump) == 0) turn.front()->jump_in();
#endif
    running = nullptr;
  }

  void wait() {
#ifdef S3FD_ASAN
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, scheduler_stack_, scheduler_stack_bytes_);
    swapcontext(&context_, &scheduler_);
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#else
    if (_setjmp(jump_) != 0) return;
    if (next_ != nullptr && !error) next_->jump_in();
    _longjmp(scheduler_jump, 1);
#endif
  }

  // Ends the kernel with an error from where no exception can pass.
  [[noreturn]] void stop(std::exception_ptr reason) {
    error = std::move(reason);
    while (true) wait();
  }

  bool owns(const void* address) const {
    const auto* byte = static_cast<const char*>(address);
    return byte >= stack_ && byte < static_cast<const char*>(stack_) + kStackBytes;
  }

  // After an error the stack holds a thread that will never end.
  void forget() { alive_ = false; }

  uint3 index{};
  Moment moment;  // now
  bool exited = true;
  std::optional<Meeting> meeting;  // while it waits
  uint64_t result = 0;             // of the last meeting
  std::exception_ptr error;

 private:
  static void* map_stack() {
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
    mprotect(stack, kPageBytes, PROT_NONE);  // an overflow is a crash, not a neighbour's data
    return stack;
  }

#ifdef S3FD_ASAN
  void go_on() {
    take_turn();
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, stack_, kStackBytes);
    swapcontext(&scheduler_, &context_);
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
  }
#else
  [[noreturn]] void jump_in() {
    const bool goes_on = alive_;
    take_turn();
    if (goes_on) _longjmp(jump_, 1);
    setcontext(&context_);
    std::abort();  // it returned
  }
#endif

  void take_turn() {
    running = this;
    threadIdx = index;
    if (!alive_) make();
    alive_ = true;
  }

  void make() {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = kStackBytes - moment.thread % (kPageBytes / kLine) * kLine;
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
        self->body_->function(self->body_->arguments);
      } catch (...) {
        self->error = std::current_exception();
      }
      self->exited = true;
      self->wait();
    }
  }

  void* stack_;
  bool alive_ = false;
  const Body* body_ = nullptr;
  ucontext_t context_{};
#ifdef S3FD_ASAN
  ucontext_t scheduler_{};
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
#else
  jmp_buf jump_;
  Fiber* next_ = nullptr;  // whose turn it is then, without a way back to the scheduler in between
#endif
};

}  // namespace s3fd::emulator
