/* Preparation: the same corpus for any thread count, order of inputs (the split), and interruption;
 * copies dropped; the tail of a lone document held out; bad input refused with one clear line. */
#include "corpus_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "data/corpus.h"
#include "data/corpus_manifest.h"
#include "data/preparation.h"
#include "godwit/log.h"

static uint64_t seed;
static const char *folder; /* of the running test */

static GwPrepareOptions options_for(const char *out, const char *const *inputs, int count) {
  GwPrepareOptions options = gw_prepare_default();
  options.out_dir = gw_test_path(folder, out);
  options.inputs = inputs;
  options.input_count = count;
  options.threads = 1;
  return options;
}

static void start(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s", gw_test_folder(name));
  folder = path;
}

static char *split_text(const GwCorpus *corpus, GwSplit split, size_t *size) {
  const GwTokenizer *tokenizer = gw_corpus_tokenizer(corpus);
  size_t count = gw_corpus_tokens(corpus, split);
  int32_t *tokens = malloc((count + 1) * sizeof *tokens);
  assert_ok(gw_corpus_read(corpus, split, 0, count, tokens));
  GwText text = {0};
  assert_ok(gw_text_reserve(&text, 1));
  uint64_t documents = 0;
  for (size_t i = 0; i < count; i++) {
    size_t length = 0;
    const uint8_t *bytes = gw_tokenizer_bytes(tokenizer, tokens[i], &length);
    documents += tokens[i] == gw_tokenizer_end_of_text(tokenizer);
    assert_ok(gw_text_append(&text, bytes, length));
  }
  assert_int_equal(documents, gw_corpus_documents(corpus, split));
  assert_int_equal(text.size, gw_corpus_bytes(corpus, split));
  if (count) assert_int_equal(tokens[0], gw_tokenizer_end_of_text(tokenizer));
  free(tokens);
  *size = text.size;
  return text.data;
}

static void a_lone_document_is_cut_at_its_tail(void **state) {
  (void)state;
  start("lone");
  GwText text = {0};
  GwRng rng = gw_rng(seed, 1);
  gw_test_text(&rng, 300000, false, &text);
  const char *input = gw_test_path(folder, "a.txt");
  gw_test_write(input, text.data, text.size);
  static const char *const tokenizers[] = {"byte", "bpe"};
  for (size_t t = 0; t < 2; t++) {
    GwPrepareOptions options = options_for(tokenizers[t], &input, 1);
    options.tokenizer = tokenizers[t];
    options.vocab_size = 300;
    options.threads = 2;
    GwPrepareReport report = {0};
    assert_ok(gw_prepare(&options, &report));
    assert_int_equal(report.train_bytes + report.val_bytes, text.size);
    assert_int_equal(report.train_bytes, gw_text_tail(text.data, text.size, 0.1));
    assert_int_equal(report.vocab_size, t == 0 ? 257 : 300);
    GwCorpus *corpus = NULL;
    assert_ok(gw_corpus_open(options.out_dir, true, &corpus));
    size_t train, val;
    char *front = split_text(corpus, GW_SPLIT_TRAIN, &train);
    char *tail = split_text(corpus, GW_SPLIT_VAL, &val);
    assert_memory_equal(front, text.data, train);
    assert_memory_equal(tail, text.data + train, val);
    gw_corpus_close(corpus);
    free(front);
    free(tail);
  }
  gw_text_deinit(&text);
}

