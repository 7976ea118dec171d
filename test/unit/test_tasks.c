/* Tasks: each published layout gives the prompts that the LM evaluation harness makes, metrics are
 * what they are by hand, and bad files are named with their line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "corpus_support.h"
#include "godwit/task.h"
#include "infer/scorer.h"
#include "infer/task_items.h"
#include "infer/task_text.h"
#include "infer_support.h"
#include "tokenizer/tokenizer.h"

static uint64_t seed;
static const char *folder; /* of this test's files */

enum { VOCAB = 300, CONTEXT = 48 };

static const char *written(const char *name, const char *text) {
  const char *path = gw_test_path(folder, name);
  gw_test_write(path, text, strlen(text));
  return path;
}

static GwTaskItems read_items(const GwTask *task, const char *path, int64_t limit) {
  GwTaskItems items;
  assert_non_null(task);
  assert_ok(gw_task_items_read(gw_fs_disk(), task, path, limit, &items));
  return items;
}

static void expect_choice(const GwTaskItem *item, int32_t number, const char *context,
                          const char *continuation, int64_t characters) {
  assert_true(number < item->choice_count);
  assert_string_equal(item->choices[number].context, context);
  assert_string_equal(item->choices[number].continuation, continuation);
  assert_int_equal(item->choices[number].characters, characters);
}

/* ---- text as Python has it ---- */

static void expect_capitalized(const char *text, const char *wanted) {
  GwArena arena;
  char *out = NULL;
  gw_arena_init(&arena);
  assert_ok(gw_task_capitalize(&arena, text, &out));
  assert_string_equal(out, wanted);
  gw_arena_deinit(&arena);
}

static void case_and_space_are_those_of_python(void **state) {
  (void)state;
  static const char spaces[] = " \t\r\n\v\f\x1c\x1f\u00a0\u1680\u2003\u2028\u202f\u205f\u3000";
  GwArena arena;
  gw_arena_init(&arena);
  expect_capitalized("", "");
  expect_capitalized("he", "He");
  expect_capitalized("THE Man\nAND Boy", "The man\nand boy");
  expect_capitalized("[STEP] Do", "[step] do");
  expect_capitalized("élan ÉTÉ ΣΑ", "Élan été σα");
  expect_capitalized("ȺȺ", "Ⱥⱥ"); /* the lower case takes 3 bytes, the upper 2 */
  assert_int_equal(gw_task_indent(spaces), strlen(spaces));
  assert_int_equal(gw_task_trimmed(spaces), 0);
  assert_string_equal(gw_task_strip(&arena, spaces), "");
  assert_string_equal(gw_task_strip(&arena, "\u3000 a b\u200b\u2003"), "a b\u200b");
  assert_int_equal(gw_task_characters("aé\U0001f600"), 3);
  gw_arena_deinit(&arena);
}

static void expect_bracketless(const char *text, const char *wanted) {
  char buffer[64];
  strcpy(buffer, text);
  gw_task_remove_brackets(buffer);
  assert_string_equal(buffer, wanted);
}

static void expect_replaced(const char *text, const char *from, const char *to,
                            const char *wanted) {
  char buffer[64];
  strcpy(buffer, text);
  gw_task_replace(buffer, from, to);
  assert_string_equal(buffer, wanted);
}

static void marks_go_as_by_re_sub(void **state) {
  (void)state;
  expect_bracketless("[header] a [title] b [step]", " a  b ");
  expect_bracketless("a[b[c]d]e", "ad]e");
  expect_bracketless("a]b[c", "a]b[c");
  expect_bracketless("[a\n]b[c]d", "[a\n]bd");
  expect_bracketless("[][[]", "");
  expect_bracketless("", "");
  expect_replaced("a   b    c ", "  ", " ", "a  b  c ");
  expect_replaced("a [title] b [title]", " [title]", ". ", "a.  b. ");
  expect_replaced("aaa", "aa", "", "a");
}

