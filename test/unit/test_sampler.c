/* The sampler: each window once an epoch, the same windows however the batch is cut into lanes, no
 * state; positions count from document starts. */
#include "corpus_support.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "base/pool.h"
#include "data/prefetch.h"
#include "godwit/log.h"

static uint64_t seed;
static GwCorpus *corpus;

/* A corpus of several shards; returns its folder. */
static const char *prepare_text(const char *name) {
  char folder[512];
  snprintf(folder, sizeof folder, "%s", gw_test_folder(name));
  const char *input = gw_test_path(folder, "a.jsonl");
  GwRng rng = gw_rng(seed, 1);
  gw_test_write_jsonl(input, &rng, 120, 200);
  GwPrepareOptions options = gw_prepare_default();
  options.out_dir = gw_test_path(folder, "out");
  options.inputs = &input;
  options.input_count = 1;
  options.shard_tokens = 3000; /* windows cross shards */
  GwPrepareReport report;
  assert_ok(gw_prepare(&options, &report));
  return options.out_dir;
}

static int open_corpus(void **state) {
  (void)state;
  assert_ok(gw_corpus_open(prepare_text("sampler"), true, &corpus));
  return 0;
}

static int close_corpus(void **state) {
  (void)state;
  gw_corpus_close(corpus);
  return 0;
}

static void every_window_comes_once_an_epoch(void **state) {
  (void)state;
  GwSampler sampler;
  assert_ok(gw_sampler_init(corpus, seed, 1, 1, 13, &sampler));
  uint64_t n = sampler.windows, tokens = gw_corpus_tokens(corpus, GW_SPLIT_TRAIN);
  assert_int_equal(n, (tokens - 13) / 13);
  char *seen = calloc(n, 1);
  uint64_t offsets = 0, moved = 0;
  for (uint64_t epoch = 0; epoch < 20; epoch++) {
    memset(seen, 0, n);
    uint64_t offset = gw_sampler_window(&sampler, epoch * n) % 13;
    offsets |= UINT64_C(1) << offset;
    for (uint64_t i = 0; i < n; i++) {
      uint64_t first = gw_sampler_window(&sampler, epoch * n + i);
      assert_int_equal(first % 13, offset);
      assert_true(first + 13 < tokens);
      assert_false(seen[first / 13]);
      seen[first / 13] = 1;
      moved += first / 13 != i;
    }
  }
  assert_true(moved > 19 * n);                     /* a real shuffle */
  assert_true(__builtin_popcountll(offsets) >= 5); /* offsets differ between epochs */
  free(seen);
}

static void targets_follow_tokens_across_shards(void **state) {
  (void)state;
  enum { B = 3, T = 17 };
  GwSampler sampler;
  assert_ok(gw_sampler_init(corpus, seed, 2, B, T, &sampler));
  int32_t tokens[B * T], targets[B * T], positions[B * T], wanted[T + 1];
  for (int64_t step = 0; step < 300; step++) {
    assert_ok(gw_sampler_fill(&sampler, step, 1, tokens, targets, positions));
    for (uint64_t b = 0; b < B; b++) {
      uint64_t sample = ((uint64_t)step * 2 + 1) * B + b;
      assert_ok(gw_corpus_read(corpus, GW_SPLIT_TRAIN, gw_sampler_window(&sampler, sample), T + 1,
                               wanted));
      assert_memory_equal(tokens + b * T, wanted, T * sizeof *wanted);
      assert_memory_equal(targets + b * T, wanted + 1, T * sizeof *wanted);
      gw_positions(wanted, T, 256, wanted);
      assert_memory_equal(positions + b * T, wanted, T * sizeof *wanted);
    }
  }
}

/* Sum of the hashes of all rows of a step. */
static uint64_t step_rows(int32_t lanes, int32_t batch, int64_t step) {
  enum { T = 16, ROWS_MAX = 8 };
  int32_t tokens[ROWS_MAX * T], targets[ROWS_MAX * T], positions[ROWS_MAX * T];
  GwSampler sampler;
  uint64_t sum = 0;
  assert_ok(gw_sampler_init(corpus, seed, lanes, batch, T, &sampler));
  for (int32_t lane = lanes - 1; lane >= 0; lane--) {
    assert_ok(gw_sampler_fill(&sampler, step, lane, tokens, targets, positions));
    for (int32_t b = 0; b < batch; b++) sum += gw_hash_bytes(tokens + b * T, T * 4, 0);
  }
  return sum;
}