static void threads_change_nothing(void **state) {
  (void)state;
  start("threads");
  GwRng rng = gw_rng(seed, 2);
  const char *inputs[] = {gw_test_path(folder, "a.jsonl"), gw_test_path(folder, "b.txt")};
  gw_test_write_jsonl(inputs[0], &rng, 700, 13000); /* more than one batch */
  GwText text = {0};
  gw_test_text(&rng, 400000, true, &text);
  gw_test_write(inputs[1], text.data, text.size);
  gw_text_deinit(&text);
  static const char *const outs[] = {"one", "two", "three"};
  static const int threads[] = {1, 2, 3};
  GwPrepareReport reports[3] = {0};
  for (size_t i = 0; i < 3; i++) {
    GwPrepareOptions options = options_for(outs[i], inputs, 2);
    options.tokenizer = "bpe";
    options.vocab_size = 400;
    options.shard_tokens = 300000;
    options.licence = "made up";
    options.threads = threads[i];
    assert_ok(gw_prepare(&options, &reports[i]));
    assert_memory_equal(&reports[0], &reports[i], sizeof reports[0]);
    if (i > 0) gw_test_same_folder(gw_test_path(folder, "one"), options.out_dir);
  }
  assert_true(reports[0].duplicates >= 700 / 7);
  assert_int_equal(reports[0].documents + reports[0].duplicates, 701);
  assert_true(reports[0].val_bytes > 0 && reports[0].val_bytes < reports[0].train_bytes);
}

