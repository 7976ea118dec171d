/* Generation: the choice of tokens has the distribution that the options name, text comes in whole
 * characters, and a run's text depends on the seed alone. */
#include "infer_support.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "corpus_support.h"
#include "godwit/eval.h"
#include "godwit/generate.h"
#include "godwit/inspect.h"
#include "godwit/log.h"
#include "godwit/prepare.h"
#include "infer/loaded_model.h"
#include "infer/text_stream.h"
#include "infer/token_choice.h"
#include "tokenizer/tokenizer_formats.h"

static uint64_t seed;

/* ---- the choice of a token ---- */

static const float LOGITS[] = {1.5f, -2, 3, 0, 3, 1, -FLT_MAX, 0.5f};
enum { LOGIT_COUNT = GW_COUNT_OF(LOGITS) };

static void expect_candidates(GwTokenChoice choice, const char *ids) {
  GwTokenCandidate candidates[2 * LOGIT_COUNT];
  char found[LOGIT_COUNT + 1] = "";
  int32_t count = gw_token_candidates(&choice, LOGITS, LOGIT_COUNT, candidates);
  for (int32_t i = 0; i < count; i++) found[i] = (char)('0' + candidates[i].id);
  assert_string_equal(found, ids);
}

static void candidates_are_what_the_options_say(void **state) {
  (void)state;
  /* probabilities: 0.401 0.401 0.089 0.054 0.033 0.020 0.003, and 0 for token 6 */
  expect_candidates((GwTokenChoice){1, 0, 1}, "01234567"); /* no choice among them, no order */
  expect_candidates((GwTokenChoice){1, 8, 1}, "2405731");
  expect_candidates((GwTokenChoice){1, 3, 1}, "240");
  expect_candidates((GwTokenChoice){1, 1, 1}, "2"); /* of equals the lowest */
  expect_candidates((GwTokenChoice){1, 0, 0.4}, "2");
  expect_candidates((GwTokenChoice){1, 0, 0.8}, "24");
  expect_candidates((GwTokenChoice){1, 0, 0.9}, "2405"); /* 0.890 is not enough */
  expect_candidates((GwTokenChoice){1, 2, 0.6}, "24");   /* top-k first, then half each */
  expect_candidates((GwTokenChoice){1, 2, 0.4}, "2");
  expect_candidates((GwTokenChoice){1e-4, 8, 1}, "24");
}

static double expected_share(const GwTokenChoice *choice, int32_t id) {
  double total = 0;
  for (int i = 0; i < LOGIT_COUNT; i++)
    if (i != 6) total += gw_exp_f64((double)LOGITS[i] / choice->temperature);
  return id == 6 ? 0 : gw_exp_f64((double)LOGITS[id] / choice->temperature) / total;
}

static void draws_have_the_softmax_distribution(void **state) {
  (void)state;
  enum { DRAWS = 40000 };
  static const double temperatures[] = {0.5, 1, 2};
  GwTokenCandidate candidates[2 * LOGIT_COUNT];
  for (size_t t = 0; t < GW_COUNT_OF(temperatures); t++) {
    GwTokenChoice choice = {temperatures[t], 0, 1};
    GwRng rng = gw_rng(seed, t);
    int counts[LOGIT_COUNT] = {0};
    for (int i = 0; i < DRAWS; i++) {
      int32_t id = -1;
      assert_ok(gw_token_choose(&choice, LOGITS, LOGIT_COUNT, &rng, candidates, &id));
      counts[id]++;
    }
    for (int32_t id = 0; id < LOGIT_COUNT; id++) {
      double p = expected_share(&choice, id), found = (double)counts[id] / DRAWS;
      double five_sigma = 5 * gw_sqrt_f64(p * (1 - p) / DRAWS);
      assert_true(found >= p - five_sigma && found <= p + five_sigma);
    }
  }
}

static void greedy_takes_the_lowest_of_the_largest(void **state) {
  (void)state;
  GwTokenChoice greedy = {0, 0, 1};
  GwTokenCandidate candidates[2 * LOGIT_COUNT];
  float logits[LOGIT_COUNT];
  GwRng rng = gw_rng(seed, 0);
  int32_t id = -1;
  memcpy(logits, LOGITS, sizeof logits);
  assert_ok(gw_token_choose(&greedy, logits, LOGIT_COUNT, &rng, candidates, &id));
  assert_int_equal(id, 2);
  logits[2] = 2;
  assert_ok(gw_token_choose(&greedy, logits, LOGIT_COUNT, &rng, candidates, &id));
  assert_int_equal(id, 4);
  for (int bad = 0; bad < 2; bad++) {
    GwTokenChoice choice = {bad, 0, 1};
    logits[3] = bad ? (float)(0.0 / 0.0) : (float)(1.0 / 0.0);
    assert_fails(GW_NUMERIC, "token 3",
                 gw_token_choose(&choice, logits, LOGIT_COUNT, &rng, candidates, &id));
  }
}

