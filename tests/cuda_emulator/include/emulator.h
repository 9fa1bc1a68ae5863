// A GPU's threads on one thread of the CPU: each CUDA thread of a block is a fiber, which runs
// until it has to wait for others, or until another one gets a turn. Which thread goes first is up
// to the order that is set, so that a missing barrier shows as a result that depends on it.
//
// What a real device leaves undefined, or answers with a hang, is an error here that names file and
// line: a barrier that not all threads of a block reach, a mask with a lane that has exited or
// isn't there, a shuffle from a lane outside of the mask, threads that wait for each other for
// ever. watch.h says what is seen besides where every access to memory is watched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

namespace s3fd::emulator {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

// What one thread of a kernel does. (No std::function, whose memory would be watched as well.)
struct Body {
  void (*function)(const void* arguments);
  const void* arguments;
};

// Runs a kernel on a stream.
void run(const char* kernel, Index3 grid, Index3 block, size_t shared_bytes, const void* stream,
         const Body& body);

// What the threads of a warp, or of a block, can do together. Every function returns when all
// threads that take part have called it.
enum class Collective {
  kSyncThreads,  // of the whole block; gives the number of threads whose value is not 0
  kSyncWarp,
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kBallot,
  kMatchAny
};

// `value`: what this thread brings, as bits. `argument`: source lane, distance or lane mask of a
// shuffle; `width`: its width.
uint64_t meet(Collective collective, uint32_t mask, uint64_t value, int argument, int width,
              const std::source_location& where);

// Before and after an atomic operation of the thread that runs, and its fence for all blocks.
void before_atomic(void* address, size_t bytes);
void after_atomic();
void fence();

// The memory of a variable that the threads of a block share, by the place where it is declared:
// garbage at first, and on the heap, where AddressSanitizer knows its bounds. No better aligned
// than its type asks for, as it may be on a device.
void* shared_variable(const void* site, size_t bytes, size_t alignment);
void* dynamic_shared_bytes();

// Stops the kernel with an error.
[[noreturn]] void fail(const std::string& text, const std::source_location& where);

// Counts what the host asked the device for: "launches", "memsets", "copies", "synchronisations",
// "allocations", or the name of an operator of torch that was called, such as "aten::sort".
void count(const std::string& what);

// ---- The host's side

// What it began it ends; so it is there once.
struct Scope {
  Scope() = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
};

// While it lives, the device of the tensors is the current one: nothing may be asked of another.
struct OnDevice : Scope {
  OnDevice();
  ~OnDevice();
};

// torch's current stream, the only one that anything may be asked of; never null.
void* current_stream();

void set_bytes(void* address, int value, size_t bytes, const void* stream);
// What goes to the host is there when the stream has been waited for, and garbage until then.
void copy_bytes(void* to, const void* from, size_t bytes, bool to_host, const void* stream);
void synchronise(const void* stream);

// Memory of the device that was just allocated: garbage, which kernels may read and write.
void allocated(void* address, size_t bytes);

// Memory that only the device may touch, for as long as this lives; see s3fd_emulator_protect().
struct DeviceAccess : Scope {
  DeviceAccess();
  ~DeviceAccess();
};

}  // namespace s3fd::emulator

// For tests, through ctypes.
extern "C" {
// "forward", "reverse" or "random:SEED"; also read from S3FD_EMULATOR_ORDER at first.
__attribute__((visibility("default"))) void s3fd_emulator_set_order(const char* order);
__attribute__((visibility("default"))) void s3fd_emulator_reset_counts();
__attribute__((visibility("default"))) int64_t s3fd_emulator_count_of(const char* what);
// Memory of the device that kernels may read: once there is any, they may touch no other but what
// they have allocated. Nothing is left of it after the second function.
__attribute__((visibility("default"))) void s3fd_emulator_add_array(void* address, size_t bytes);
__attribute__((visibility("default"))) void s3fd_emulator_forget_arrays();
// Whole pages that the host may not touch from now on, but kernels, copies and memsets may: a host
// that reads a tensor on the device ends in a segmentation fault, as it would beside a real one.
// bytes = 0 takes the protection away.
__attribute__((visibility("default"))) void s3fd_emulator_protect(void* pages, size_t bytes);
}
