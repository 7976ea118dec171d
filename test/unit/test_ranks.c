/* Several ranks against one: the numbers contract's N2, in processes that share memory. Whatever
 * the number of ranks, and whoever computes which lanes, the state hash, the loss and every
 * signature are those of one rank. And what ranks verify: a bit that changes in anybody's sums or
 * state ends the step, with the rank named. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/backend_cpu.h"
#include "small_run.h"
#include "train/deal.h"
#include "train/trainer.h"

enum { VOCAB = 61, STEPS = 4, LANES = 5, RANKS_MOST = 5 };

/* Tensors of several shares' size and tiny ones. */
static GwRecipe recipe_of(bool wide) {
  const char *const overrides[] = {"model.layers=2",
                                   wide ? "model.width=160" : "model.width=24",
                                   "model.heads=4",
                                   "model.context=12",
                                   "train.lanes=5",
                                   "train.lane_batch=1",
                                   "train.schedule.warmup_steps=2"};
  return gw_test_recipe(overrides, GW_COUNT_OF(overrides), VOCAB);
}

/* What a rank found. */
typedef struct {
  GwStatus status;
  int32_t accused;
  int64_t steps;
  GwStepReport report[STEPS];
  uint64_t signatures[STEPS][LANES], hash;
} Found;

/* Something that goes wrong at `step` of `rank`, once its lanes are done; NOT_A_NUMBER: before. */
typedef enum { WELL, SUMS_OWN, SUMS_OTHERS, PARAMS, MOMENTS, NOT_A_NUMBER } Trouble;
typedef struct {
  Trouble what;
  int32_t rank;
  int64_t step;
} Fault;

static void flip(void *at) { *(uint32_t *)at ^= UINT32_C(1) << 9; }

/* The first or last tensor's last element: in the share of the first or the last rank. */
static void cause(const GwTrainer *trainer, const Fault *fault, int32_t rank, int32_t ranks) {
  int64_t count, slice[2];
  int64_t *sums = gw_trainer_sums(trainer, &count, slice);
  const GwTensorGroup *state = gw_trainer_state(trainer);
  bool first = (rank == 0) == (fault->what != SUMS_OTHERS);
  int tensor = first || ranks == 1 ? 0 : state->count - 1;
  int64_t offset = (char *)state[0].tensors[tensor].data - (char *)state[0].tensors[0].data;
  switch (fault->what) {
  case WELL: break;
  case SUMS_OWN:
  case SUMS_OTHERS: flip(&sums[offset / 4 + 3]); break;
  case PARAMS: flip((float *)state[0].tensors[tensor].data + 3); break;
  case MOMENTS: flip((float *)state[2].tensors[tensor].data + 3); break;
  case NOT_A_NUMBER: ((float *)state[0].tensors[tensor].data)[3] = NAN; break;
  }
}

static GwStatus train_steps(GwTrainer *trainer, const GwRecipe *recipe, const GwPlace *place,
                            const Fault *fault, Found *found) {
  GwTestBatches batches = {recipe, 7};
  for (int64_t step = 0; step < STEPS; step++) {
    bool now = fault && fault->rank == place->rank && fault->step == step;
    bool before = now && fault->what == NOT_A_NUMBER;
    gw_trainer_begin(trainer);
    if (before) cause(trainer, fault, place->rank, place->ranks);
    GW_TRY(gw_trainer_lanes(trainer, step, gw_test_fill, &batches, found->signatures[step]));
    if (now && !before) cause(trainer, fault, place->rank, place->ranks);
    GW_TRY(gw_trainer_end(trainer, step, NULL, &found->report[step]));
    found->steps++;
  }
  found->hash = gw_trainer_hash(trainer, STEPS);
  return GW_OK;
}

static GwStatus train_in(GwWorld *world, const GwRecipe *recipe, const double *speed, GwPool *pool,
                         const Fault *fault, Found *found) {
  GwTrainer *trainer;
  static const GwPlace alone = {.ranks = 1, .nodes = 1, .node_ranks = 1};
  const GwPlace *place = world ? gw_world_place(world) : &alone;
  int32_t deal[RANKS_MOST + 1];
  GW_TRY(gw_trainer_create_in(world, recipe, gw_backend_cpu(gw_isa_best()), pool, world != NULL,
                              &trainer));
  gw_trainer_init(trainer);
  if (world) GW_TRY(gw_world_barrier(world));
  gw_trainer_state_changed(trainer);
  gw_deal(LANES, place->ranks, speed, deal);
  gw_trainer_deal(trainer, deal[place->rank], deal[place->rank + 1]);
  GwStatus status = train_steps(trainer, recipe, place, fault, found);
  if (status == GW_OK && fault && fault->step == STEPS) { /* after the last one */
    if (fault->rank == place->rank) cause(trainer, fault, place->rank, place->ranks);
    status = gw_world_barrier(world);
    gw_trainer_accuse(trainer);
  }
  found->accused = gw_trainer_accused(trainer);
  gw_trainer_destroy(trainer);
  return status;
}

