# Finds nvcc itself where the one on the PATH is a script around it (a module system's, conda's, a
# compiler cache): CMake looks for the toolkit beside the compiler. nvcc tells where it lies.
# Sets CMAKE_CUDA_COMPILER unless the user has chosen one.

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(S3FD_NVCC nvcc)
  if(S3FD_NVCC)
    execute_process(COMMAND ${S3FD_NVCC} --dryrun -c -x cu /dev/null -o /dev/null
        ERROR_VARIABLE dryrun OUTPUT_QUIET)
    if(dryrun MATCHES "_HERE_=([^\r\n]+)")
      find_program(CMAKE_CUDA_COMPILER nvcc PATHS "${CMAKE_MATCH_1}" NO_DEFAULT_PATH)
    endif()
  endif()
endif()