/* ---- layouts ---- */

static void hellaswag_is_preprocessed(void **state) {
  (void)state;
  const char *path = written(
      "x_val.jsonl",
      "{\"ind\": 24, \"activity_label\": \"Roof shingle removal\", \"ctx_a\": \"A man is sitting "
      "on a roof.\", \"ctx_b\": \"he\", \"ctx\": \"?\", \"label\": 3, \"endings\": [\"a b.\", "
      "\"c\", \"d\", \"starts pulling up roofing on a roof.\"]}\r\n"
      "\n"
      "{\"activity_label\": \"Home\", \"ctx_a\": \" [header] How to [title] Choose. [step] Look.\","
      " \"ctx_b\": \"\", \"label\": \"1\", \"endings\": [\"[substeps] One  two.\", \" Thr\\u00e9e "
      "[title] x \"]}");
  GwTaskItems items = read_items(gw_task_find("hellaswag"), path, 0);
  assert_int_equal(items.count, 2);
  const char *context = "Roof shingle removal: A man is sitting on a roof. He";
  assert_int_equal(items.items[0].choice_count, 4);
  assert_int_equal(items.items[0].answer, 3);
  expect_choice(&items.items[0], 0, context, " a b.", 4);
  expect_choice(&items.items[0], 3, context, " starts pulling up roofing on a roof.", 36);
  assert_int_equal(items.items[1].line, 3);
  assert_int_equal(items.items[1].answer, 1);
  /* the strip comes before the removal, and of three blanks two are left */
  expect_choice(&items.items[1], 0, "Home:  How to. Choose. Look.", "  One two.", 9);
  expect_choice(&items.items[1], 1, "Home:  How to. Choose. Look.", " Thrée. x", 8);
  gw_task_items_deinit(&items);
}

static void lambada_asks_for_the_last_word(void **state) {
  (void)state;
  const char *path = written("lambada_test.jsonl", "{\"text\": \"a \\nb  word.\"}\n"
                                                   "{\"text\": \"alone\"}\n");
  GwTaskItems items = read_items(gw_task_find("lambada"), path, 0);
  assert_int_equal(items.count, 2);
  assert_int_equal(items.items[0].choice_count, 1);
  expect_choice(&items.items[0], 0, "a \nb ", " word.", 5);
  expect_choice(&items.items[1], 0, "", " alone", 5);
  gw_task_items_deinit(&items);
}

static void blimp_has_two_sentences_and_many_files(void **state) {
  (void)state;
  const char *data = gw_test_path(folder, "blimp");
  assert_ok(gw_fs_make_dirs(gw_fs_disk(), data));
  written("blimp/b.jsonl", "{\"sentence_good\": \"Good\", \"sentence_bad\": \"Bads.\"}\n");
  written("blimp/a.jsonl", "{\"sentence_good\": \"First.\", \"sentence_bad\": \"F\"}\n");
  written("blimp/notes.txt", "no JSON");
  GwTaskItems items = read_items(gw_task_find("blimp"), data, 0);
  assert_int_equal(items.count, 2);
  expect_choice(&items.items[0], 0, "", " First.", 6);
  expect_choice(&items.items[1], 1, "", " Bads.", 5);
  assert_int_equal(items.items[1].answer, 0);
  gw_task_items_deinit(&items);
  items = read_items(gw_task_find("blimp"), data, 1);
  assert_int_equal(items.count, 1);
  gw_task_items_deinit(&items);
}