static int compare_lines(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The split's documents in sorted order, one per line. */
static char *sorted_documents(const char *out, GwSplit split) {
  GwCorpus *corpus = NULL;
  size_t size, count = 0;
  assert_ok(gw_corpus_open(gw_test_path(folder, out), true, &corpus));
  char *text = split_text(corpus, split, &size), *lines[1000], *rest = text;
  text = realloc(text, size + 1);
  text[size] = 0;
  for (rest = text; *rest && count < 1000; count++) {
    lines[count] = rest;
    rest = strchr(rest, ';');
    *rest++ = 0;
  }
  qsort(lines, count, sizeof *lines, compare_lines);
  char *joined = calloc(1, size + 1);
  for (size_t i = 0; i < count; i++) strcat(strcat(joined, lines[i]), ";");
  gw_corpus_close(corpus);
  free(text);
  return joined;
}

static void order_of_inputs_does_not_change_the_split(void **state) {
  (void)state;
  start("order");
  const char *inputs[80];
  const char *turned[80];
  for (int i = 0; i < 80; i++) {
    char name[32], text[32];
    snprintf(name, sizeof name, "%02d.txt", i);
    snprintf(text, sizeof text, "document %d;", i % 70); /* ten copies */
    inputs[i] = turned[79 - i] = gw_test_path(folder, name);
    gw_test_write(inputs[i], text, strlen(text));
  }
  GwPrepareReport reports[2] = {0};
  GwPrepareOptions a = options_for("a", inputs, 80), b = options_for("b", turned, 80);
  a.val_fraction = b.val_fraction = 0.3;
  assert_ok(gw_prepare(&a, &reports[0]));
  assert_ok(gw_prepare(&b, &reports[1]));
  assert_memory_equal(&reports[0], &reports[1], sizeof reports[0]);
  assert_int_equal(reports[0].documents, 70);
  assert_int_equal(reports[0].duplicates, 10);
  assert_int_equal(reports[0].train_bytes + reports[0].val_bytes, 10 * 11 + 60 * 12);
  for (GwSplit split = GW_SPLIT_TRAIN; split <= GW_SPLIT_VAL; split++) {
    char *first = sorted_documents("a", split), *second = sorted_documents("b", split);
    assert_string_equal(first, second);
    assert_true(strlen(first) > 20);
    free(first);
    free(second);
  }
}

static void neither_side_is_empty_with_two_documents(void **state) {
  (void)state;
  start("two");
  static const double fractions[] = {1e-9, 0.1, 0.5, 0.999};
  const char *inputs[] = {gw_test_path(folder, "a.txt"), gw_test_path(folder, "b.txt")};
  for (int round = 0; round < 12; round++) {
    char text[32], out[32];
    for (int i = 0; i < 2; i++) {
      snprintf(text, sizeof text, "%d of %d", i, round);
      gw_test_write(inputs[i], text, strlen(text));
    }
    snprintf(out, sizeof out, "out-%d", round);
    GwPrepareOptions options = options_for(out, inputs, 2);
    options.val_fraction = fractions[round % 4];
    GwPrepareReport report = {0};
    assert_ok(gw_prepare(&options, &report));
    assert_true(report.train_bytes == 6 || round >= 10);
    assert_true(report.train_bytes > 0 && report.val_bytes > 0);
  }
  GwPrepareOptions options = options_for("all", inputs, 2);
  GwPrepareReport report = {0};
  options.val_fraction = 0;
  assert_ok(gw_prepare(&options, &report));
  assert_int_equal(report.val_tokens, 0);
  GwCorpus *corpus = NULL;
  assert_ok(gw_corpus_open(options.out_dir, true, &corpus));
  gw_corpus_close(corpus);
}

static void shards_end_with_documents(void **state) {
  (void)state;
  start("shards");
  const char *input = gw_test_path(folder, "a.jsonl");
  GwRng rng = gw_rng(seed, 5);
  gw_test_write_jsonl(input, &rng, 100, 500);
  GwPrepareOptions options = options_for("out", &input, 1);
  options.shard_tokens = 2000;
  GwPrepareReport report = {0};
  assert_ok(gw_prepare(&options, &report));
  GwCorpusManifest manifest;
  assert_ok(gw_corpus_manifest_read(gw_fs_disk(), options.out_dir, true, &manifest));
  const GwManifestSplit *train = &manifest.split[GW_SPLIT_TRAIN];
  assert_true(train->count > 5);
  uint64_t tokens = 0;
  GwCorpus *corpus = NULL;
  assert_ok(gw_corpus_open(options.out_dir, true, &corpus));
  for (size_t i = 0; i < train->count; i++) {
    const GwManifestShard *shard = &train->shards[i];
    int32_t head = 0;
    assert_ok(gw_corpus_read(corpus, GW_SPLIT_TRAIN, tokens, 1, &head));
    assert_int_equal(head, 256);
    assert_int_equal(shard->tokens, shard->bytes + shard->documents);
    assert_true(i + 1 == train->count || (shard->tokens >= 2000 && shard->tokens < 3000));
    tokens += shard->tokens;
  }
  assert_int_equal(tokens, report.train_tokens);
  gw_corpus_close(corpus);
  gw_corpus_manifest_deinit(&manifest);
}

/* ---- interruption ---- */

static GwFs killing; /* the disk, until the given number of changes was made */
static int changes_left;

static void count_change(void) {
  if (changes_left-- == 0) raise(SIGKILL);
}

static GwStatus killing_write(GwFs *fs, GwFile *file, const void *data, size_t size) {
  (void)fs;
  count_change();
  return gw_fs_disk()->write(gw_fs_disk(), file, data, size);
}

static GwStatus killing_rename(GwFs *fs, const char *from, const char *to) {
  (void)fs;
  count_change();
  return gw_fs_disk()->rename(gw_fs_disk(), from, to);
}

static GwStatus killing_remove(GwFs *fs, const char *path) {
  (void)fs;
  count_change();
  return gw_fs_disk()->remove(gw_fs_disk(), path);
}

static GwStatus killing_sync(GwFs *fs, GwFile *file) {
  (void)fs;
  count_change();
  return gw_fs_disk()->sync_file(gw_fs_disk(), file);
}

/* Prepares in a process that is killed at its change number `changes`; false when it got through.
 */
static bool killed_at(const GwPrepareOptions *options, int changes) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    GwPrepareReport report;
    gw_log_configure(GW_LOG_ERROR, false);
    killing = *gw_fs_disk();
    killing.write = killing_write;
    killing.rename = killing_rename;
    killing.remove = killing_remove;
    killing.sync_file = killing_sync;
    changes_left = changes;
    _exit(gw_prepare_on(&killing, options, &report) == GW_OK ? 0 : 9);
  }
  int result = 0;
  assert_int_equal(waitpid(child, &result, 0), child);
  if (WIFSIGNALED(result)) return true;
  assert_int_equal(WEXITSTATUS(result), 0);
  return false;
}

