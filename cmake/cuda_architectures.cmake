# For which GPUs the CUDA kernels are compiled, by their compute capabilities without the dot.

# The compute capabilities that get a binary when all are asked for. Those between them run the
# binary of the next lower one of their generation (8.9 that of 8.6).
set(S3FD_ALL_GPUS 75 80 86 90 100 110 120)

# The compute capabilities of this machine's GPUs that the kernels can run on: 90;120.
function(s3fd_gpus_here result)
  find_program(S3FD_NVIDIA_SMI nvidia-smi)
  set(gpus "")
  if(S3FD_NVIDIA_SMI)
    execute_process(COMMAND ${S3FD_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
        OUTPUT_VARIABLE output ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+[.][0-9]" found "${output}")
    foreach(capability IN LISTS found)
      string(REPLACE "." "" gpu ${capability})
      if(gpu GREATER_EQUAL 75)
        list(APPEND gpus ${gpu})
      endif()
    endforeach()
    list(REMOVE_DUPLICATES gpus)
  endif()
  set(${result} "${gpus}" PARENT_SCOPE)
endfunction()

# The compute capabilities that nvcc compiles for, in rising order.
function(s3fd_gpus_of_nvcc result)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE output)
  string(REGEX MATCHALL "compute_[0-9]+" gpus "${output}")
  list(TRANSFORM gpus REPLACE "compute_" "")
  list(SORT gpus COMPARE NATURAL)
  set(${result} "${gpus}" PARENT_SCOPE)
endfunction()

# What to compile for `gpus`: a binary where nvcc knows the GPU; where it does not, the PTX of the
# newest one before it, which the driver compiles when the library is loaded.
function(s3fd_architectures result gpus known)
  set(architectures "")
  foreach(gpu IN LISTS gpus)
    if(gpu IN_LIST known)
      list(APPEND architectures ${gpu}-real)
      continue()
    endif()
    foreach(candidate IN LISTS S3FD_ALL_GPUS)
      if(candidate IN_LIST known AND candidate LESS gpu)
        set(newest ${candidate})
      endif()
    endforeach()
    list(APPEND architectures ${newest}-virtual)
  endforeach()
  list(REMOVE_DUPLICATES architectures)
  set(${result} "${architectures}" PARENT_SCOPE)
endfunction()

# Binaries for all GPUs that nvcc knows, and PTX for those to come.
function(s3fd_all_architectures result known)
  set(gpus "")
  foreach(gpu IN LISTS S3FD_ALL_GPUS)
    if(gpu IN_LIST known)
      list(APPEND gpus ${gpu})
    endif()
  endforeach()
  list(POP_BACK gpus newest)
  list(TRANSFORM gpus APPEND "-real")
  set(${result} ${gpus} ${newest} PARENT_SCOPE)
endfunction()
