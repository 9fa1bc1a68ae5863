// What the kernels use of CUDA, as C++ for the emulator.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define S3FD_EMULATED_VECTORS(type, name)                          \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };         \
  struct alignas(16) name##4 { type x, y, z, w; };                 \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; } \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
S3FD_EMULATED_VECTORS(float, float)
S3FD_EMULATED_VECTORS(int, int)
S3FD_EMULATED_VECTORS(unsigned, uint)
S3FD_EMULATED_VECTORS(double, double)
S3FD_EMULATED_VECTORS(long long, longlong)
S3FD_EMULATED_VECTORS(unsigned long long, ulonglong)
#undef S3FD_EMULATED_VECTORS

// Set by the emulator whenever another thread goes on.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// ---- Threads of a block and of a warp

namespace s3fd::emulator {

template <typename T>
uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace s3fd::emulator

#define S3FD_HERE const std::source_location& where = std::source_location::current()

inline void __syncthreads(S3FD_HERE) {
  s3fd::emulator::meet(s3fd::emulator::Collective::kSyncThreads, 0, 0, 0, 0, where);
}

inline int __syncthreads_count(int predicate, S3FD_HERE) {
  return static_cast<int>(s3fd::emulator::meet(s3fd::emulator::Collective::kSyncThreads, 0,
                                               predicate != 0, 0, 0, where));
}

inline int __syncthreads_or(int predicate, S3FD_HERE) {
  return __syncthreads_count(predicate, where) != 0;
}

inline int __syncthreads_and(int predicate, S3FD_HERE) {
  return __syncthreads_count(predicate == 0, where) == 0;
}

inline void __syncwarp(unsigned mask = 0xffffffff, S3FD_HERE) {
  s3fd::emulator::meet(s3fd::emulator::Collective::kSyncWarp, mask, 0, 0, 0, where);
}

#define S3FD_EMULATED_SHUFFLE(name, collective, Argument)                             \
  template <typename T>                                                               \
  T name(unsigned mask, T value, Argument argument, int width = 32, S3FD_HERE) {      \
    return s3fd::emulator::from_bits<T>(s3fd::emulator::meet(                         \
        s3fd::emulator::Collective::collective, mask, s3fd::emulator::to_bits(value), \
        static_cast<int>(argument), width, where));                                   \
  }
S3FD_EMULATED_SHUFFLE(__shfl_sync, kShuffle, int)
S3FD_EMULATED_SHUFFLE(__shfl_up_sync, kShuffleUp, unsigned)
S3FD_EMULATED_SHUFFLE(__shfl_down_sync, kShuffleDown, unsigned)
S3FD_EMULATED_SHUFFLE(__shfl_xor_sync, kShuffleXor, int)
#undef S3FD_EMULATED_SHUFFLE

inline unsigned __ballot_sync(unsigned mask, int predicate, S3FD_HERE) {
  return static_cast<unsigned>(
      s3fd::emulator::meet(s3fd::emulator::Collective::kBallot, mask, predicate != 0, 0, 0, where));
}

inline int __any_sync(unsigned mask, int predicate, S3FD_HERE) {
  return __ballot_sync(mask, predicate, where) != 0;
}

inline int __all_sync(unsigned mask, int predicate, S3FD_HERE) {
  return __ballot_sync(mask, predicate, where) == mask;
}

template <typename T>
unsigned __match_any_sync(unsigned mask, T value, S3FD_HERE) {
  return static_cast<unsigned>(s3fd::emulator::meet(s3fd::emulator::Collective::kMatchAny, mask,
                                                    s3fd::emulator::to_bits(value), 0, 0, where));
}

// ---- Memory

inline void __threadfence() { s3fd::emulator::fence(); }

template <typename T>
T __ldg(const T* address) {
  return *address;
}

// Threads run one at a time, so that plain operations are atomic where no turn is given away.
#define S3FD_UNWATCHED __attribute__((no_sanitize("thread")))
#define S3FD_EMULATED_ATOMIC(name, expression)                       \
  template <typename T>                                              \
  S3FD_UNWATCHED T name(T* address, std::type_identity_t<T> value) { \
    s3fd::emulator::before_atomic(address, sizeof(T));               \
    const T old = *address;                                          \
    *address = static_cast<T>(expression);                           \
    s3fd::emulator::after_atomic();                                  \
    return old;                                                      \
  }
S3FD_EMULATED_ATOMIC(atomicAdd, old + value)
S3FD_EMULATED_ATOMIC(atomicSub, old - value)
S3FD_EMULATED_ATOMIC(atomicMax, old < value ? value : old)
S3FD_EMULATED_ATOMIC(atomicMin, value < old ? value : old)
S3FD_EMULATED_ATOMIC(atomicAnd, old& value)
S3FD_EMULATED_ATOMIC(atomicOr, old | value)
S3FD_EMULATED_ATOMIC(atomicXor, old ^ value)
S3FD_EMULATED_ATOMIC(atomicExch, value)
#undef S3FD_EMULATED_ATOMIC

template <typename T>
S3FD_UNWATCHED T atomicCAS(T* address, std::type_identity_t<T> expected,
                           std::type_identity_t<T> value) {
  s3fd::emulator::before_atomic(address, sizeof(T));
  const T old = *address;
  if (old == expected) *address = value;
  s3fd::emulator::after_atomic();
  return old;
}

// ---- Bits and numbers

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1;
}

inline unsigned long long __brevll(unsigned long long x) {
  unsigned long long reversed = 0;
  for (int bit = 0; bit < 64; ++bit) reversed |= (x >> bit & 1) << (63 - bit);
  return reversed;
}

inline unsigned __brev(unsigned x) { return static_cast<unsigned>(__brevll(x) >> 32); }

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}

template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}

// ---- What the host calls

using cudaStream_t = void*;

enum cudaError_t { cudaSuccess = 0 };
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };

inline cudaError_t cudaGetLastError() { return cudaSuccess; }

inline cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  s3fd::emulator::set_bytes(address, value, bytes, stream);
  return cudaSuccess;
}

inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
  s3fd::emulator::copy_bytes(to, from, bytes, kind == cudaMemcpyDeviceToHost, stream);
  return cudaSuccess;
}

inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  s3fd::emulator::synchronise(stream);
  return cudaSuccess;
}

// Few, so that grids which follow this number have work for several rounds.
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 4;
  return cudaSuccess;
}

inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
