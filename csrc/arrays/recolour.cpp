// Colours of a photo by an affine map. For s3fd/data/colour.py.

#include "arrays/library.h"
#include "cpu/simd.h"

namespace s3fd {
namespace {

// What Pillow's conversion by a matrix computes, in its order, so that both give the same bits.
void recolour(const uint8_t* pixels, int64_t count, const float* colours, uint8_t* recoloured) {
  float m[12];  // bytes may alias all that they point to, but not this
  for (int i = 0; i < 12; ++i) m[i] = colours[i];
  for (int64_t i = 0; i < 3 * count; i += 3) {
    const float r = pixels[i], g = pixels[i + 1], b = pixels[i + 2];
    for (int64_t channel = 0; channel < 3; ++channel) {
      const float* row = m + 4 * channel;
      float value = row[0] * r + row[1] * g + row[2] * b + row[3] + 0.5F;
      value = value > 0.0F ? value : 0.0F;
      value = value < 255.0F ? value : 255.0F;
      recoloured[i + channel] = uint8_t(int(value));
    }
  }
}

}  // namespace
}  // namespace s3fd

// Colours c of RGB pixels become m[:, :3] c + m[:, 3], rounded and clipped; `colours` is m [3, 4].
S3FD_EXPORT const char* s3fd_recolour(const uint8_t* pixels, int64_t count, const float* colours,
                                      uint8_t* recoloured) {
  s3fd::cpu::vectorized([=] { s3fd::recolour(pixels, count, colours, recoloured); });
  return nullptr;
}