/* Also called by processes that must not come back to the test. */
static void train(GwWorld *world, const GwRecipe *recipe, const double *speed, int threads,
                  const Fault *fault, Found *found) {
  GwPool *pool;
  found->status = gw_pool_create(threads, &pool);
  if (found->status == GW_OK) found->status = train_in(world, recipe, speed, pool, fault, found);
  if (found->status != GW_OK && !fault) printf("rank: %s\n", gw_error_message());
  gw_pool_destroy(pool);
}

static Found *shared_found(void) {
  void *memory = mmap(NULL, RANKS_MOST * sizeof(Found), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(memory != MAP_FAILED);
  return memory;
}

/* Runs `ranks` processes; found[r] is rank r's. */
static void train_ranks(int32_t ranks, const GwRecipe *recipe, const double *speed, int threads,
                        const Fault *fault, Found *found) {
  char name[64];
  static int runs;
  snprintf(name, sizeof name, "godwit-test-ranks-%d-%d", (int)getpid(), runs++);
  memset(found, 0, RANKS_MOST * sizeof *found);
  for (int32_t r = 0; r < ranks; r++) {
    fflush(NULL);
    if (fork() != 0) continue;
    GwWorld *world;
    if (gw_world_create_local(name, r, ranks, UINT64_C(20000000000), &world) != GW_OK) _exit(1);
    train(world, recipe, speed, threads, fault, &found[r]);
    gw_world_destroy(world);
    _exit(0);
  }
  for (int32_t r = 0; r < ranks; r++) {
    int status = -1;
    assert_true(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

static void assert_same(const Found *wanted, const Found *found) {
  assert_int_equal(found->status, GW_OK);
  assert_true(found->hash == wanted->hash);
  assert_memory_equal(found->report, wanted->report, sizeof wanted->report);
  assert_memory_equal(found->signatures, wanted->signatures, sizeof wanted->signatures);
}

static void same_bits_for_any_number_of_ranks(void **state) {
  (void)state;
  Found *found = shared_found(), alone;
  for (int wide = 0; wide < 2; wide++) {
    GwRecipe recipe = recipe_of(wide);
    memset(&alone, 0, sizeof alone);
    train(NULL, &recipe, NULL, 2, NULL, &alone);
    assert_int_equal(alone.status, GW_OK);
    for (int32_t ranks = 1; ranks <= RANKS_MOST; ranks++) {
      train_ranks(ranks, &recipe, NULL, 1 + ranks % 2, NULL, found);
      for (int32_t r = 0; r < ranks; r++) assert_same(&alone, &found[r]);
    }
    const double uneven[3] = {1, 9, 2}; /* whoever computes how many lanes */
    train_ranks(3, &recipe, uneven, 1, NULL, found);
    for (int32_t r = 0; r < 3; r++) assert_same(&alone, &found[r]);
  }
}

/* Every rank sees the step fail, and all name the same rank. */
static void faults_are_seen_and_named(void **state) {
  (void)state;
  Found *found = shared_found();
  GwRecipe recipe = recipe_of(true);
  for (Trouble what = SUMS_OWN; what <= NOT_A_NUMBER; what++)
    for (int32_t ranks = 2; ranks <= 3; ranks++)
      for (int32_t rank = 0; rank < ranks; rank += ranks - 1) {
        Fault fault = {what, rank, 2};
        train_ranks(ranks, &recipe, NULL, 1, &fault, found);
        for (int32_t r = 0; r < ranks; r++) {
          assert_int_equal(found[r].status, GW_NUMERIC);
          assert_int_equal(found[r].steps, 2);
          assert_int_equal(found[r].accused, rank);
        }
      }
}

/* As when a checkpoint is to be written of it. */
static void what_changes_after_a_step_is_named(void **state) {
  (void)state;
  Found *found = shared_found();
  GwRecipe recipe = recipe_of(true);
  for (Trouble what = WELL; what <= MOMENTS; what++) {
    Fault fault = {what, 2, STEPS};
    bool rests = what == PARAMS || what == MOMENTS; /* in the sums it is no matter */
    train_ranks(3, &recipe, NULL, 1, &fault, found);
    for (int32_t r = 0; r < 3; r++) assert_int_equal(found[r].accused, rests ? 2 : -1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits_for_any_number_of_ranks),
                                     cmocka_unit_test(faults_are_seen_and_named),
                                     cmocka_unit_test(what_changes_after_a_step_is_named)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
