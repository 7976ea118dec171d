/* The choice between threads inside ops and a lane on each: both are tried in turn, the faster one
 * stays. */
#include "support.h"

#include <string.h>

#include "train/lane_way.h"

/* Feeds times until the choice is made: step i takes times[i]. */
static GwLaneWay choose(const uint64_t times[2 * GW_WAY_TRIALS]) {
  GwWayChoice choice = {0};
  for (int i = 0; i < 2 * GW_WAY_TRIALS; i++) {
    assert_int_equal(choice.chosen, GW_WAY_UNDECIDED);
    assert_int_equal(gw_way_next(&choice), i % 2 ? GW_WAY_LANES : GW_WAY_INSIDE);
    gw_way_took(&choice, times[i]);
  }
  assert_int_equal(gw_way_next(&choice), choice.chosen);
  GwLaneWay chosen = choice.chosen;
  gw_way_took(&choice, 1); /* later steps change nothing */
  gw_way_took(&choice, 1000000);
  assert_int_equal(gw_way_next(&choice), chosen);
  return chosen;
}

static void the_faster_way_stays(void **state) {
  (void)state;
  assert_int_equal(choose((const uint64_t[]){90, 50, 10, 9, 10, 9}), GW_WAY_LANES);
  assert_int_equal(choose((const uint64_t[]){90, 50, 10, 11, 10, 12}), GW_WAY_INSIDE);
  /* a slow first step, or one that was disturbed, does not count */
  assert_int_equal(choose((const uint64_t[]){8, 500, 80, 70, 90, 7}), GW_WAY_LANES);
  assert_int_equal(choose((const uint64_t[]){500, 8, 7, 70, 90, 80}), GW_WAY_INSIDE);
  assert_int_equal(choose((const uint64_t[]){5, 5, 5, 5, 5, 5}), GW_WAY_INSIDE);
}

static void a_wish_is_kept(void **state) {
  (void)state;
  GwWayChoice choice = {.chosen = GW_WAY_LANES};
  for (int i = 0; i < 10; i++) {
    assert_int_equal(gw_way_next(&choice), GW_WAY_LANES);
    gw_way_took(&choice, 100);
  }
  assert_int_equal(choice.steps, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_faster_way_stays),
      cmocka_unit_test(a_wish_is_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
