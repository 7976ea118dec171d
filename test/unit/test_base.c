/* base/: the generator's published vectors, permutation, double functions against libm, the pool.
 */
#include "support.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/grow.h"
#include "base/hash64.h"
#include "base/mathd.h"
#include "base/pool.h"
#include "base/stream_copy.h"

static uint64_t seed;

static void philox_matches_published_vectors(void **state) {
  (void)state; /* kat_vectors of Random123: philox4x32 10 */
  GwPhilox zero = gw_philox(0, 0, 0);
  assert_int_equal(zero.word[0], 0x6627e8d5);
  assert_int_equal(zero.word[3], 0x9b00dbd8);
  GwPhilox ones = gw_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX);
  assert_int_equal(ones.word[0], 0x408f276d);
  assert_int_equal(ones.word[3], 0x6d5451fd);
  GwPhilox pi = gw_philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88);
  assert_int_equal(pi.word[0], 0xd16cfe09);
  assert_int_equal(pi.word[3], 0x24126ea1);
}

static void permute_is_a_bijection(void **state) {
  (void)state;
  const uint64_t sizes[] = {1, 2, 3, 17, 64, 1000, 65537};
  for (size_t i = 0; i < GW_COUNT_OF(sizes); i++) {
    char *seen = calloc(1, sizes[i]);
    for (uint64_t k = 0; k < sizes[i]; k++) {
      uint64_t at = gw_permute(seed + i, sizes[i], k);
      assert_true(at < sizes[i]);
      assert_false(seen[at]);
      seen[at] = 1;
    }
    free(seen);
  }
}

static void near(double got, double want, double scale) {
  if (fabs(got - want) > 1e-14 * scale) fail_msg("got %.17g, wanted %.17g", got, want);
}

static void double_functions_agree_with_libm(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  for (int i = 0; i < 100000; i++) {
    double x = (gw_rng_uniform(&rng) - 0.5) * 100;
    near(gw_exp_f64(x), exp(x), exp(x));
    near(gw_exp_fast_f64(-fabs(x)), exp(-fabs(x)), exp(-fabs(x)));
    near(gw_log_f64(fabs(x) + 1e-12), log(fabs(x) + 1e-12), 1 + fabs(log(fabs(x) + 1e-12)));
    near(gw_sin_f64(x), sin(x), 1);
    near(gw_cos_f64(x * 1000), cos(x * 1000), 1);
    near(gw_pow_f64(fabs(x) + 0.1, 0.7), pow(fabs(x) + 0.1, 0.7), 20);
  }
}

static void add_one(void *context, int64_t task, int thread) {
  (void)thread;
  atomic_fetch_add(&((_Atomic int *)context)[task], 1);
}

static void pool_runs_every_task_once(void **state) {
  (void)state;
  static _Atomic int hits[1000];
  for (int threads = 1; threads <= 4; threads++) {
    GwPool *pool;
    assert_ok(gw_pool_create(threads, &pool));
    memset(hits, 0, sizeof hits);
    for (int round = 1; round <= 200; round++) {
      gw_pool_run(pool, (int64_t)GW_COUNT_OF(hits), add_one, hits);
      for (size_t i = 0; i < GW_COUNT_OF(hits); i++) assert_int_equal(hits[i], round);
    }
    gw_pool_destroy(pool);
  }
}

enum { WAKES = 3, WORKERS = 2 };
static cpu_set_t seen[WORKERS];

/* Both tasks wait for each other, so that no thread can take both. */
static void note_processors(void *context, int64_t task, int thread) {
  (void)thread;
  _Atomic int *here = context;
  (*here)++;
  while (*here < WORKERS) sched_yield();
  assert_int_equal(sched_getaffinity(0, sizeof seen[task], &seen[task]), 0);
}