/* ---- whole characters ---- */

static GwStatus collect(void *context, const char *text, size_t size) {
  assert_true(size > 0);
  return gw_text_append(context, text, size);
}

static GwStatus collect_whole(void *context, const char *text, size_t size) {
  assert_int_equal(gw_text_invalid_bytes(text, size), 0);
  return collect(context, text, size);
}

static void unfinished_characters_are_recognised(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t held;
  } cases[] = {{"", 0},
               {"a", 0},
               {"\xc3", 1},
               {"a\xc3", 1},
               {"\xc3\xa9", 0},
               {"\xe2\x82", 2},
               {"\xe2\x82\xac", 0},
               {"\xf0\x9f\x98", 3},
               {"\xf0\x9f", 2},
               {"\xc0", 0},
               {"\xc1", 0},
               {"\xf5", 0},
               {"\xff", 0},
               {"\x80", 0},
               {"\xe0\x80", 0},
               {"\xe0\xa0", 2},
               {"\xed\xa0", 0},
               {"\xed\x9f", 2},
               {"\xf0\x80", 0},
               {"\xf0\x90", 2},
               {"\xf4\x90", 0},
               {"\xf4\x8f", 2},
               {"\xe2\x28", 0},
               {"\xe2\xe2", 1},
               {"\xc3\xa9\x80", 0},
               {"\xf0\x9f\x98\x80", 0}};
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++)
    assert_int_equal(gw_text_unfinished(cases[i].text, strlen(cases[i].text)), cases[i].held);
}

static void text_comes_in_whole_characters(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 30);
  for (int dirty = 0; dirty < 2; dirty++)
    for (int round = 0; round < 100; round++) {
      GwText text = {0}, found = {0};
      gw_test_text(&rng, 300, dirty, &text);
      GwTextStream stream = {.sink = dirty ? collect : collect_whole, .context = &found};
      for (size_t done = 0; done < text.size;) {
        size_t some = gw_rng_below(&rng, 5);
        if (some > text.size - done) some = text.size - done;
        assert_ok(gw_text_stream_push(&stream, text.data + done, some));
        done += some;
        assert_true(done - found.size <= 3);
      }
      assert_ok(gw_text_stream_flush(&stream));
      assert_int_equal(found.size, text.size);
      assert_memory_equal(found.data, text.data, text.size);
      gw_text_stream_deinit(&stream);
      gw_text_deinit(&text);
      gw_text_deinit(&found);
    }
}

/* ---- a run on disk ---- */

static GwTestModel model;
static const char *run, *corpus, *held_out;

static uint64_t hash_of_step_2;

/* A run with two checkpoints, and a corpus of one document whose tail is held out. */
static int make_run(void **state) {
  (void)state;
  GwText text = {0};
  GwRng rng = gw_rng(seed, 40);
  run = gw_test_path(gw_test_folder("generate"), "run");
  assert_ok(gw_fs_disk()->make_dir(gw_fs_disk(), run));
  corpus = gw_test_path(run, "corpus");
  held_out = gw_test_path(run, "held-out.txt");
  gw_test_model_init(&model, 0, seed);
  gw_test_save_run(&model, run, 1);
  ((float *)model.params)[0] += 1;
  hash_of_step_2 = gw_test_save_checkpoint(&model, run, 2, &model.recipe);

  gw_test_text(&rng, 6000, false, &text);
  const char *input = gw_test_path(run, "text.txt");
  gw_test_write(input, text.data, text.size);
  GwPrepareOptions options = gw_prepare_default();
  options.out_dir = corpus;
  options.tokenizer = "byte";
  options.inputs = &input;
  options.input_count = 1;
  GwPrepareReport report;
  assert_ok(gw_prepare(&options, &report));
  gw_test_write(held_out, text.data + report.train_bytes, report.val_bytes);
  gw_text_deinit(&text);
  return 0;
}

static int remove_run(void **state) {
  (void)state;
  gw_test_model_deinit(&model);
  return 0;
}