static void arc_has_two_layouts(void **state) {
  (void)state;
  const char *path = written(
      "ARC-Easy-Test.jsonl",
      "{\"id\": \"M1\", \"question\": {\"stem\": \"Which?\", \"choices\": [{\"text\": \"one\", "
      "\"label\": \"A\"}, {\"text\": \"two\", \"label\": \"B\"}]}, \"answerKey\": \"B\"}\n"
      "{\"question\": \"What?\", \"choices\": {\"text\": [\"x\", \"y\", \"z\"], \"label\": [\"1\", "
      "\"2\", \"3\"]}, \"answerKey\": \"3\"}\n");
  GwTaskItems items = read_items(gw_task_find("arc"), path, 0);
  assert_int_equal(items.count, 2);
  assert_int_equal(items.items[0].answer, 1);
  expect_choice(&items.items[0], 1, "Question: Which?\nAnswer:", " two", 3);
  assert_int_equal(items.items[1].answer, 2);
  assert_int_equal(items.items[1].choice_count, 3);
  expect_choice(&items.items[1], 0, "Question: What?\nAnswer:", " x", 1);
  gw_task_items_deinit(&items);
}

static void piqa_has_its_labels_beside_or_within(void **state) {
  (void)state;
  static const char text[] = "{\"goal\": \"To go.\", \"sol1\": \"Walk.\", \"sol2\": \"Run\"}\n"
                             "\n"
                             "{\"goal\": \"g\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": 0}\n";
  const GwTask *piqa = gw_task_find("piqa");
  const char *path = written("valid.jsonl", text);
  GwTaskItems items;
  assert_fails(GW_NOT_FOUND, "valid.jsonl:1: key 'label' is missing",
               gw_task_items_read(gw_fs_disk(), piqa, path, 0, &items));
  assert_non_null(strstr(gw_error_message(), "valid-labels.lst"));
  written("valid-labels.lst", "1\r\n1\n0\n");
  items = read_items(piqa, path, 0);
  assert_int_equal(items.items[0].answer, 1);
  assert_int_equal(items.items[1].answer, 1); /* of the file: it stands for all */
  expect_choice(&items.items[0], 0, "Question: To go.\nAnswer:", " Walk.", 5);
  gw_task_items_deinit(&items);
  written("valid-labels.lst", "1\n2\n");
  assert_fails(GW_CORRUPT, "valid-labels.lst:2: there must be a label",
               gw_task_items_read(gw_fs_disk(), piqa, path, 0, &items));
  written("valid-labels.lst", "1\n");
  assert_fails(GW_CORRUPT, "valid-labels.lst:2: there must be a label",
               gw_task_items_read(gw_fs_disk(), piqa, path, 0, &items));
  items = read_items(piqa, path, 1);
  assert_int_equal(items.count, 1);
  gw_task_items_deinit(&items);
}

static void winogrande_has_one_continuation(void **state) {
  (void)state;
  const char *path =
      written("dev.jsonl", "{\"sentence\": \"The _ was (_) big. \", \"option1\": \"cat\", "
                           "\"option2\": \"dog \", \"answer\": \"2\"}\n");
  GwTaskItems items = read_items(gw_task_find("winogrande"), path, 0);
  assert_int_equal(items.items[0].answer, 1);
  expect_choice(&items.items[0], 0, "The cat", " was (_) big.", 12);
  expect_choice(&items.items[0], 1, "The dog ", " was (_) big.", 12);
  gw_task_items_deinit(&items);
}

/* ---- bad files ---- */

static void expect_refused(const char *task, const char *text, const char *part) {
  GwTaskItems items;
  const GwTask *known = gw_task_find(task);
  const char *path = written("bad.jsonl", text);
  assert_fails(GW_CORRUPT, part,
               gw_task_items_read(gw_fs_disk(), known ? known : gw_task_own(), path, 0, &items));
  assert_non_null(strstr(gw_error_message(), "/bad.jsonl:"));
}

#define GOOD "{\"context\": \"c\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n"

