// What this library was built with, for `s3fd info`: read through ctypes by s3fd/_extension.py.

extern "C" __attribute__((visibility("default"))) const char* s3fd_build_info() {
  return "{\"torch\": \"" S3FD_TORCH_VERSION "\", \"compiler\": \"" S3FD_COMPILER
         "\", \"cuda\": \"" S3FD_WITH_CUDA "\"}";
}