/* A worker is woken beside the caller; that it may run anywhere again shows here. */
static void workers_that_slept_may_run_anywhere(void **state) {
  (void)state;
  GwPool *pool;
  cpu_set_t allowed;
  assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  assert_ok(gw_pool_create(WORKERS, &pool));
  for (int wake = 0; wake < WAKES; wake++) {
    _Atomic int here = 0;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL); /* they spin before they sleep */
    gw_pool_run(pool, WORKERS, note_processors, &here);
    for (int i = 0; i < WORKERS; i++) assert_true(CPU_EQUAL(&seen[i], &allowed));
  }
  gw_pool_destroy(pool);
}

static void arrays_grow(void **state) {
  (void)state;
  enum { ELEMENTS = 1000 };
  int *numbers = NULL;
  size_t capacity = 0, moves = 0;
  for (int i = 0; i < ELEMENTS; i++) {
    size_t before = capacity;
    assert_true(GW_GROW(numbers, capacity, i + 1));
    assert_true(capacity > (size_t)i);
    moves += capacity != before;
    numbers[i] = i;
  }
  assert_true(moves < 10);
  for (int i = 0; i < ELEMENTS; i++) assert_int_equal(numbers[i], i);
  int *same = numbers;
  size_t before = capacity;
  assert_false(GW_GROW(numbers, capacity, SIZE_MAX / 2)); /* of bytes that no size_t can count */
  assert_true(numbers == same && capacity == before);
  assert_true(GW_GROW(numbers, capacity, 5 * ELEMENTS)); /* several at once */
  assert_true(capacity >= 5 * ELEMENTS && numbers[ELEMENTS - 1] == ELEMENTS - 1);
  free(numbers);
}

static void block_hashes_add_up(void **state) {
  (void)state;
  enum { SIZE = 5 * GW_HASH_BLOCK + 77 };
  unsigned char *data = malloc(SIZE);
  for (size_t i = 0; i < SIZE; i++) data[i] = (unsigned char)(i * 31 + i / 7);
  uint64_t whole = gw_hash_blocks(data, SIZE, 0, 9);
  uint64_t parts = gw_hash_blocks(data + 2 * GW_HASH_BLOCK, SIZE - 2 * GW_HASH_BLOCK, 2, 9) +
                   gw_hash_blocks(data, 2 * GW_HASH_BLOCK, 0, 9);
  assert_true(whole == parts);
  data[4 * GW_HASH_BLOCK] ^= 1;
  assert_true(whole != gw_hash_blocks(data, SIZE, 0, 9));
  free(data);
}

/* Every alignment of both sides, and no byte beyond the end or before the beginning. */
static void streamed_copies_are_copies(void **state) {
  (void)state;
  unsigned char from[160], to[160], expected[160];
  for (int i = 0; i < 160; i++) from[i] = (unsigned char)(i + 1);
  for (size_t bytes = 0; bytes < 100; bytes++)
    for (size_t pair = 0; pair < 32 * 32; pair++) {
      memset(to, 0, sizeof to);
      memset(expected, 0, sizeof expected);
      memcpy(expected + pair % 32, from + pair / 32, bytes);
      gw_stream_copy(to + pair % 32, from + pair / 32, bytes);
      gw_stream_copy_end();
      assert_memory_equal(to, expected, sizeof to);
    }
}

static void messages_quote_the_one_before(void **state) {
  (void)state;
  (void)gw_fail(GW_IO, "inner");
  assert_fails(GW_INVALID, "outer: inner", gw_fail(GW_INVALID, "outer: %s", gw_error_message()));
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(philox_matches_published_vectors),
      cmocka_unit_test(permute_is_a_bijection),
      cmocka_unit_test(double_functions_agree_with_libm),
      cmocka_unit_test(pool_runs_every_task_once),
      cmocka_unit_test(workers_that_slept_may_run_anywhere),
      cmocka_unit_test(arrays_grow),
      cmocka_unit_test(block_hashes_add_up),
      cmocka_unit_test(streamed_copies_are_copies),
      cmocka_unit_test(messages_quote_the_one_before),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