static void an_interrupted_preparation_ends_the_same(void **state) {
  (void)state;
  start("kill");
  const char *input = gw_test_path(folder, "a.jsonl");
  GwRng rng = gw_rng(seed, 6);
  gw_test_write_jsonl(input, &rng, 60, 300);
  GwPrepareOptions options = options_for("whole", &input, 1);
  options.tokenizer = "bpe";
  options.vocab_size = 300;
  options.shard_tokens = 2000;
  options.val_fraction = 0.3;
  GwPrepareReport whole = {0}, report = {0};
  assert_ok(gw_prepare(&options, &whole));
  GwPrepareOptions again = options;
  again.out_dir = gw_test_path(folder, "killed");
  int kills = 0;
  for (; killed_at(&again, kills); kills++) {
    GwCorpus *corpus = NULL;
    bool finished =
        gw_fs_disk()->exists(gw_fs_disk(), gw_test_path(again.out_dir, "manifest.json"));
    if (!finished) assert_int_not_equal(gw_corpus_open(again.out_dir, true, &corpus), GW_OK);
    if (kills % 3 == 0) killed_at(&again, kills / 2);
    again.threads = 1 + kills % 2;
    assert_ok(gw_prepare(&again, &report)); /* found, or gone on with */
    assert_int_equal(report.train_tokens, whole.train_tokens);
    gw_test_same_folder(options.out_dir, again.out_dir);
    assert_ok(gw_fs_remove_tree(gw_fs_disk(), again.out_dir));
  }
  printf("killed at %d places\n", kills);
  assert_true(kills > 30);
}

static void finished_shards_are_kept_and_checked(void **state) {
  (void)state;
  start("keep");
  const char *input = gw_test_path(folder, "a.jsonl");
  GwRng rng = gw_rng(seed, 7);
  gw_test_write_jsonl(input, &rng, 60, 300);
  GwPrepareOptions options = options_for("whole", &input, 1);
  options.shard_tokens = 800;
  GwPrepareReport report = {0};
  assert_ok(gw_prepare(&options, &report));
  GwPrepareOptions again = options;
  again.out_dir = gw_test_path(folder, "killed");
  assert_true(killed_at(&again, 60));
  GwCorpusManifest progress;
  assert_ok(gw_corpus_manifest_read(gw_fs_disk(), again.out_dir, false, &progress));
  assert_true(progress.split[GW_SPLIT_TRAIN].count >= 3);
  gw_corpus_manifest_deinit(&progress);
  size_t size;
  const char *shard = gw_test_path(again.out_dir, "train-00001.bin");
  char *data = gw_test_read(shard, &size);
  data[1200] ^= 1;
  gw_test_write(shard, data, size);
  free(data);
  GwPrepareOptions other = again;
  other.val_fraction = 0.2;
  assert_fails(GW_EXISTS, "unfinished corpus made with other options", gw_prepare(&other, &report));
  assert_ok(gw_prepare(&again, &report));
  gw_test_same_folder(options.out_dir, again.out_dir);
}