static void lanes_share_out_the_same_rows(void **state) {
  (void)state;
  uint64_t before = 0;
  for (int64_t step = 0; step < 200; step += 7) {
    uint64_t rows = step_rows(2, 4, step);
    assert_true(rows == step_rows(8, 1, step));
    assert_true(rows == step_rows(1, 8, step));
    assert_true(rows != before);
    before = rows;
  }
}

static void the_seed_decides_the_order(void **state) {
  (void)state;
  GwSampler a, b, c;
  assert_ok(gw_sampler_init(corpus, seed, 1, 1, 16, &a));
  assert_ok(gw_sampler_init(corpus, seed, 1, 1, 16, &b));
  assert_ok(gw_sampler_init(corpus, seed + 1, 1, 1, 16, &c));
  int different = 0;
  for (uint64_t sample = 0; sample < 500; sample++) {
    assert_int_equal(gw_sampler_window(&a, sample), gw_sampler_window(&b, sample));
    different += gw_sampler_window(&a, sample) != gw_sampler_window(&c, sample);
  }
  assert_true(different > 450);
}

static void positions_count_from_document_starts(void **state) {
  (void)state;
  const int32_t tokens[] = {5, 6, 9, 1, 2, 9, 9, 3};
  const int32_t wanted[] = {0, 1, 0, 1, 2, 0, 0, 1};
  int32_t positions[8];
  gw_positions(tokens, 8, 9, positions);
  assert_memory_equal(positions, wanted, sizeof wanted);
}

static void a_context_longer_than_the_data_is_refused(void **state) {
  (void)state;
  uint64_t tokens = gw_corpus_tokens(corpus, GW_SPLIT_TRAIN);
  GwSampler sampler;
  int32_t longest = (int32_t)(tokens / 2 - 1);
  assert_ok(gw_sampler_init(corpus, seed, 1, 1, longest, &sampler));
  for (uint64_t sample = 0; sample < 50; sample++)
    assert_true(gw_sampler_window(&sampler, sample) + (uint64_t)longest < tokens);
  assert_fails(GW_INVALID, "is longer than the data",
               gw_sampler_init(corpus, seed, 1, 1, longest + 1, &sampler));
}

/* Threads take batches of several steps, each in order; what they get is what the sampler gives. */
enum { TAKERS = 3, READ_STEPS = 40, READ_LANES = 4, READ_B = 2, READ_T = 17 };

typedef struct {
  GwPrefetch *prefetch;
  const GwSampler *sampler;
  _Atomic int next, wrong; /* cmocka's assertions belong to its own thread */
} Taking;

static void take_some(void *context, int64_t task, int thread) {
  (void)task, (void)thread;
  Taking *taking = context;
  int32_t got[3][READ_B * READ_T], wanted[3][READ_B * READ_T];
  for (;;) {
    int n = atomic_fetch_add(&taking->next, 1), step = 5 + n / READ_LANES, lane = n % READ_LANES;
    if (n >= READ_STEPS * READ_LANES) return;
    bool same =
        gw_prefetch_take(taking->prefetch, step, lane, got[0], got[1], got[2]) == GW_OK &&
        gw_sampler_fill(taking->sampler, step, lane, wanted[0], wanted[1], wanted[2]) == GW_OK &&
        memcmp(got, wanted, sizeof got) == 0;
    if (!same) atomic_fetch_add(&taking->wrong, 1);
  }
}

