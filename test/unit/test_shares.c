/* Shares of the training state: random tensors and numbers of shares against what must hold of any
 * division, and small ones by hand. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "state/shares.h"

enum { CASES = 20000, TENSORS_MAX = 40, UNIT = GW_SHARE_UNIT };

static uint64_t seed;

/* Sizes around a unit, of a few units, of a few elements and none, and large ones. */
static int64_t random_size(GwRng *rng) {
  switch (gw_rng_below(rng, 5)) {
  case 0: return UNIT - 1 + (int64_t)gw_rng_below(rng, 3);
  case 1: return UNIT * (int64_t)gw_rng_below(rng, 9);
  case 2: return (int64_t)gw_rng_below(rng, 4);
  case 3: return (int64_t)gw_rng_below(rng, 20 * UNIT);
  default: return (int64_t)gw_rng_below(rng, 1000000000);
  }
}

/* The pieces of the shares in their order are all elements in their order, cut at units, and none
 * could be joined to the one before. */
static void check_cover(const int64_t *elements, int32_t tensors, const GwShares *shares) {
  int32_t tensor = 0;
  int64_t at = 0;
  for (int32_t i = 0; i < shares->count; i++) {
    const GwPiece *piece = &shares->pieces[i];
    for (; tensor < tensors && at == elements[tensor]; at = 0) tensor++;
    assert_int_equal(piece->tensor, tensor);
    assert_int_equal(piece->first, at);
    assert_int_equal(at % UNIT, 0);
    assert_true(piece->count > 0 && piece->count <= elements[tensor] - at);
    at += piece->count;
  }
  for (; tensor < tensors && at == elements[tensor]; at = 0) tensor++;
  assert_int_equal(tensor, tensors);
}

static void check_balance(int64_t total, const GwShares *shares) {
  assert_int_equal(shares->begin[0], 0);
  assert_int_equal(shares->begin[shares->shares], shares->count);
  for (int32_t s = 0; s < shares->shares; s++) {
    int64_t size = 0;
    assert_true(shares->begin[s] <= shares->begin[s + 1]);
    for (int32_t i = shares->begin[s]; i < shares->begin[s + 1]; i++) {
      size += shares->pieces[i].count;
      if (i > shares->begin[s])
        assert_true(shares->pieces[i].tensor != shares->pieces[i - 1].tensor);
    }
    assert_true(size <= total / shares->shares + UNIT);
  }
}

static void every_element_is_in_one_share(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  for (int i = 0; i < CASES; i++) {
    int64_t elements[TENSORS_MAX], total = 0;
    int32_t tensors = (int32_t)gw_rng_below(&rng, TENSORS_MAX + 1);
    int32_t count = 1 + (int32_t)gw_rng_below(&rng, i % 3 ? 9 : 300);
    for (int32_t t = 0; t < tensors; t++) total += elements[t] = random_size(&rng);
    GwShares shares;
    assert_ok(gw_shares_create(elements, tensors, count, &shares));
    assert_int_equal(shares.shares, count);
    check_cover(elements, tensors, &shares);
    check_balance(total, &shares);
    gw_shares_destroy(&shares);
  }
}

static void assert_shares(const GwShares *shares, const int32_t *begin, const GwPiece *pieces) {
  assert_memory_equal(shares->begin, begin, sizeof *begin * (size_t)(shares->shares + 1));
  for (int32_t i = 0; i < shares->count; i++) {
    assert_int_equal(shares->pieces[i].tensor, pieces[i].tensor);
    assert_int_equal(shares->pieces[i].first, pieces[i].first);
    assert_int_equal(shares->pieces[i].count, pieces[i].count);
  }
}

static void tensors_are_cut_where_shares_end(void **state) {
  (void)state;
  const int64_t elements[] = {3 * UNIT, 100, 0, 2 * UNIT + 1};
  GwShares shares;
  assert_ok(gw_shares_create(elements, 4, 1, &shares));
  assert_shares(&shares, (int32_t[]){0, 3},
                (GwPiece[]){{0, 0, 3 * UNIT}, {1, 0, 100}, {3, 0, 2 * UNIT + 1}});
  gw_shares_destroy(&shares);
  assert_ok(gw_shares_create(elements, 4, 2, &shares));
  assert_shares(&shares, (int32_t[]){0, 1, 3},
                (GwPiece[]){{0, 0, 3 * UNIT}, {1, 0, 100}, {3, 0, 2 * UNIT + 1}});
  gw_shares_destroy(&shares);
  assert_ok(gw_shares_create(elements, 4, 3, &shares));
  assert_shares(
      &shares, (int32_t[]){0, 1, 4, 5},
      (GwPiece[]){
          {0, 0, 2 * UNIT}, {0, 2 * UNIT, UNIT}, {1, 0, 100}, {3, 0, UNIT}, {3, UNIT, UNIT + 1}});
  gw_shares_destroy(&shares);
}

static void there_may_be_more_shares_than_units(void **state) {
  (void)state;
  GwShares shares;
  assert_ok(gw_shares_create((const int64_t[]){UNIT + 5}, 1, 1000, &shares));
  assert_int_equal(shares.count, 2);
  check_cover((const int64_t[]){UNIT + 5}, 1, &shares);
  check_balance(UNIT + 5, &shares);
  gw_shares_destroy(&shares);
  assert_ok(gw_shares_create(NULL, 0, 3, &shares));
  assert_int_equal(shares.count, 0);
  assert_memory_equal(shares.begin, ((int32_t[]){0, 0, 0, 0}), 4 * sizeof *shares.begin);
  gw_shares_destroy(&shares);
  gw_shares_destroy(&shares);
}

/* Products of sizes and shares beyond 64 bits, on the way, must do no harm. */
static void sizes_may_be_enormous(void **state) {
  (void)state;
  const int64_t elements[] = {INT64_MAX / 4, 1, INT64_MAX / 2};
  const int32_t count = 1000003;
  GwShares shares;
  assert_ok(gw_shares_create(elements, 3, count, &shares));
  check_cover(elements, 3, &shares);
  check_balance(elements[0] + elements[1] + elements[2], &shares);
  gw_shares_destroy(&shares);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 21);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_element_is_in_one_share),
      cmocka_unit_test(tensors_are_cut_where_shares_end),
      cmocka_unit_test(there_may_be_more_shares_than_units),
      cmocka_unit_test(sizes_may_be_enormous),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
