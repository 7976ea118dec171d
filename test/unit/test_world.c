/* The world of local ranks, each a process of its own: what they exchange, how they find each other
 * when some are late or an earlier job left things, and what they say while they wait. The same
 * between nodes: test/e2e/world_mpi.sh. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"
#include "comm/node.h"
#include "comm/world.h"
#include "os/clock.h"
#include "world_check.h"

enum { RANKS_MAX = 7 };
static const int32_t rank_counts[] = {1, 2, 3, 4, RANKS_MAX};
static const uint64_t second_ns = 1000000000;

static uint64_t seed;
static char name[64];

static void nap_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

static GwStatus find_left(void *context, const char *left) {
  snprintf(context, 256, "%s", left);
  return GW_OK;
}

static void expect_no_names_left(void) {
  char left[256] = "";
  assert_ok(gw_shared_list(name, find_left, left));
  assert_string_equal(left, "");
}

/* What a rank does; its exit code is 0 when that is GW_OK. */
typedef GwStatus RankBody(int32_t rank, int32_t ranks);

static pid_t start_rank(RankBody *body, int32_t rank, int32_t ranks) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(100);
    GwStatus status = body(rank, ranks);
    if (status != GW_OK) fprintf(stderr, "rank %d: %s\n", rank, gw_error_message());
    _exit(status == GW_OK ? 0 : 1);
  }
  return child;
}

static void expect_success(pid_t child) {
  int code;
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_true(WIFEXITED(code));
  assert_int_equal(WEXITSTATUS(code), 0);
}

static void run_ranks(RankBody *body, int32_t ranks) {
  pid_t child[RANKS_MAX];
  for (int32_t rank = 0; rank < ranks; rank++) child[rank] = start_rank(body, rank, ranks);
  for (int32_t rank = 0; rank < ranks; rank++) expect_success(child[rank]);
  expect_no_names_left();
}

/* ---- what they exchange ---- */

static GwStatus exchange(int32_t rank, int32_t ranks) {
  GwWorld *world;
  GW_TRY(gw_world_create_local(name, rank, ranks, 30 * second_ns, &world));
  GwStatus status = gw_world_check(world, seed + (uint64_t)ranks, 200, 3000);
  if (status == GW_OK) status = gw_world_check(world, seed, 10, 50000);
  if (status == GW_OK) status = gw_world_finish(world);
  gw_world_destroy(world);
  return status;
}

static void test_local_ranks_get_what_a_plain_computation_gets(void **state) {
  (void)state;
  for (size_t i = 0; i < GW_COUNT_OF(rank_counts); i++) run_ranks(exchange, rank_counts[i]);
}

static void test_alone_everything_works_without_others(void **state) {
  (void)state;
  GwWorld *world;
  assert_ok(gw_world_create_alone(&world));
  const GwPlace *place = gw_world_place(world);
  assert_int_equal(place->ranks, 1);
  assert_int_equal(place->nodes, 1);
  assert_int_equal(place->node_ranks, 1);
  assert_ok(gw_world_check(world, seed, 50, 3000));
  assert_ok(gw_world_finish(world));
  gw_world_destroy(world);
  gw_world_destroy(NULL);
}

static void test_without_mpi_the_message_says_how_to_get_it(void **state) {
  (void)state;
  GwWorld *world;
  if (gw_world_mpi_library()) {
    print_message("built with MPI: only a build without it can say how to get it\n");
    skip();
  }
  assert_fails(GW_UNSUPPORTED, "libopenmpi-dev", gw_world_create_mpi(&world));
}

/* ---- memory ---- */

static GwStatus ask_for_too_much(int32_t rank, int32_t ranks) {
  GwWorld *world;
  void *data;
  GW_TRY(gw_world_create_local(name, rank, ranks, 30 * second_ns, &world));
  GwStatus status = gw_world_memory(world, (size_t)1 << 46, &data);
  if (status == GW_MEMORY && strstr(gw_error_message(), "rank 0: ") &&
      strstr(gw_error_message(), "MiB"))
    status = gw_world_memory(world, 100, &data); /* and the world still works */
  else
    status = gw_fail(GW_MISMATCH, "'%s' instead of 'out of memory'", gw_status_text(status));
  gw_world_destroy(world);
  return status;
}

static void test_memory_that_is_not_there_fails_at_all_ranks(void **state) {
  (void)state;
  run_ranks(ask_for_too_much, 4);
}

/* ---- finding each other ---- */

static GwStatus meet(int32_t rank, int32_t ranks) {
  GwWorld *world;
  GW_TRY(gw_world_create_local(name, rank, ranks, 30 * second_ns, &world));
  GwStatus status = gw_world_check(world, seed, 20, 100);
  gw_world_destroy(world);
  return status;
}

static GwStatus meet_late(int32_t rank, int32_t ranks) {
  nap_ms(200);
  return meet(rank, ranks);
}

static void test_any_rank_may_be_late(void **state) {
  (void)state;
  for (int32_t late = 0; late < 3; late++) {
    pid_t child[3];
    for (int32_t rank = 0; rank < 3; rank++)
      child[rank] = start_rank(rank == late ? meet_late : meet, rank, 3);
    for (int32_t rank = 0; rank < 3; rank++) expect_success(child[rank]);
    expect_no_names_left();
  }
}

/* A job that is killed when some of its ranks have come and one has not: the area stays. */
static void leave_half_a_job(int32_t ranks) {
  pid_t child[RANKS_MAX];
  for (int32_t rank = 0; rank + 1 < ranks; rank++) child[rank] = start_rank(meet, rank, ranks);
  char left[256] = "";
  for (int i = 0; i < 3000 && left[0] == 0; i++) {
    nap_ms(10);
    assert_ok(gw_shared_list(name, find_left, left));
  }
  nap_ms(30); /* for the others to come there */
  for (int32_t rank = 0; rank + 1 < ranks; rank++) {
    kill(child[rank], SIGKILL);
    waitpid(child[rank], NULL, 0);
  }
  assert_string_not_equal(left, "");
}

