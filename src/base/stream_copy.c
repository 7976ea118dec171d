/* Non-temporal stores of SSE2, which every x86-64 has; elsewhere plain ones. */
#include "base/stream_copy.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>

void gw_stream_copy(void *to, const void *from, size_t bytes) {
  enum { STEP = sizeof(__m128i) };
  char *out = to;
  const char *in = from;
  size_t at = -(uintptr_t)out % STEP;
  if (bytes < at + STEP) at = bytes;
  memcpy(out, in, at);
  for (; bytes - at >= STEP; at += STEP) {
    __m128i value = _mm_loadu_si128((const __m128i *)(const void *)(in + at));
    _mm_stream_si128((__m128i *)(void *)(out + at), value);
  }
  memcpy(out + at, in + at, bytes - at);
}

void gw_stream_copy_end(void) { _mm_sfence(); }

#else

void gw_stream_copy(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }

void gw_stream_copy_end(void) {}

#endif
