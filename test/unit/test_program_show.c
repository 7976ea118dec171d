/* `godwit program`: the printed text parses back to the program it shows, for every recipe that
 * comes with godwit, and its totals are those of the programs. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/inspect.h"
#include "program/program.h"
#include "train/training_plan.h"

static char *show(const GwProgramOptions *options, size_t *size) {
  char *text = NULL;
  FILE *file = open_memstream(&text, size);
  assert_non_null(file);
  assert_ok(gw_program_show(options, file));
  assert_int_equal(fclose(file), 0);
  return text;
}

static const char *recipe_path(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, GW_TEST_SOURCE_DIR "/recipes/%s.yaml", name);
  return path;
}

/* The number behind "; NAME" in the totals. */
static long long total(const char *text, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\n;   %s ", name);
  const char *at = strstr(text, key);
  assert_non_null(at);
  return strtoll(at + strlen(key), NULL, 10);
}

static void text_parses_back(void **state) {
  (void)state;
  static const char *const recipes[] = {"demo", "shakespeare-cpu", "gpt2-124m", "llama-1b"};
  static const char *const programs[] = {"lane", "loss", "decode"};
  for (size_t r = 0; r < GW_COUNT_OF(recipes); r++)
    for (size_t p = 0; p < GW_COUNT_OF(programs); p++) {
      GwProgramOptions options = {
          .recipe = recipe_path(recipes[r]), .program = programs[p], .threads = 2};
      size_t size = 0;
      char *text = show(&options, &size);
      GwProgram program;
      assert_ok(gw_program_parse(recipes[r], text, size, &program));
      assert_ok(gw_program_verify(&program));
      assert_true(program.planned);
      assert_string_equal(program.name, programs[p]);
      gw_program_deinit(&program);
      free(text);
    }
}

static void the_lane_is_the_one_that_trains(void **state) {
  (void)state;
  GwProgramOptions options = {.recipe = recipe_path("demo"), .program = "lane", .threads = 3};
  const char *override = "model.vocab_size=500";
  options.overrides = &override;
  options.override_count = 1;
  size_t size = 0;
  char *text = show(&options, &size);
  GwProgram parsed;
  GwLaneProgram lane;
  GwRecipe recipe;
  GwTrainingMemory memory;
  assert_ok(gw_recipe_load(options.recipe, &override, 1, &recipe));
  assert_ok(gw_step_lane_program(&recipe, &lane));
  assert_ok(gw_program_parse("demo", text, size, &parsed));
  assert_true(gw_program_equal(&parsed, &lane.program));
  assert_ok(gw_training_memory(&recipe, 3, &memory));
  assert_int_equal(total(text, "peak memory"), memory.total);
  assert_int_equal(total(text, "moments"), 2 * memory.params);
  assert_int_equal(total(text, "parameters"), memory.params / 4);
  assert_null(strstr(text, "is assumed"));
  gw_program_deinit(&parsed);
  gw_program_deinit(&lane.program);
  free(text);
}

static void a_vocabulary_left_to_the_data_is_assumed_aloud(void **state) {
  (void)state;
  GwProgramOptions options = {.recipe = recipe_path("demo"), .program = "decode", .threads = 1};
  size_t size = 0;
  char *text = show(&options, &size);
  assert_non_null(strstr(text, "50257 is assumed"));
  assert_non_null(strstr(text, "f32[1,50257]"));
  free(text);
  options.program = "poem";
  FILE *sink = fopen("/dev/null", "w");
  assert_fails(GW_USAGE, "poem", gw_program_show(&options, sink));
  options.program = "lane";
  options.data_dir = "nowhere";
  assert_fails(GW_NOT_FOUND, "nowhere", gw_program_show(&options, sink));
  fclose(sink);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_parses_back),
      cmocka_unit_test(the_lane_is_the_one_that_trains),
      cmocka_unit_test(a_vocabulary_left_to_the_data_is_assumed_aloud),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