static void the_newest_checkpoint_is_opened(void **state) {
  (void)state;
  GwLoadedModel loaded;
  GwRunHash found;
  assert_ok(gw_loaded_model_open(run, &loaded));
  assert_int_equal(loaded.info.step, 2);
  assert_memory_equal(loaded.params, model.params, (size_t)model.list.bytes);
  gw_loaded_model_close(&loaded);
  const char *first = gw_test_path(run, "checkpoints/step-00000001");
  assert_ok(gw_loaded_model_open(first, &loaded));
  assert_int_equal(loaded.info.step, 1);
  assert_string_equal(loaded.path, first);
  gw_loaded_model_close(&loaded);
  assert_ok(gw_run_hash(run, &found));
  assert_int_equal(found.step, 2);
  assert_true(found.state_hash == hash_of_step_2);
  assert_string_equal(found.path, gw_test_path(run, "checkpoints/step-00000002"));
}

static void what_does_not_belong_together_is_refused(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  GwLoadedModel loaded;
  GwRunHash found;
  GwRecipe other = model.recipe;
  const char *folder = gw_test_path(run, "other");
  assert_fails(GW_NOT_FOUND, "does not exist", gw_loaded_model_open(folder, &loaded));
  assert_ok(fs->make_dir(fs, folder));
  assert_fails(GW_NOT_FOUND, "neither a run", gw_loaded_model_open(folder, &loaded));
  gw_test_save_checkpoint(&model, folder, 7, &other);
  const char *checkpoint = gw_test_path(folder, "checkpoints/step-00000007");
  assert_fails(GW_NOT_FOUND, "inside its run only", gw_loaded_model_open(checkpoint, &loaded));
  assert_ok(gw_run_hash(checkpoint, &found)); /* needs no recipe */
  other.train.optimizer.lr *= 2;
  gw_test_save_recipe(folder, &other);
  assert_fails(GW_MISMATCH, "another recipe", gw_loaded_model_open(folder, &loaded));
  size_t size = 0;
  char *tokenizer = gw_test_read(gw_test_path(run, "tokenizer.json"), &size);
  gw_test_write(gw_test_path(folder, "tokenizer.json"), tokenizer, size);
  free(tokenizer);
  assert_fails(GW_MISMATCH, "another recipe", gw_loaded_model_open(folder, &loaded));
  other.model.vocab_size = 256;
  gw_test_save_recipe(folder, &other);
  assert_fails(GW_MISMATCH, "257 tokens", gw_loaded_model_open(folder, &loaded));
  other.model.vocab_size = 0;
  gw_test_save_recipe(folder, &other);
  assert_fails(GW_INVALID, "vocab_size", gw_loaded_model_open(folder, &loaded));
}

static GwGenerateReport generate(GwGenerateOptions options, int threads, const char *backend,
                                 GwText *out) {
  GwGenerateReport report = {0};
  options.execution = (GwExecutionOptions){.threads = threads, .backend = backend};
  *out = (GwText){0};
  assert_ok(gw_generate(run, &options, collect, out, &report));
  return report;
}

/* An imported model may have no vocabulary. */
static void without_a_tokenizer_there_are_ids(void **state) {
  (void)state;
  const char *folder = gw_test_path(run, "bare");
  GwGenerateOptions options = gw_generate_default();
  GwGenerateReport report = {0};
  GwText bare = {0}, whole = {0};
  assert_ok(gw_fs_disk()->make_dir(gw_fs_disk(), folder));
  gw_test_save_checkpoint(&model, folder, 2, &model.recipe);
  gw_test_save_recipe(folder, &model.recipe);
  options.prompt = "a";
  options.prompt_size = 1;
  assert_fails(GW_NOT_FOUND, "no tokenizer.json",
               gw_generate(folder, &options, collect, &bare, &report));
  options = gw_generate_default();
  options.temperature = 0;
  options.tokens = 9;
  options.ids = "\n1, 2,3";
  assert_ok(gw_generate(folder, &options, collect, &bare, &report));
  assert_int_equal(report.prompt_tokens, 3);
  assert_int_equal(report.tokens, 9);
  assert_ok(gw_generate(run, &options, collect, &whole, &report));
  assert_true(whole.size > 0 && whole.size <= bare.size); /* which end-of-text may end */
  assert_memory_equal(bare.data, whole.data, whole.size);
  static const char *const bad[] = {"", " ,", "1,x", "-1", "1,70000", "99999999999999", "1.5"};
  for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
    options.ids = bad[i];
    assert_fails(GW_USAGE, "ids: ", gw_generate(folder, &options, collect, &bare, &report));
  }
  gw_text_deinit(&bare);
  gw_text_deinit(&whole);
}