static void bad_lines_are_named(void **state) {
  (void)state;
  expect_refused("own", GOOD "\n{\"context\": ", ":3: not valid JSON");
  expect_refused("own", GOOD "{\"context\": \"\xff\"}", ":2: not valid JSON");
  expect_refused("own", GOOD "{\"context\": \"a\", \"context\": \"a\"}", ":2: not valid JSON");
  expect_refused("own", "{\"context\": \"a\\u0000b\"}", ":1: not valid JSON");
  expect_refused("own", "[1]", ":1: each line must be a JSON object");
  expect_refused("own", GOOD "{}", ":2: key 'context' is missing");
  expect_refused("own", "{\"context\": 1}", ":1: key 'context' must be a string");
  expect_refused("own", "{\"context\": \"\", \"choices\": \"a\"}", "'choices' must be an array");
  expect_refused("own", "{\"context\": \"\", \"choices\": []}", ":1: has no choices");
  expect_refused("own", "{\"context\": \"\", \"choices\": [1]}", "'choices' must hold strings");
  expect_refused("own", "{\"context\": \"\", \"choices\": [\"a\", \"\"]}", "choice 1 is empty");
  expect_refused("own", "{\"context\": \"\", \"choices\": [\"a\"]}", "key 'answer' is missing");
  static const char *const bad[] = {"-1",   "2",     "1e300",           "true",
                                    "\"\"", "\"a\"", "\"999999999999\""};
  for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
    char text[200];
    snprintf(text, sizeof text, "{\"context\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": %s}",
             bad[i]);
    expect_refused("own", text, ":1: key 'answer' must be a whole number from 0 to 1");
  }
  expect_refused("own", "{\"context\": \" \\u3000\", \"choices\": [\"a\"], \"answer\": 0}",
                 "before choice 0 is white space only");
  expect_refused(
      "hellaswag",
      "{\"activity_label\": \"\", \"ctx_a\": \"\", \"endings\": [\"[a]\"], \"label\": 0}",
      "choice 0 is empty");
  expect_refused("lambada", "{\"text\": \"a \"}", "key 'text' does not end in a word");
  expect_refused("lambada", "{\"text\": \"\"}", "key 'text' does not end in a word");
  expect_refused("arc",
                 "{\"question\": {\"stem\": \"\", \"choices\": [{\"text\": \"a\"}]}, "
                 "\"answerKey\": \"A\"}",
                 "a choice has no 'label'");
  expect_refused("arc",
                 "{\"question\": \"\", \"choices\": {\"text\": [\"a\"], \"label\": [\"A\"]}, "
                 "\"answerKey\": \"B\"}",
                 "key 'answerKey' is none");
  expect_refused("arc", "{\"question\": 1, \"answerKey\": \"B\"}", "'question' must be a string");
  expect_refused("winogrande", "{\"sentence\": \"a\"}", "has no blank");
  expect_refused("winogrande", "{\"sentence\": \"a _ \"}", "nothing follows the blank");
  expect_refused("winogrande", "{\"sentence\": \"_ a\", \"option1\": \"\"}", "'option1' is empty");
  expect_refused("winogrande",
                 "{\"sentence\": \"_ a\", \"option1\": \"x\", \"option2\": \"y\", "
                 "\"answer\": \"3\"}",
                 "must be a whole number from 1 to 2");
}

static void bad_places_are_named(void **state) {
  (void)state;
  GwTaskItems items;
  GwFs *fs = gw_fs_disk();
  const GwTask *piqa = gw_task_find("piqa");
  const char *nothing = gw_test_path(folder, "nothing");
  assert_fails(GW_NOT_FOUND, "nothing: no such file",
               gw_task_items_read(fs, piqa, nothing, 0, &items));
  assert_ok(gw_fs_make_dirs(fs, nothing));
  assert_fails(GW_NOT_FOUND, "nothing: holds no file *valid.jsonl",
               gw_task_items_read(fs, piqa, nothing, 0, &items));
  assert_fails(GW_INVALID, "empty.jsonl: holds no item",
               gw_task_items_read(fs, piqa, written("empty.jsonl", " \n\n"), 0, &items));
}