static void a_finished_corpus_is_found_or_refused(void **state) {
  (void)state;
  start("found");
  const char *inputs[] = {gw_test_path(folder, "a.txt"), gw_test_path(folder, "b.txt")};
  gw_test_write(inputs[0], "some text, long enough to split", 31);
  gw_test_write(inputs[1], "other text", 10);
  GwPrepareOptions options = options_for("out", inputs, 1);
  GwPrepareReport first = {0}, second = {0};
  assert_ok(gw_prepare(&options, &first));
  assert_false(first.found);
  options.threads = 2;
  assert_ok(gw_prepare(&options, &second));
  assert_true(second.found);
  second.found = false;
  assert_memory_equal(&first, &second, sizeof first);
  options.input_count = 2;
  assert_fails(GW_EXISTS, "holds a corpus made with other inputs", gw_prepare(&options, &second));
  options.input_count = 1;
  options.val_fraction = 0.2;
  assert_fails(GW_EXISTS, "holds a corpus made with other options", gw_prepare(&options, &second));
  const char *stray = gw_test_path(folder, "stray");
  assert_ok(gw_fs_make_dirs(gw_fs_disk(), stray));
  gw_test_write(gw_test_path(stray, "train-00000.bin"), "precious", 8);
  options.out_dir = stray;
  assert_fails(GW_EXISTS, "train-00000.bin: is there", gw_prepare(&options, &second));
}

static void standard_input_is_read(void **state) {
  (void)state;
  start("stdin");
  const char *input = gw_test_path(folder, "a.txt"), *dash = "-";
  gw_test_write(input, "text through a pipe, or a file", 30);
  GwPrepareOptions from_file = options_for("file", &input, 1),
                   piped = options_for("pipe", &dash, 1);
  GwPrepareReport report = {0};
  assert_ok(gw_prepare(&from_file, &report));
  assert_non_null(freopen(input, "rb", stdin));
  assert_ok(gw_prepare(&piped, &report));
  assert_int_equal(report.train_bytes, 27);
  const char *both[] = {"-", "-"};
  GwPrepareOptions twice = options_for("twice", both, 2);
  assert_fails(GW_USAGE, "read only once", gw_prepare(&twice, &report));
  size_t a, b;
  char *one = gw_test_read(gw_test_path(from_file.out_dir, "train-00000.bin"), &a);
  char *two = gw_test_read(gw_test_path(piped.out_dir, "train-00000.bin"), &b);
  assert_int_equal(a, b);
  assert_memory_equal(one, two, a);
  free(one);
  free(two);
  assert_false(gw_fs_disk()->exists(gw_fs_disk(), gw_test_path(piped.out_dir, "stdin.spool")));
}

static void bad_options_and_inputs_are_refused(void **state) {
  (void)state;
  start("bad");
  const char *input = gw_test_path(folder, "a.txt");
  gw_test_write(input, "", 0);
  GwPrepareOptions options = options_for("out", &input, 1);
  GwPrepareReport report;
  assert_fails(GW_INVALID, "a.txt: empty", gw_prepare(&options, &report));
  gw_test_write(input, "x", 1);
  assert_fails(GW_INVALID, "a.txt: 1 bytes are too few", gw_prepare(&options, &report));
  gw_test_write(input, "\0\1\2", 3);
  assert_fails(GW_INVALID, "a.txt: not text", gw_prepare(&options, &report));
  options.tokenizer = "bpe";
  options.vocab_size = 100;
  assert_fails(GW_USAGE, "vocab_size 100", gw_prepare(&options, &report));
  options.tokenizer = "no-such.json";
  assert_fails(GW_NOT_FOUND, "no-such.json: no such tokenizer", gw_prepare(&options, &report));
  options.tokenizer = "byte";
  options.val_fraction = 1;
  assert_fails(GW_USAGE, "val_fraction 1", gw_prepare(&options, &report));
  options.val_fraction = 0.1;
  options.input_count = 0;
  assert_fails(GW_USAGE, "no input", gw_prepare(&options, &report));
  const char *missing = "no-such-input";
  GwPrepareOptions other = options_for("never", &missing, 1);
  assert_fails(GW_NOT_FOUND, "no-such-input", gw_prepare(&other, &report));
  assert_false(gw_fs_disk()->exists(gw_fs_disk(), other.out_dir)); /* nothing was made */
}

/* White space and the last digit of a fraction may change without changing what is said. */
static bool same_json(const char *a, const char *b) {
  json_t *first = json_loads(a, 0, NULL), *second = json_loads(b, 0, NULL);
  bool same = first && second && json_equal(first, second);
  json_decref(first);
  json_decref(second);
  return same;
}