/* A run in a folder of its own, whose texts begin with token 257 of its tokenizer. */
static const char *make_import(const char *name) {
  const char *folder = gw_test_path(run, name);
  GwTokenizer *byte = NULL, *begins = NULL;
  assert_ok(gw_fs_disk()->make_dir(gw_fs_disk(), folder));
  gw_test_save_checkpoint(&model, folder, 2, &model.recipe);
  gw_test_save_recipe(folder, &model.recipe);
  const char *path = gw_test_path(folder, "tokenizer.json");
  assert_ok(gw_tokenizer_byte(&byte));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), byte, path));
  json_t *root = json_load_file(path, 0, NULL);
  json_array_append_new(json_object_get(root, "added_tokens"),
                        json_pack("{s:i, s:s}", "id", 257, "content", "<|begin|>"));
  assert_ok(gw__tokenizer_from_json(path, root, &begins));
  assert_true(gw_tokenizer_set_end_of_text(begins, 257));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), begins, path));
  json_decref(root);
  gw_tokenizer_destroy(byte);
  gw_tokenizer_destroy(begins);
  return folder;
}

static GwGenerateReport generate_greedy(const char *folder, const char *ids, GwText *out) {
  GwGenerateOptions options = gw_generate_default();
  GwGenerateReport report = {0};
  options.temperature = 0;
  options.tokens = 30;
  options.ids = ids;
  options.prompt = "a";
  options.prompt_size = 1;
  *out = (GwText){0};
  assert_ok(gw_generate(folder, &options, collect, out, &report));
  assert_ok(gw_text_append(out, "", 1));
  return report;
}

static void a_text_begins_with_the_token_that_the_tokenizer_says(void **state) {
  (void)state;
  const char *folder = make_import("begins");
  GwText ids, text;
  GwGenerateReport report = generate_greedy(folder, "257,97", &ids);
  assert_int_equal(generate_greedy(folder, NULL, &text).tokens, report.tokens);
  size_t size = 1; /* behind the prompt */
  for (char *at = ids.data, *end; size + 1 < text.size; at = end, size++) {
    long id = strtol(at, &end, 10);
    if (end == at) break;
    assert_int_equal((uint8_t)text.data[size], id);
  }
  assert_int_equal(size, report.tokens + 1);
  gw_text_deinit(&ids);
  gw_text_deinit(&text);
}

static void other_tokens_may_end_a_text(void **state) {
  (void)state;
  const char *folder = make_import("ends"), *path = gw_test_path(folder, "generation_config.json");
  GwLoadedModel loaded;
  GwText ids;
  GwTextEnds ends = {{299}, 1};
  generate_greedy(folder, "257,97", &ids);
  char *at = ids.data;
  for (int i = 0; i < 4; i++) ends.ids[1] = (int32_t)strtol(at, &at, 10);
  ends.count = 2;
  GwGenerateReport report = {0};
  assert_ok(gw_text_ends_save(gw_fs_disk(), folder, 257, &ends));
  assert_ok(gw_loaded_model_open(folder, &loaded));
  assert_memory_equal(&loaded.ends, &ends, sizeof ends);
  gw_loaded_model_close(&loaded);
  gw_text_deinit(&ids);
  report = generate_greedy(folder, "257,97", &ids);
  assert_true(report.ended && report.tokens <= 3);
  gw_text_deinit(&ids);
  gw_test_write(path, "{\"eos_token_id\": 300}", 21);
  assert_fails(GW_CORRUPT, "generation_config.json: 'eos_token_id'",
               gw_loaded_model_open(folder, &loaded));
  gw_test_write(path, "{", 1);
  assert_fails(GW_CORRUPT, "generation_config.json", gw_loaded_model_open(folder, &loaded));
}

static void a_seed_gives_one_text(void **state) {
  (void)state;
  GwGenerateOptions options = gw_generate_default();
  options.prompt = "caf\xc3";
  options.prompt_size = 4;
  options.tokens = 120; /* the context is 48 */
  options.top_k = 200;
  GwText text, again, other;
  GwGenerateReport report = generate(options, 1, "cpu", &text);
  assert_int_equal(report.prompt_tokens, 4);
  assert_true(report.tokens == 120 || report.ended);
  assert_int_equal(text.size, 4 + report.tokens); /* one byte each */
  assert_memory_equal(text.data, "caf\xc3", 4);
  generate(options, 3, "reference", &again);
  assert_int_equal(again.size, text.size);
  assert_memory_equal(again.data, text.data, text.size);
  options.seed++;
  generate(options, 1, "cpu", &other);
  assert_true(other.size != text.size || memcmp(other.data, text.data, text.size) != 0);
  gw_text_deinit(&text);
  gw_text_deinit(&again);
  gw_text_deinit(&other);
}

