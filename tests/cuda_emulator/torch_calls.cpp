// Counts what the kernels' host code asks of torch: a function of the name of torch's own, which is
// found first, notes the call and passes it on. What is allocated is memory of the device.

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstring>

#include "emulator.h"

extern "C" AOTITorchError torch_call_dispatcher(const char* operator_name, const char* overload,
                                                StableIValue* stack, uint64_t build_version) {
  static const auto real =
      reinterpret_cast<decltype(&torch_call_dispatcher)>(dlsym(RTLD_NEXT, "torch_call_dispatcher"));
  if (std::strcmp(operator_name, "aten::empty") != 0) {
    s3fd::emulator::count(operator_name);
    return real(operator_name, overload, stack, build_version);
  }
  AOTITorchError error = real(operator_name, overload, stack, build_version);
  void* address = nullptr;
  int64_t bytes = 0;
  const auto tensor = reinterpret_cast<AtenTensorHandle>(stack[0]);
  if (error == AOTI_TORCH_SUCCESS) error = aoti_torch_get_data_ptr(tensor, &address);
  if (error == AOTI_TORCH_SUCCESS) error = aoti_torch_get_storage_size(tensor, &bytes);
  if (error == AOTI_TORCH_SUCCESS) {
    s3fd::emulator::allocated(address, static_cast<size_t>(bytes));
  }
  return error;
}
