// Every access of a kernel to memory, where the kernels are compiled so that they tell
// (-fsanitize=thread, whose functions watch.cpp has). Then
//  - any access may be the moment when another thread, of the same or another block, gets a turn;
//  - blocks see each other's writes late, in any order, and only their fences put an end to that
//    (store_buffer.h);
//  - two accesses that nothing orders are an error, wherever they meet (races.h);
//  - so is one that lies outside of all arrays, once some are known (arrays.h).
// A misaligned access is an error in any case.
#pragma once

#include <cstddef>
#include <string>

#include "races.h"

namespace s3fd::emulator {

// The thread that runs is about to do this; `code`: where.
void accessed(Access access, const volatile void* address, size_t bytes, const void* code);

// Stops the thread that runs, and with it the kernel, from where no exception can pass.
[[noreturn]] void stop(const std::string& text, const std::string& where);

// File and line of an instruction of this library.
std::string place_of(const void* code);

}  // namespace s3fd::emulator
