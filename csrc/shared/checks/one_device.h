// What every operator asks of the tensors that it is called with.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

namespace s3fd {

// A kernel would take the memory of another device for its own.
template <typename... Others>
void check_one_device(const char* name, const torch::stable::Tensor& first,
                      const Others&... others) {
  const torch::stable::Device device = first.device();
  STD_TORCH_CHECK(((others.device() == device) && ...), "s3fd::", name,
                  ": expected all tensors on one device");
}

}  // namespace s3fd
