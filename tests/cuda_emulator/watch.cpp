// What compilers call before an access: GCC's and Clang's functions for ThreadSanitizer, and the
// one of UndefinedBehaviorSanitizer for a misaligned pointer, without the libraries that usually
// have them. They may not throw.

#include "watch.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>

#include "emulator.h"

namespace s3fd::emulator {

std::string place_of(const void* code) {
  Dl_info library;
  if (dladdr(code, &library) == 0) return "?";
  char command[4096];
  std::snprintf(command, sizeof(command), "addr2line -e '%s' 0x%zx 2>&1", library.dli_fname,
                static_cast<size_t>(static_cast<const char*>(code) -
                                    static_cast<const char*>(library.dli_fbase) - 1));
  const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command, "r"), pclose);
  std::array<char, 1024> line{};
  if (output == nullptr || std::fgets(line.data(), line.size(), output.get()) == nullptr)
    return "?";
  std::string place = line.data();
  return place.substr(0, place.find_first_of(" \n"));
}

}  // namespace s3fd::emulator

using s3fd::emulator::Access;
using s3fd::emulator::accessed;

extern "C" {

#define S3FD_CALLED_FROM __builtin_return_address(0)

#define S3FD_WATCH(size)                                       \
  void __tsan_read##size(void* address) {                      \
    accessed(Access::kRead, address, size, S3FD_CALLED_FROM);  \
  }                                                            \
  void __tsan_write##size(void* address) {                     \
    accessed(Access::kWrite, address, size, S3FD_CALLED_FROM); \
  }                                                            \
  void __tsan_unaligned_read##size(void* address) {            \
    accessed(Access::kRead, address, size, S3FD_CALLED_FROM);  \
  }                                                            \
  void __tsan_unaligned_write##size(void* address) {           \
    accessed(Access::kWrite, address, size, S3FD_CALLED_FROM); \
  }
S3FD_WATCH(1)
S3FD_WATCH(2)
S3FD_WATCH(4)
S3FD_WATCH(8)
S3FD_WATCH(16)
#undef S3FD_WATCH

void __tsan_read_range(void* address, size_t bytes) {
  accessed(Access::kRead, address, bytes, S3FD_CALLED_FROM);
}
void __tsan_write_range(void* address, size_t bytes) {
  accessed(Access::kWrite, address, bytes, S3FD_CALLED_FROM);
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// Atomic operations of C++, which only the host does.
#define S3FD_ATOMIC(bits, type)                                                             \
  type __tsan_atomic##bits##_load(const volatile type* address, int) {                      \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  void __tsan_atomic##bits##_store(volatile type* address, type value, int) {               \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                     \
  }                                                                                         \
  type __tsan_atomic##bits##_fetch_add(volatile type* address, type value, int) {           \
    return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);                            \
  }                                                                                         \
  type __tsan_atomic##bits##_fetch_sub(volatile type* address, type value, int) {           \
    return __atomic_fetch_sub(address, value, __ATOMIC_SEQ_CST);                            \
  }                                                                                         \
  type __tsan_atomic##bits##_exchange(volatile type* address, type value, int) {            \
    return __atomic_exchange_n(address, value, __ATOMIC_SEQ_CST);                           \
  }                                                                                         \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* address, type* expected, \
                                                    type value, int, int) {                 \
    return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST,   \
                                       __ATOMIC_SEQ_CST);                                   \
  }
S3FD_ATOMIC(8, uint8_t)
S3FD_ATOMIC(32, uint32_t)
S3FD_ATOMIC(64, uint64_t)
#undef S3FD_ATOMIC

#ifndef S3FD_SANITIZED  // otherwise the sanitizer's own library has it
struct MisalignedPointer {
  const char* file;
  uint32_t line, column;
};

void __ubsan_handle_type_mismatch_v1_abort(MisalignedPointer* where, uintptr_t) {
  s3fd::emulator::stop("an access that is misaligned for its type",
                       std::string(where->file) + ":" + std::to_string(where->line));
}
#endif
}
