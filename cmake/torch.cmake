# Finds torch's headers and library by asking Python.
#
# find_package(Torch) is no choice: with a CUDA build of torch and no CUDA toolkit it is a fatal
# error, and it would tie this build to the compiler flags and version of that one torch.
#
# Sets TORCH_DIR, TORCH_VERSION and TORCH_CUDA_VERSION (empty for a build without CUDA); defines the
# targets torch_stable and, for what is written in CUDA, torch_stable_cuda.

execute_process(
    COMMAND ${Python_EXECUTABLE} -c
"from importlib import metadata, util
torch = util.find_spec('torch')
print(torch.submodule_search_locations[0] if torch else '')
print(metadata.version('torch') if torch else '')"
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" found "${found};;")
list(GET found 0 TORCH_DIR)
list(GET found 1 TORCH_VERSION)

if(NOT TORCH_VERSION OR TORCH_VERSION VERSION_LESS 2.10)
  message(FATAL_ERROR
      "s3fd needs torch >= 2.10, but ${Python_EXECUTABLE} has '${TORCH_VERSION}'. "
      "Install it there, or build with isolation: pip install .")
endif()

file(STRINGS "${TORCH_DIR}/version.py" TORCH_CUDA_VERSION REGEX "^cuda[ :=]")
string(REGEX MATCH "[0-9]+[.][0-9]+" TORCH_CUDA_VERSION "${TORCH_CUDA_VERSION}")

add_library(torch_stable SHARED IMPORTED)
set_target_properties(torch_stable PROPERTIES
    IMPORTED_LOCATION "${TORCH_DIR}/lib/${CMAKE_SHARED_LIBRARY_PREFIX}torch_cpu${CMAKE_SHARED_LIBRARY_SUFFIX}"
    IMPORTED_IMPLIB "${TORCH_DIR}/lib/torch_cpu.lib"
    INTERFACE_INCLUDE_DIRECTORIES "${TORCH_DIR}/include"
    # The oldest torch whose stable ABI the libraries may call: 2.10.
    INTERFACE_COMPILE_DEFINITIONS "TORCH_TARGET_VERSION=0x020A000000000000")

# libtorch_cuda has the current stream and the texts of CUDA's errors. A torch for CPUs lacks it: the
# library is then linked to an empty one of that name, and runs beside a torch that has the real one.
set(torch_cuda "${TORCH_DIR}/lib/${CMAKE_SHARED_LIBRARY_PREFIX}torch_cuda${CMAKE_SHARED_LIBRARY_SUFFIX}")
add_library(torch_stable_cuda INTERFACE)
target_compile_definitions(torch_stable_cuda INTERFACE USE_CUDA)
if(EXISTS "${torch_cuda}")
  target_link_libraries(torch_stable_cuda INTERFACE "${torch_cuda}")
elseif(UNIX AND NOT APPLE)
  file(WRITE "${CMAKE_BINARY_DIR}/empty.cpp" "")
  add_library(torch_cuda_empty SHARED EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/empty.cpp")
  set_target_properties(torch_cuda_empty PROPERTIES OUTPUT_NAME torch_cuda)
  target_link_libraries(torch_stable_cuda INTERFACE
      -Wl,--push-state,--no-as-needed torch_cuda_empty -Wl,--pop-state)
endif()
