// Threads for work that comes in images of very different sizes.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace s3fd {

// Calls body(image) for every image, on as many threads as are asked for; each takes the next image
// when it is done with one. `body` must not throw.
template <typename Body>
void for_each_image(size_t images, size_t threads, const Body& body) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t image = next++; image < images; image = next++) body(image);
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(threads, images); ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace s3fd