/* ---- metrics ---- */

/* A run whose model finds all tokens equally likely: each costs ln 300. */
static const char *even_run(void) {
  GwTestModel model;
  const char *run = gw_test_path(folder, "even");
  if (gw_fs_disk()->exists(gw_fs_disk(), run)) return run;
  assert_ok(gw_fs_make_dirs(gw_fs_disk(), run));
  gw_test_model_init(&model, 0, seed);
  memset(model.params, 0, (size_t)model.list.bytes);
  gw_test_save_run(&model, run, 3);
  gw_test_model_deinit(&model);
  return run;
}

static void expect_metric(const GwTaskReport *report, int number, const char *name, double value,
                          double standard_error) {
  const GwTaskMetric *metric = &report->metrics[number];
  assert_true(number < report->metric_count);
  assert_string_equal(metric->name, name);
  if (fabs(metric->value - value) > 1e-12 * fabs(value) ||
      fabs(metric->standard_error - standard_error) > 1e-12 * fabs(standard_error))
    fail_msg("%s: %.17g +- %.17g", name, metric->value, metric->standard_error);
}

/* Of choices the shortest in bytes is the likeliest; per character, that of the fewest bytes per
 * character, the blank before it counted with the bytes alone. */
static void accuracies_are_those_by_hand(void **state) {
  (void)state;
  const char *path =
      written("own.jsonl", "{\"context\": \"c\", \"choices\": [\"abc\", \"de\"], \"answer\": 1}\n"
                           "{\"context\": \"\", \"choices\": [\"abc\", \"de\"], \"answer\": 0}\n"
                           "{\"context\": \"c\", \"choices\": [\"ab\", \"cd\"], \"answer\": 1}\n"
                           "{\"context\": \"c\", \"choices\": [\"\\u00e9\\u00e9\", \"abcde\", "
                           "\"abcdef\"], \"answer\": 2}\n");
  GwTaskOptions options = {.task = path, .items = gw_test_path(folder, "items.jsonl")};
  GwTaskReport report;
  assert_ok(gw_task_eval(even_run(), &options, &report));
  assert_int_equal(report.items, 4);
  assert_int_equal(report.step, 3);
  assert_int_equal(report.metric_count, 2);
  /* right, wrong, wrong (of equals the first), wrong */
  expect_metric(&report, 0, "acc", 0.25, sqrt((0.75 * 0.75 + 3 * 0.0625) / 3) / 2);
  /* 4/3 < 3/2: wrong, right; wrong; 7/6 < 6/5 < 5/2: right */
  expect_metric(&report, 1, "acc_norm", 0.5, sqrt(4 * 0.25 / 3) / 2);

  size_t size = 0;
  char *lines = gw_test_read(options.items, &size), *at = lines;
  for (int i = 0; i < 4; i++) {
    static const int chosen[] = {1, 1, 0, 0}, chosen_norm[] = {0, 0, 0, 2};
    json_t *line = json_loadb(at, strcspn(at, "\n"), 0, NULL);
    assert_non_null(line);
    assert_int_equal(json_integer_value(json_object_get(line, "index")), i);
    assert_int_equal(json_integer_value(json_object_get(line, "chosen")), chosen[i]);
    assert_int_equal(json_integer_value(json_object_get(line, "chosen_norm")), chosen_norm[i]);
    assert_int_equal(json_is_true(json_object_get(line, "correct")), i == 0);
    assert_int_equal(json_is_true(json_object_get(line, "correct_norm")), i == 1 || i == 3);
    double first =
        json_real_value(json_array_get(json_object_get(line, "log_likelihoods"), i == 3 ? 1 : 0));
    assert_true(fabs(first + (i == 3 ? 6 : i == 2 ? 3 : 4) * log(VOCAB)) < 1e-12);
    json_decref(line);
    at += strcspn(at, "\n") + 1;
  }
  assert_int_equal(at - lines, size);
  free(lines);

  options.limit = 1;
  assert_ok(gw_task_eval(even_run(), &options, &report));
  assert_int_equal(report.items, 1);
  expect_metric(&report, 0, "acc", 1, 0);
}

