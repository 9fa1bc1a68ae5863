// The thread of a CUDA block as a fiber: it runs until it meets others, or gives its turn away, and
// is gone on with later.
#pragma once

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <source_location>
#include <string>

#include "cuda_runtime.h"
#include "emulator.h"
#include "moment.h"

#if defined(__SANITIZE_ADDRESS__)
#define S3FD_ASAN 1
#include <sanitizer/common_interface_defs.h>
#endif

namespace s3fd::emulator {

constexpr size_t kStackBytes = 256 * 1024;

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
  return a.collective == b.collective && a.mask == b.mask && a.where.line() == b.where.line() &&
         std::strcmp(a.where.file_name(), b.where.file_name()) == 0;
}

class Fiber;
inline Fiber* running = nullptr;  // whose turn it is

// Control goes back and forth between the scheduler and one fiber.
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
  jmp_buf scheduler_jump_, fiber_jump_;
#endif
};

}  // namespace s3fd::emulator
