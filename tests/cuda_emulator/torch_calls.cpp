// Counts what the kernels' host code asks of torch: a function of the name of torch's own, which is
// found first, notes the call and passes it on.

#include <dlfcn.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstring>

#include "emulator.h"

extern "C" AOTITorchError torch_call_dispatcher(const char* operator_name, const char* overload,
                                                StableIValue* stack, uint64_t build_version) {
  static const auto real =
      reinterpret_cast<decltype(&torch_call_dispatcher)>(dlsym(RTLD_NEXT, "torch_call_dispatcher"));
  s3fd::emulator::count(std::strcmp(operator_name, "aten::empty") == 0 ? "allocations"
                                                                       : operator_name);
  return real(operator_name, overload, stack, build_version);
}
