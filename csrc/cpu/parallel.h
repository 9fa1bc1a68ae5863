// Threads: those of torch's own pool.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>

#ifdef S3FD_STD_THREADS
#include <algorithm>
#include <thread>
#include <vector>
#endif

namespace s3fd::cpu {

// Calls body(first, last) for parts of [begin, end) that hold `grain` at least, about, on as many
// threads as torch.set_num_threads() allows.
template <typename Body>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const Body& body) {
#ifdef S3FD_STD_THREADS
  // For ThreadSanitizer, which does not understand how OpenMP's threads wait for each other.
  if (end <= begin) return;
  constexpr int64_t kThreads = 4;
  const int64_t part = std::max(grain, (end - begin + kThreads - 1) / kThreads);
  std::vector<std::thread> threads;
  for (int64_t first = begin; first < end; first += part) {
    threads.emplace_back([=, &body] { body(first, std::min(first + part, end)); });
  }
  for (std::thread& thread : threads) thread.join();
#else
  torch::stable::parallel_for(begin, end, grain, body);
#endif
}

}  // namespace s3fd::cpu
