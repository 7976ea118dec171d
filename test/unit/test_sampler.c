/* The sampler: each window once an epoch, the same windows however the batch is cut into lanes, no
 * state; positions count from document starts. */
#include "corpus_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "data/sampler.h"
#include "godwit/log.h"

static uint64_t seed;
static GwCorpus *corpus;

static int open_corpus(void **state) {
  (void)state;
  static char folder[512];
  snprintf(folder, sizeof folder, "%s", gw_test_folder("sampler"));
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
  assert_ok(gw_corpus_open(options.out_dir, true, &corpus));
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
  };
  return cmocka_run_group_tests(tests, open_corpus, close_corpus);
}