static void test_half_a_job_of_the_same_name_does_not_matter(void **state) {
  (void)state;
  for (int32_t ranks = 2; ranks <= 4; ranks++) {
    leave_half_a_job(ranks);
    run_ranks(meet, ranks);
  }
}

/* The others find the old area and nothing else for a while. */
static void test_nobody_stays_in_what_is_left(void **state) {
  (void)state;
  leave_half_a_job(4);
  pid_t child[4];
  for (int32_t rank = 0; rank < 4; rank++)
    child[rank] = start_rank(rank == 0 ? meet_late : meet, rank, 4);
  for (int32_t rank = 0; rank < 4; rank++) expect_success(child[rank]);
  expect_no_names_left();
}

/* An area where all had met, and whose name was never removed. */
static void test_a_whole_job_that_was_left_does_not_matter(void **state) {
  (void)state;
  for (int32_t ranks = 2; ranks <= 3; ranks++) {
    GwNode node = {.ranks = ranks};
    _Atomic int32_t waiting;
    node.waiting = &waiting;
    snprintf(node.name, sizeof node.name, "%s", name);
    assert_ok(gw__node_found(&node, 2 * 4096 * (size_t)ranks));
    for (int32_t rank = 0; rank < ranks; rank++) {
      node.page->row[rank].hello = node.page->row[rank].answer = 12345;
      node.page->row[rank].stays = 1;
    }
    node.page->complete = 1;
    gw__node_leave(&node);
    pid_t child[3];
    for (int32_t rank = 0; rank < ranks; rank++)
      child[rank] = start_rank(rank == 0 ? meet_late : meet, rank, ranks);
    for (int32_t rank = 0; rank < ranks; rank++) expect_success(child[rank]);
    expect_no_names_left();
  }
}

static void test_another_kind_of_area_under_the_name_does_not_matter(void **state) {
  (void)state;
  GwShared other;
  assert_ok(gw_shared_create(name, 4096, &other));
  gw_shared_close(&other);
  pid_t child[2] = {start_rank(meet_late, 0, 2), start_rank(meet, 1, 2)};
  for (int32_t rank = 0; rank < 2; rank++) expect_success(child[rank]);
}

static void test_who_waits_in_vain_says_for_whom(void **state) {
  (void)state;
  GwWorld *world;
  assert_fails(GW_IO, "rank 0", gw_world_create_local(name, 1, 2, second_ns / 20, &world));
  assert_fails(GW_IO, "1 of 3", gw_world_create_local(name, 0, 3, second_ns / 20, &world));
  expect_no_names_left();
  char longer[GW_SHARED_NAME_MAX + 1];
  memset(longer, 'x', GW_SHARED_NAME_MAX);
  longer[GW_SHARED_NAME_MAX] = 0;
  assert_fails(GW_INVALID, "too long", gw_world_create_local(longer, 0, 2, second_ns, &world));
}

/* ---- waiting ---- */

/* Rank 0 is late at the second barrier; the others are seen waiting, and use no time for it. */
static GwStatus show_waiting(int32_t rank, int32_t ranks) {
  GwWorld *world;
  void *memory;
  GW_TRY(gw_world_create_local(name, rank, ranks, 30 * second_ns, &world));
  GW_TRY(gw_world_memory(world, 4096, &memory));
  _Atomic int32_t *waiting = memory;
  gw_world_watch(world, &waiting[rank]);
  GW_TRY(gw_world_barrier(world));
  struct timespec used;
  if (rank == 0) {
    uint64_t until = gw_clock_ns() + 30 * second_ns;
    for (int32_t i = 1; i < ranks; i++)
      while (waiting[i] != 1 && gw_clock_ns() < until) nap_ms(1);
    for (int32_t i = 0; i < ranks; i++)
      if (waiting[i] != (i > 0)) return gw_fail(GW_MISMATCH, "rank %d: %d", i, waiting[i]);
    nap_ms(500);
  }
  GW_TRY(gw_world_barrier(world));
  if (waiting[rank] != 0) return gw_fail(GW_MISMATCH, "still waiting");
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  if (rank > 0 && used.tv_sec * 1000 + used.tv_nsec / 1000000 > 200)
    return gw_fail(GW_MISMATCH, "waiting takes the processor");
  gw_world_destroy(world);
  return GW_OK;
}

static void test_who_waits_is_seen_waiting_and_takes_no_time(void **state) {
  (void)state;
  run_ranks(show_waiting, 4);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  snprintf(name, sizeof name, "test-world-%d", (int)getpid());
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_local_ranks_get_what_a_plain_computation_gets),
      cmocka_unit_test(test_alone_everything_works_without_others),
      cmocka_unit_test(test_without_mpi_the_message_says_how_to_get_it),
      cmocka_unit_test(test_memory_that_is_not_there_fails_at_all_ranks),
      cmocka_unit_test(test_any_rank_may_be_late),
      cmocka_unit_test(test_half_a_job_of_the_same_name_does_not_matter),
      cmocka_unit_test(test_nobody_stays_in_what_is_left),
      cmocka_unit_test(test_a_whole_job_that_was_left_does_not_matter),
      cmocka_unit_test(test_another_kind_of_area_under_the_name_does_not_matter),
      cmocka_unit_test(test_who_waits_in_vain_says_for_whom),
      cmocka_unit_test(test_who_waits_is_seen_waiting_and_takes_no_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
