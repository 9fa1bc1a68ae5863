// What this library was built with, for `s3fd info`: read through ctypes by s3fd/_extension.py.

#include <torch/headeronly/macros/Export.h>

extern "C" C10_EXPORT const char* s3fd_build_info() {
  return "{\"torch\": \"" S3FD_TORCH_VERSION "\", \"compiler\": \"" S3FD_COMPILER
         "\", \"cuda\": \"" S3FD_WITH_CUDA "\", \"nvcc\": \"" S3FD_NVCC_VERSION
         "\", \"cuda_detail\": \"" S3FD_CUDA_DETAIL "\"}";
}
