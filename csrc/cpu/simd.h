// One loop, compiled for several instruction sets, of which the machine's best is taken at run
// time.
#pragma once

#include <cstdlib>
#include <string_view>

namespace s3fd::cpu {

enum class InstructionSet { kGeneric, kAvx2, kAvx512 };

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define S3FD_X86_VARIANTS 1
#define S3FD_TARGET_AVX2 [[gnu::target("avx2,f16c"), gnu::flatten]]
#define S3FD_TARGET_AVX512                                                               \
  [[gnu::target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"), \
    gnu::flatten]]
#endif

// The best that this machine has; S3FD_INSTRUCTION_SET=generic or avx2 asks for less.
inline InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
#ifdef S3FD_X86_VARIANTS
    const char* wish = std::getenv("S3FD_INSTRUCTION_SET");
    const std::string_view at_most = wish == nullptr ? "" : wish;
    __builtin_cpu_init();
    if (at_most == "generic" || !__builtin_cpu_supports("avx2") ||
        !__builtin_cpu_supports("f16c")) {
      return InstructionSet::kGeneric;
    }
    if (at_most == "avx2" || !__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl")) {
      return InstructionSet::kAvx2;
    }
    return InstructionSet::kAvx512;
#else
    return InstructionSet::kGeneric;
#endif
  }();
  return chosen;
}

#ifdef S3FD_X86_VARIANTS
template <typename Loop>
S3FD_TARGET_AVX2 auto run_avx2(const Loop& loop) {
  return loop();
}

template <typename Loop>
S3FD_TARGET_AVX512 auto run_avx512(const Loop& loop) {
  return loop();
}
#endif

// Runs `loop`, a lambda with a plain loop over arrays in it. Everything that it calls is inlined
// into each variant, so that the compiler vectorises it three times. No variant fuses a
// multiplication with an addition: all of them give the same numbers.
template <typename Loop>
auto vectorized(const Loop& loop) {
#ifdef S3FD_X86_VARIANTS
  switch (instruction_set()) {
    case InstructionSet::kAvx512:
      return run_avx512(loop);
    case InstructionSet::kAvx2:
      return run_avx2(loop);
    case InstructionSet::kGeneric:
      break;
  }
#endif
  return loop();
}

}  // namespace s3fd::cpu