static void reading_ahead_gives_the_same(void **state) {
  (void)state;
  GwSampler sampler;
  assert_ok(gw_sampler_init(corpus, seed, READ_LANES, READ_B, READ_T, &sampler));
  for (int threads = 1; threads <= TAKERS; threads++)
    for (int depth = threads; depth <= 9; depth += 3) {
      GwPool *pool;
      Taking taking = {.sampler = &sampler};
      assert_ok(gw_pool_create(threads, &pool));
      assert_ok(gw_prefetch_create(&sampler,
                                   &(GwPrefetchRange){5, 5 + READ_STEPS, 0, sampler.lanes, depth},
                                   &taking.prefetch));
      gw_pool_run(pool, threads, take_some, &taking);
      gw_prefetch_destroy(taking.prefetch);
      gw_pool_destroy(pool);
      assert_int_equal(taking.wrong, 0);
    }
}

/* A token is damaged: the step that reads it fails, and no earlier one. */
static void reading_ahead_fails_where_the_sampler_does(void **state) {
  (void)state;
  GwCorpus *damaged;
  GwSampler sampler;
  GwPrefetch *prefetch;
  int32_t got[3][READ_B * READ_T];
  const char *dir = prepare_text("sampler-damaged");
  FILE *file = fopen(gw_test_path(dir, "train-00000.bin"), "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, 1024 + 2 * 1500, SEEK_SET), 0);
  assert_int_equal(fwrite("\xff\xff", 1, 2, file), 2);
  assert_int_equal(fclose(file), 0);
  assert_ok(gw_corpus_open(dir, false, &damaged));
  assert_ok(gw_sampler_init(damaged, seed, READ_LANES, READ_B, READ_T, &sampler));
  assert_ok(
      gw_prefetch_create(&sampler, &(GwPrefetchRange){0, 1000, 0, sampler.lanes, 3}, &prefetch));
  int n = 0;
  GwStatus status = GW_OK;
  for (; status == GW_OK && n < 4000; n++) {
    char message[512];
    status = gw_sampler_fill(&sampler, n / READ_LANES, n % READ_LANES, got[0], got[1], got[2]);
    snprintf(message, sizeof message, "%s", gw_error_message());
    GwStatus ahead =
        gw_prefetch_take(prefetch, n / READ_LANES, n % READ_LANES, got[0], got[1], got[2]);
    assert_int_equal(ahead, status);
    if (status != GW_OK) assert_string_equal(gw_error_message(), message);
  }
  assert_int_equal(status, GW_CORRUPT);
  assert_true(n > 1);
  gw_prefetch_destroy(prefetch);
  gw_corpus_close(damaged);
}

static void reading_ahead_stops_at_any_time(void **state) {
  (void)state;
  GwSampler sampler;
  int32_t got[3][READ_B * READ_T];
  assert_ok(gw_sampler_init(corpus, seed, READ_LANES, READ_B, READ_T, &sampler));
  for (int taken = 0; taken < 12; taken++) {
    GwPrefetch *prefetch;
    int64_t last = taken % 2 ? 3 : INT64_C(1) << 40;
    assert_ok(gw_prefetch_create(
        &sampler, &(GwPrefetchRange){0, last, 0, sampler.lanes, 1 + taken % 5}, &prefetch));
    for (int n = 0; n < taken; n++)
      assert_ok(gw_prefetch_take(prefetch, n / READ_LANES, n % READ_LANES, got[0], got[1], got[2]));
    gw_prefetch_destroy(prefetch);
  }
  GwPrefetch *nothing;
  assert_ok(gw_prefetch_create(&sampler, &(GwPrefetchRange){7, 7, 0, sampler.lanes, 2},
                               &nothing)); /* a run that is finished */
  gw_prefetch_destroy(nothing);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  gw_log_configure(GW_LOG_ERROR, false);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_window_comes_once_an_epoch),
      cmocka_unit_test(targets_follow_tokens_across_shards),
      cmocka_unit_test(lanes_share_out_the_same_rows),
      cmocka_unit_test(the_seed_decides_the_order),
      cmocka_unit_test(positions_count_from_document_starts),
      cmocka_unit_test(a_context_longer_than_the_data_is_refused),
      cmocka_unit_test(reading_ahead_gives_the_same),
      cmocka_unit_test(reading_ahead_fails_where_the_sampler_does),
      cmocka_unit_test(reading_ahead_stops_at_any_time),
  };
  return cmocka_run_group_tests(tests, open_corpus, close_corpus);
}
