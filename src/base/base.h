/* Small things that every file needs: integer types, assertions that stay in release builds, array
 * length, min/max, and the GNU builtins that the rest of the code must not name. */
#ifndef GW_BASE_H
#define GW_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/status.h"

/* Our own bugs end the program with the place and the broken condition; kept in release builds. */
#define GW_ASSERT(condition)                                                                       \
  do {                                                                                             \
    if (__builtin_expect(!(condition), 0)) gw__assert_failed(#condition, __FILE__, __LINE__);      \
  } while (0)
_Noreturn void gw__assert_failed(const char *condition, const char *file, int line);

#define GW_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define GW_UNUSED __attribute__((unused))
#define GW_ALIGN 64 /* bytes; a cache line and an AVX-512 register */

static inline int64_t gw_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gw_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline size_t gw_align_up(size_t n, size_t to) { return (n + to - 1) / to * to; }
static inline int64_t gw_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* *out = a*b or a+b; false when it would overflow. */
static inline bool gw_mul_size(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool gw_mul_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool gw_add_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}

/* Exact sums that several threads add to: the order of integer additions does not matter. */
static inline void gw_atomic_add_u64(void *to, uint64_t value) {
  __atomic_fetch_add((uint64_t *)to, value, __ATOMIC_RELAXED);
}
static inline void gw_atomic_add_i64(void *to, int64_t value) {
  __atomic_fetch_add((int64_t *)to, value, __ATOMIC_RELAXED);
}
/* For checks, never for results: which thread adds first decides the last bits. */
static inline void gw_atomic_add_f64(double *to, double value) {
  double before, after;
  __atomic_load(to, &before, __ATOMIC_RELAXED);
  do {
    after = before + value;
  } while (
      !__atomic_compare_exchange(to, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}
/* Counts one more; how many there were before. */
static inline int64_t gw_atomic_next_i64(int64_t *count) {
  return __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

#endif
