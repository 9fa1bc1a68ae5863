// Threads for work that comes in images of very different sizes.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace s3fd {

// Calls body(image) for every image, on as many threads as are asked for; each takes the next image
// when it is done with one. What it throws first, such as for lack of memory, ends the work of all,
// and is thrown again when they have ended.
template <typename Body>
void for_each_image(size_t images, size_t threads, const Body& body) {
  std::atomic<size_t> next{0};
  std::atomic_flag failed;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      for (size_t image = next++; image < images; image = next++) body(image);
    } catch (...) {
      next = images;
      if (!failed.test_and_set()) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(std::min(threads, images));
  try {
    for (size_t i = 1; i < std::min(threads, images); ++i) others.emplace_back(work);
  } catch (...) {
    // The system has no more of them: those that there are do it all.
  }
  work();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace s3fd