static void perplexity_is_per_word(void **state) {
  (void)state;
  const char *path = written("words.jsonl", "{\"text\": \"a b\"}\n{\"text\": \"a bcd\"}\n");
  GwTaskOptions options = {.task = "lambada", .data = path};
  GwTaskReport report;
  assert_ok(gw_task_eval(even_run(), &options, &report));
  assert_int_equal(report.metric_count, 2);
  expect_metric(&report, 0, "acc", 1, 0); /* no token is likelier than another */
  expect_metric(&report, 1, "perplexity", pow(VOCAB, 3), pow(VOCAB, 3) * log(VOCAB));
}

static void without_a_norm_there_is_one_metric(void **state) {
  (void)state;
  GwTaskOptions options = {.task = "blimp", .data = gw_test_path(folder, "blimp")};
  GwTaskReport report;
  assert_ok(gw_task_eval(even_run(), &options, &report));
  assert_int_equal(report.metric_count, 1);
  /* the shorter is the likelier: right, wrong */
  expect_metric(&report, 0, "acc", 0.5, sqrt(0.5) / sqrt(2));
}

/* ---- tokens ---- */

static GwTestModel model;

static const char *drawn_run(void) {
  const char *run = gw_test_path(folder, "drawn");
  assert_ok(gw_fs_make_dirs(gw_fs_disk(), run));
  gw_test_model_init(&model, 0, seed);
  gw_test_save_run(&model, run, 1);
  return run;
}

/* The log-likelihood of the tokens from `first` on, of a sequence that fits. */
static double scored(const int32_t *tokens, int64_t count, int64_t first) {
  GwScorer *scorer = NULL;
  GwTokenScore scores[CONTEXT];
  double sum = 0;
  assert_ok(gw_scorer_create(&model.recipe.model, gw_test_backend(0), NULL, model.params, &scorer));
  assert_ok(gw_scorer_run(scorer, tokens, count, first, scores));
  for (int64_t i = 0; i < count - first; i++) sum += scores[i].log_probability;
  gw_scorer_destroy(scorer);
  return sum;
}

static double likelihood_of(const char *run, const char *name, const char *line, int32_t threads) {
  GwTaskOptions options = {.task = written(name, line), .execution.threads = threads};
  options.items = gw_test_path(folder, "one.jsonl");
  GwTaskReport report;
  size_t size = 0;
  assert_ok(gw_task_eval(run, &options, &report));
  char *text = gw_test_read(options.items, &size);
  json_t *object = json_loads(text, 0, NULL);
  double value = json_real_value(json_array_get(json_object_get(object, "log_likelihoods"), 0));
  json_decref(object);
  free(text);
  return value;
}

/* No token before a context, the end-of-text token where there is none, white space at a context's
 * end with the choice, special tokens by name, and of what is too long the last T + 1. */
