# Decides whether the CUDA kernels are built, by which compiler and for which GPUs, and enables the
# language.
#
# S3FD_CUDA=AUTO builds them for the GPUs of this machine, or for CUDAARCHS where that is set; without
# either, or without a compiler that works, they are left out, and it is said why. S3FD_CUDA=ON
# builds them for all GPUs that nvcc knows, or for CUDAARCHS; what is missing is an error.
#
# Sets S3FD_WITH_CUDA, S3FD_NVCC_VERSION, and S3FD_CUDA_DETAIL: for what the kernels are built, or
# why they are not.

set(S3FD_OLDEST_NVCC 12.0)  # the first with C++20

include(${CMAKE_CURRENT_LIST_DIR}/cuda_architectures.cmake)

set(S3FD_WITH_CUDA OFF)
set(S3FD_NVCC_VERSION "")
set(S3FD_CUDA_DETAIL "")

# Sets CMAKE_CUDA_COMPILER to nvcc itself, where the one on the PATH may be a script around it (a
# module system's, conda's, a compiler cache): CMake looks for the toolkit beside the compiler.
macro(s3fd_find_nvcc)
  if(NOT CMAKE_CUDA_COMPILER AND DEFINED ENV{CUDACXX})
    set(CMAKE_CUDA_COMPILER "$ENV{CUDACXX}")
  elseif(NOT CMAKE_CUDA_COMPILER)
    find_program(S3FD_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
        PATH_SUFFIXES bin)
    if(S3FD_NVCC)
      execute_process(COMMAND ${S3FD_NVCC} --dryrun -c -x cu /dev/null -o /dev/null
          ERROR_VARIABLE dryrun OUTPUT_QUIET)
      if(dryrun MATCHES "_HERE_=([^\r\n]+)")
        find_program(CMAKE_CUDA_COMPILER nvcc PATHS "${CMAKE_MATCH_1}" NO_DEFAULT_PATH)
      else()
        set(CMAKE_CUDA_COMPILER "${S3FD_NVCC}")
      endif()
    endif()
  endif()
endmacro()

# Why nvcc can't be used, or nothing. Compiles and links a program as the kernels will be: a C++
# compiler too new for nvcc, a toolkit without headers or runtime would stop the whole build.
function(s3fd_why_nvcc_fails result)
  set(${result} "" PARENT_SCOPE)
  if(NOT S3FD_NVCC_VERSION)
    set(${result} "${CMAKE_CUDA_COMPILER} is no nvcc that can be run" PARENT_SCOPE)
    return()
  elseif(S3FD_NVCC_VERSION VERSION_LESS ${S3FD_OLDEST_NVCC})
    set(${result} "${CMAKE_CUDA_COMPILER} is of release ${S3FD_NVCC_VERSION}, which has no C++20" PARENT_SCOPE)
    return()
  endif()
  set(source "${CMAKE_BINARY_DIR}/s3fd_try_nvcc.cu")
  file(WRITE "${source}" [[
#include <concepts>
#include <cub/version.cuh>
#include <cuda_runtime.h>
template <std::integral T> __global__ void set(T* value) { *value = 1; }
int main() { set<int><<<1, 1>>>(nullptr); return cudaDeviceSynchronize(); }
]])
  set(host_compiler "${CMAKE_CUDA_HOST_COMPILER}")
  if(NOT host_compiler)
    set(host_compiler "$ENV{CUDAHOSTCXX}")
  endif()
  if(host_compiler)
    set(host_compiler "-ccbin=${host_compiler}")
  endif()
  execute_process(
      COMMAND ${CMAKE_CUDA_COMPILER} ${host_compiler} -std=c++20 -cudart=shared
          "${source}" -o "${CMAKE_BINARY_DIR}/s3fd_try_nvcc"
      OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE failed)
  if(failed)
    string(STRIP "${output}" output)
    set(${result} "${CMAKE_CUDA_COMPILER} does not work:\n${output}\n" PARENT_SCOPE)
  endif()
endfunction()

# Leaves the kernels out with a message of `mode`, or stops if they were asked for.
macro(s3fd_without_cuda mode reason detail)
  if(S3FD_CUDA STREQUAL "ON")
    message(FATAL_ERROR
        "S3FD_CUDA=ON, but ${reason}. The CUDA kernels need a CUDA toolkit from ${S3FD_OLDEST_NVCC} on; name its "
        "nvcc in CUDACXX, a C++ compiler that it accepts in CUDAHOSTCXX; or build for CPUs: S3FD_CUDA=OFF.")
  endif()
  message(${mode} "s3fd: no CUDA kernels: ${reason}")
  set(S3FD_CUDA_DETAIL "${detail}")
endmacro()

if(S3FD_CUDA STREQUAL "OFF")
  set(S3FD_CUDA_DETAIL "S3FD_CUDA was OFF")
  return()
endif()

s3fd_find_nvcc()
if(NOT CMAKE_CUDA_COMPILER)
  s3fd_without_cuda(STATUS "no nvcc was found" "no nvcc was found")
  return()
endif()

set(architectures "${CMAKE_CUDA_ARCHITECTURES}")
if(NOT architectures)
  set(architectures "$ENV{CUDAARCHS}")
endif()
if(NOT architectures AND S3FD_CUDA STREQUAL "AUTO")
  s3fd_gpus_here(gpus)
  if(NOT gpus)
    s3fd_without_cuda(STATUS "no GPU was found (S3FD_CUDA=ON builds them for all)"
        "no GPU was found")
    return()
  endif()
endif()

execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE version ERROR_QUIET)
if(version MATCHES "release [0-9.]+, V([0-9.]+)")
  set(S3FD_NVCC_VERSION ${CMAKE_MATCH_1})
endif()
s3fd_why_nvcc_fails(why)
if(why)
  s3fd_without_cuda(WARNING "${why}" "nvcc could not be used")
  return()
endif()

if(NOT architectures)
  s3fd_gpus_of_nvcc(known)
  if(S3FD_CUDA STREQUAL "ON")
    s3fd_all_architectures(architectures "${known}")
  else()
    s3fd_architectures(architectures "${gpus}" "${known}")
  endif()
endif()

# A library of the wrong major version would not be loaded.
if(TORCH_CUDA_VERSION)
  string(REGEX MATCH "^[0-9]+" torch_major "${TORCH_CUDA_VERSION}")
  string(REGEX MATCH "^[0-9]+" nvcc_major "${S3FD_NVCC_VERSION}")
  if(NOT torch_major EQUAL nvcc_major)
    message(WARNING
        "s3fd: nvcc ${S3FD_NVCC_VERSION} makes CUDA kernels for builds of torch with CUDA ${nvcc_major}; torch "
        "${TORCH_VERSION} here has CUDA ${TORCH_CUDA_VERSION}, and will not load them.")
  endif()
endif()

set(CMAKE_CUDA_ARCHITECTURES ${architectures})
# The runtime that torch brings. A static one asks for the driver of its own release, which may be
# newer than the one that torch is content with.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(S3FD_WITH_CUDA ON)
list(JOIN architectures " " S3FD_CUDA_DETAIL)
message(STATUS "s3fd: CUDA kernels for ${S3FD_CUDA_DETAIL}, by nvcc ${S3FD_NVCC_VERSION}")