static GwStatus refuse(void *context, const char *text, size_t size) {
  (void)text, (void)size;
  int *calls = context;
  return ++*calls == 3 ? gw_fail(GW_IO, "the reader went away") : GW_OK;
}

static void bad_options_and_a_closed_reader_end_it(void **state) {
  (void)state;
  GwGenerateOptions options = gw_generate_default();
  GwGenerateReport report;
  int calls = 0;
  options.tokens = 1000;
  assert_fails(GW_IO, "went away", gw_generate(run, &options, refuse, &calls, &report));
  assert_int_equal(calls, 3);
  options.tokens = 0;
  assert_ok(gw_generate(run, &options, refuse, &calls, &report));
  assert_int_equal(report.tokens, 0);
  options.temperature = -1;
  assert_fails(GW_USAGE, "temperature", gw_generate(run, &options, refuse, &calls, &report));
  options = gw_generate_default();
  options.top_p = 0;
  assert_fails(GW_USAGE, "top-p", gw_generate(run, &options, refuse, &calls, &report));
  options = gw_generate_default();
  options.execution.isa = "quill";
  assert_fails(GW_USAGE, "quill", gw_generate(run, &options, refuse, &calls, &report));
}

/* The validation split is one document, the held-out tail: the same tokens as the file's. */
static void a_corpus_and_its_text_evaluate_alike(void **state) {
  (void)state;
  GwEvalOptions options = gw_eval_default();
  GwEvalReport from_corpus, from_text;
  options.data_dir = corpus;
  assert_ok(gw_eval(run, &options, &from_corpus));
  assert_int_equal(from_corpus.stride, model.recipe.model.context);
  assert_int_equal(from_corpus.step, 2);
  options.data_dir = NULL;
  options.text_file = held_out;
  options.execution.threads = 1;
  assert_ok(gw_eval(run, &options, &from_text));
  assert_int_equal(from_text.evaluation.bytes, from_text.evaluation.tokens); /* bytes, each one */
  assert_memory_equal(&from_corpus.evaluation, &from_text.evaluation, sizeof(GwEvaluation));
  options.stride = 49;
  assert_fails(GW_USAGE, "1..48", gw_eval(run, &options, &from_text));
  options.data_dir = corpus;
  assert_fails(GW_USAGE, "either", gw_eval(run, &options, &from_text));
  options = gw_eval_default();
  options.text_file = gw_test_path(run, "checkpoints/step-00000002/params.safetensors");
  assert_fails(GW_INVALID, "not text", gw_eval(run, &options, &from_text));
}

static void data_of_another_tokenizer_is_refused(void **state) {
  (void)state;
  GwPrepareOptions prepare = gw_prepare_default();
  GwPrepareReport report;
  GwEvalReport evaluated;
  GwEvalOptions options = gw_eval_default();
  const char *input = gw_test_path(run, "text.txt");
  prepare.out_dir = options.data_dir = gw_test_path(run, "corpus-bpe");
  prepare.tokenizer = "bpe";
  prepare.vocab_size = 280;
  prepare.inputs = &input;
  prepare.input_count = 1;
  assert_ok(gw_prepare(&prepare, &report));
  assert_fails(GW_MISMATCH, "another tokenizer", gw_eval(run, &options, &evaluated));
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  gw_log_configure(GW_LOG_ERROR, false);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(candidates_are_what_the_options_say),
      cmocka_unit_test(draws_have_the_softmax_distribution),
      cmocka_unit_test(greedy_takes_the_lowest_of_the_largest),
      cmocka_unit_test(unfinished_characters_are_recognised),
      cmocka_unit_test(text_comes_in_whole_characters),
      cmocka_unit_test(the_newest_checkpoint_is_opened),
      cmocka_unit_test(what_does_not_belong_together_is_refused),
      cmocka_unit_test(without_a_tokenizer_there_are_ids),
      cmocka_unit_test(a_text_begins_with_the_token_that_the_tokenizer_says),
      cmocka_unit_test(other_tokens_may_end_a_text),
      cmocka_unit_test(a_seed_gives_one_text),
      cmocka_unit_test(bad_options_and_a_closed_reader_end_it),
      cmocka_unit_test(a_corpus_and_its_text_evaluate_alike),
      cmocka_unit_test(data_of_another_tokenizer_is_refused),
  };
  return cmocka_run_group_tests(tests, make_run, remove_run);
}