static void tokens_are_those_of_the_harness(void **state) {
  (void)state;
  const char *run = drawn_run();
  static const int32_t behind[] = {'a', 'b', ' ', 'c'}, alone[] = {256, ' ', 'c'};
  static const int32_t spaced[] = {'a', ' ', ' ', 'c'}, special[] = {256, 'a', ' ', 'c'};
  for (int32_t threads = 1; threads <= 2; threads++) {
    assert_true(likelihood_of(run, "t.jsonl",
                              "{\"context\": \"ab\", \"choices\": [\"c\"], \"answer\": 0}",
                              threads) == scored(behind, 4, 2));
    assert_true(likelihood_of(run, "t.jsonl",
                              "{\"context\": \"\", \"choices\": [\"c\"], \"answer\": 0}",
                              threads) == scored(alone, 3, 1));
    assert_true(likelihood_of(run, "t.jsonl",
                              "{\"context\": \"a \", \"choices\": [\"c\"], \"answer\": 0}",
                              threads) == scored(spaced, 4, 1));
    assert_true(likelihood_of(run, "t.jsonl",
                              "{\"context\": \"<|endoftext|>a\", \"choices\": [\"c\"], \"answer\": "
                              "0}",
                              threads) == scored(special, 4, 2));
  }
  char line[400] = "{\"context\": \"";
  int32_t tokens[100];
  for (int32_t i = 0; i < 97; i++) {
    tokens[i] = 'a' + i % 17;
    line[13 + i] = (char)tokens[i];
  }
  tokens[97] = ' ';
  tokens[98] = 'x';
  strcpy(line + 13 + 97, "\", \"choices\": [\"x\"], \"answer\": 0}");
  assert_true(likelihood_of(run, "t.jsonl", line, 1) ==
              scored(tokens + 99 - (CONTEXT + 1), CONTEXT + 1, CONTEXT - 1));
  snprintf(line, sizeof line, "{\"context\": \"a\", \"choices\": [\"%048d\"], \"answer\": 0}", 7);
  GwTaskOptions options = {.task = written("t.jsonl", line)};
  GwTaskReport report;
  assert_fails(GW_INVALID, "t.jsonl:1: choice 0 has 49 tokens; the model's context takes 48",
               gw_task_eval(run, &options, &report));
  gw_test_model_deinit(&model);
}

static void bad_options_are_refused(void **state) {
  (void)state;
  GwTaskReport report;
  GwTaskOptions options = {.task = "hellaswog"};
  const char *run = even_run();
  assert_fails(GW_USAGE, "did you mean 'hellaswag'?", gw_task_eval(run, &options, &report));
  options.task = "x";
  assert_fails(GW_USAGE, "'x' is not known: use", gw_task_eval(run, &options, &report));
  options.task = "piqa";
  assert_fails(GW_USAGE, "needs --task-data", gw_task_eval(run, &options, &report));
  options = (GwTaskOptions){.task = written("good.jsonl", GOOD), .data = "x"};
  assert_fails(GW_USAGE, "is a file", gw_task_eval(run, &options, &report));
  options.data = NULL;
  options.items = gw_test_path(folder, "lost/items.jsonl");
  assert_fails(GW_NOT_FOUND, "lost/items.jsonl", gw_task_eval(run, &options, &report));
  options.items = NULL;
  assert_ok(gw_fs_disk()->remove(gw_fs_disk(), gw_test_path(run, "tokenizer.json")));
  assert_fails(GW_NOT_FOUND, "no tokenizer.json", gw_task_eval(run, &options, &report));
}

static int make_folder(void **state) {
  (void)state;
  folder = gw_test_path(gw_test_folder("tasks"), "");
  return 0;
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(case_and_space_are_those_of_python),
      cmocka_unit_test(marks_go_as_by_re_sub),
      cmocka_unit_test(hellaswag_is_preprocessed),
      cmocka_unit_test(lambada_asks_for_the_last_word),
      cmocka_unit_test(blimp_has_two_sentences_and_many_files),
      cmocka_unit_test(arc_has_two_layouts),
      cmocka_unit_test(piqa_has_its_labels_beside_or_within),
      cmocka_unit_test(winogrande_has_one_continuation),
      cmocka_unit_test(bad_lines_are_named),
      cmocka_unit_test(bad_places_are_named),
      cmocka_unit_test(accuracies_are_those_by_hand),
      cmocka_unit_test(perplexity_is_per_word),
      cmocka_unit_test(without_a_norm_there_is_one_metric),
      cmocka_unit_test(tokens_are_those_of_the_harness),
      cmocka_unit_test(bad_options_are_refused),
  };
  return cmocka_run_group_tests(tests, make_folder, NULL);
}
