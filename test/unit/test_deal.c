/* Dealing lanes to ranks: against all deals that there are, against dealing one by one, and with
 * many ranks. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mathd.h"
#include "train/deal.h"

enum { RANKS_MAX = 6, LANES_MAX = 12, CASES = 20000 };

static uint64_t seed;

static double largest(double a, double b) { return a > b ? a : b; }

/* When the last rank ends. */
static double end_of(int32_t ranks, const double *speed, const int32_t *first) {
  double end = 0;
  for (int32_t r = 0; r < ranks; r++) end = largest(end, (first[r + 1] - first[r]) / speed[r]);
  return end;
}

/* The earliest end of all deals of `lanes` to the first `ranks` ranks, one lane each at least. */
static double earliest_end(int32_t lanes, int32_t ranks, const double *speed) {
  if (ranks == 1) return lanes / speed[0];
  double earliest = 1e300;
  for (int32_t n = 1; n <= lanes - ranks + 1; n++) {
    double end = largest(n / speed[ranks - 1], earliest_end(lanes - n, ranks - 1, speed));
    if (end < earliest) earliest = end;
  }
  return earliest;
}

/* Each lane to the rank that would end first with it, to the lowest of several. */
static void deal_one_by_one(int32_t lanes, int32_t ranks, const double *speed, int32_t *first) {
  int32_t count[RANKS_MAX];
  for (int32_t r = 0; r < ranks; r++) count[r] = 1;
  for (int32_t lane = ranks; lane < lanes; lane++) {
    int32_t best = 0;
    for (int32_t r = 1; r < ranks; r++)
      if ((count[r] + 1) / speed[r] < (count[best] + 1) / speed[best]) best = r;
    count[best]++;
  }
  first[0] = 0;
  for (int32_t r = 0; r < ranks; r++) first[r + 1] = first[r] + count[r];
}

/* Speeds of five kinds: alike, of any size, small integers with many ties, one apart from the rest,
 * and the limits. */
static double random_speed(GwRng *rng, int kind) {
  switch (kind) {
  case 0: return 1 + gw_rng_uniform(rng);
  case 1: return gw_pow_f64(10, 300 * gw_rng_uniform(rng) - 150);
  case 2: return 1 + (double)gw_rng_below(rng, 4);
  case 3: return gw_rng_below(rng, 3) ? 1 : 1 / 1.3;
  default: return gw_rng_below(rng, 2) ? GW_DEAL_SPEED_MAX : 1 / GW_DEAL_SPEED_MAX;
  }
}

static void no_deal_ends_earlier(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  for (int i = 0; i < CASES; i++) {
    int32_t ranks = 1 + (int32_t)gw_rng_below(&rng, RANKS_MAX);
    int32_t lanes = ranks + (int32_t)gw_rng_below(&rng, (uint64_t)(LANES_MAX - ranks + 1));
    double speed[RANKS_MAX];
    for (int32_t r = 0; r < ranks; r++) speed[r] = random_speed(&rng, i % 5);
    int32_t first[RANKS_MAX + 1];
    gw_deal(lanes, ranks, speed, first);
    assert_int_equal(first[0], 0);
    assert_int_equal(first[ranks], lanes);
    for (int32_t r = 0; r < ranks; r++) assert_true(first[r] < first[r + 1]);
    assert_true(end_of(ranks, speed, first) == earliest_end(lanes, ranks, speed));
  }
}

/* Also past the lanes on the slowest rank, which decide the end alone, and with ties. */
static void it_is_the_deal_of_one_by_one(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 2);
  for (int i = 0; i < CASES; i++) {
    int32_t ranks = 1 + (int32_t)gw_rng_below(&rng, RANKS_MAX);
    int32_t lanes = ranks + (int32_t)gw_rng_below(&rng, i % 7 ? 20 : 1000);
    double speed[RANKS_MAX];
    for (int32_t r = 0; r < ranks; r++) speed[r] = random_speed(&rng, i % 5);
    int32_t first[RANKS_MAX + 1], expected[RANKS_MAX + 1];
    gw_deal(lanes, ranks, speed, first);
    deal_one_by_one(lanes, ranks, speed, expected);
    assert_memory_equal(first, expected, sizeof *first * (size_t)(ranks + 1));
  }
}

static void equal_ranks_differ_by_one_lane(void **state) {
  (void)state;
  int32_t first[5], same[5];
  gw_deal(11, 4, NULL, first);
  assert_memory_equal(first, ((int32_t[]){0, 3, 6, 9, 11}), sizeof first);
  gw_deal(11, 4, (const double[]){0.1, 0.1, 0.1, 0.1}, same);
  assert_memory_equal(same, first, sizeof first);
  gw_deal(4, 4, NULL, first);
  assert_memory_equal(first, ((int32_t[]){0, 1, 2, 3, 4}), sizeof first);
  gw_deal(7, 1, NULL, first);
  assert_memory_equal(first, ((int32_t[]){0, 7}), 2 * sizeof *first);
}

static void a_slow_rank_gets_less(void **state) {
  (void)state;
  int32_t first[5];
  gw_deal(32, 4, (const double[]){1, 1, 0.5, 1}, first);
  assert_memory_equal(first, ((int32_t[]){0, 10, 19, 23, 32}), sizeof first);
  gw_deal(8, 4, (const double[]){1, 1e-9, 1, 1}, first);
  assert_memory_equal(first, ((int32_t[]){0, 3, 4, 6, 8}), sizeof first);
}

/* No rank could take a lane more and end before another rank ends with more than one. */
static void check_balance(int32_t lanes, int32_t ranks, const double *speed, const int32_t *first) {
  double end = 0, next = 1e300;
  for (int32_t r = 0; r < ranks; r++) {
    int32_t n = first[r + 1] - first[r];
    assert_true(n >= 1);
    if (n > 1) end = largest(end, n / speed[r]);
    if ((n + 1) / speed[r] < next) next = (n + 1) / speed[r];
  }
  assert_true(end <= next);
  assert_int_equal(first[0], 0);
  assert_int_equal(first[ranks], lanes);
}

static void many_ranks_take_less_than_a_second(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 3);
  const int32_t ranks = 100000, lanes[] = {100000, 100001, 1000000, INT32_MAX};
  double *speed = malloc(sizeof *speed * (size_t)ranks);
  int32_t *first = malloc(sizeof *first * (size_t)(ranks + 1));
  assert_non_null(speed);
  assert_non_null(first);
  for (int i = 0; i < 16; i++) {
    for (int32_t r = 0; r < ranks; r++) speed[r] = random_speed(&rng, i / 4);
    clock_t start = clock();
    gw_deal(lanes[i % 4], ranks, speed, first);
    assert_true(clock() - start < CLOCKS_PER_SEC);
    check_balance(lanes[i % 4], ranks, speed, first);
  }
  free(first);
  free(speed);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 20);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_deal_ends_earlier),
      cmocka_unit_test(it_is_the_deal_of_one_by_one),
      cmocka_unit_test(equal_ranks_differ_by_one_lane),
      cmocka_unit_test(a_slow_rank_gets_less),
      cmocka_unit_test(many_ranks_take_less_than_a_second),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