static void a_damaged_corpus_is_refused(void **state) {
  (void)state;
  start("damaged");
  const char *input = gw_test_path(folder, "a.txt");
  gw_test_write(input, "some text, long enough to split", 31);
  GwPrepareOptions options = options_for("out", &input, 1);
  GwPrepareReport report;
  assert_ok(gw_prepare(&options, &report));
  static const char *const names[] = {"train-00000.bin", "val-00000.bin", "manifest.json"};
  for (size_t n = 0; n < GW_COUNT_OF(names); n++) {
    const char *path = gw_test_path(options.out_dir, names[n]);
    GwCorpus *corpus = NULL;
    size_t size;
    char *data = gw_test_read(path, &size), *whole = gw_test_read(path, &size);
    gw_test_write(path, data, size - 3);
    assert_fails(GW_CORRUPT, names[n], gw_corpus_open(options.out_dir, false, &corpus));
    for (size_t i = 0; i < size; i += 1 + (n < 2 && i < 1000 ? 97u : 0u)) {
      data[i] ^= 1;
      gw_test_write(path, data, size);
      GwStatus status = gw_corpus_open(options.out_dir, true, &corpus);
      if (status == GW_OK) gw_corpus_close(corpus);
      if (status == GW_OK && (n < 2 || !same_json(data, whole)))
        fail_msg("%s: byte %zu changed unnoticed", names[n], i);
      data[i] ^= 1;
    }
    gw_test_write(path, data, size);
    free(data);
    free(whole);
  }
  GwCorpus *corpus = NULL;
  assert_ok(gw_corpus_open(options.out_dir, true, &corpus));
  gw_corpus_close(corpus);
  assert_fails(GW_NOT_FOUND, "no prepared corpus", gw_corpus_open(folder, true, &corpus));
}

static void an_id_outside_the_vocabulary_is_caught(void **state) {
  (void)state;
  start("range");
  const char *input = gw_test_path(folder, "a.txt");
  gw_test_write(input, "some text, long enough to split", 31);
  GwPrepareOptions options = options_for("out", &input, 1);
  GwPrepareReport report;
  assert_ok(gw_prepare(&options, &report));
  size_t size;
  const char *shard = gw_test_path(options.out_dir, "train-00000.bin");
  char *data = gw_test_read(shard, &size);
  data[1024 + 2 * 5 + 1] = 7;
  gw_test_write(shard, data, size);
  free(data);
  GwCorpus *corpus = NULL;
  int32_t tokens[28];
  assert_ok(gw_corpus_open(options.out_dir, false, &corpus));
  assert_ok(gw_corpus_read(corpus, GW_SPLIT_TRAIN, 0, 5, tokens));
  assert_fails(GW_CORRUPT, "token 5 of the train shards",
               gw_corpus_read(corpus, GW_SPLIT_TRAIN, 0, 28, tokens));
  gw_corpus_close(corpus);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  gw_log_configure(GW_LOG_ERROR, false);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_lone_document_is_cut_at_its_tail),
      cmocka_unit_test(threads_change_nothing),
      cmocka_unit_test(order_of_inputs_does_not_change_the_split),
      cmocka_unit_test(neither_side_is_empty_with_two_documents),
      cmocka_unit_test(shards_end_with_documents),
      cmocka_unit_test(an_interrupted_preparation_ends_the_same),
      cmocka_unit_test(finished_shards_are_kept_and_checked),
      cmocka_unit_test(a_finished_corpus_is_found_or_refused),
      cmocka_unit_test(standard_input_is_read),
      cmocka_unit_test(bad_options_and_inputs_are_refused),
      cmocka_unit_test(a_damaged_corpus_is_refused),
      cmocka_unit_test(an_id_outside_the_vocabulary_is_caught),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
