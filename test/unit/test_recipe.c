/* Recipes: values, defaults, errors with their place and remedy, round trips, hostile YAML. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/recipe.h"
#include "model/recipe_schema.h"

static GwStatus parse(const char *text, GwRecipe *out) {
  return gw_recipe_parse("r.yaml", text, strlen(text), NULL, 0, out);
}

static GwStatus override(const char *text, const char *argument, GwRecipe *out) {
  return gw_recipe_parse("r.yaml", text, strlen(text), &argument, 1, out);
}

/* Member by member, since padding between members may differ. */
static void assert_same(const GwRecipe *a, const GwRecipe *b) {
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    if (memcmp((const char *)a + key->offset, (const char *)b + key->offset, key->size) != 0)
      fail_msg("%s differs", key->path);
  }
}

static void no_keys_give_the_defaults(void **unused) {
  (void)unused;
  GwRecipe recipe;
  assert_ok(parse("{}", &recipe));
  GwRecipe defaults = gw_recipe_default();
  defaults.model.kv_heads = 4; /* resolved */
  defaults.model.hidden = 352; /* 8/3 of 128, up to a multiple of 32 */
  assert_same(&recipe, &defaults);
}

static void values_arrive(void **unused) {
  (void)unused;
  GwRecipe recipe;
  assert_ok(parse("name: try 'one'\n"
                  "model:\n  layers: 3\n  kv_heads: 2\n  activation: relu2\n  qk_norm: true\n"
                  "train:\n  steps: 5000000000\n  seed: 18446744073709551615\n"
                  "  optimizer: {lr: 2.5e-4, clip_norm: 0}\n  schedule:\n    kind: wsd\n"
                  "data:\n  dir: a/b c\n",
                  &recipe));
  assert_string_equal(recipe.name, "try 'one'");
  assert_int_equal(recipe.model.layers, 3);
  assert_int_equal(recipe.model.kv_heads, 2);
  assert_int_equal(recipe.model.hidden, 512);
  assert_int_equal(recipe.model.activation, GW_ACTIVATION_RELU2);
  assert_true(recipe.model.qk_norm);
  assert_int_equal(recipe.train.steps, 5000000000);
  assert_true(recipe.train.seed == UINT64_MAX);
  assert_true(recipe.train.optimizer.lr == 2.5e-4);
  assert_true(recipe.train.optimizer.clip_norm == 0);
  assert_int_equal(recipe.train.schedule.kind, GW_SCHEDULE_WSD);
  assert_string_equal(recipe.data.dir, "a/b c");
}

static void gpt2_has_its_own_defaults(void **unused) {
  (void)unused;
  GwRecipe recipe;
  assert_ok(parse("model: {family: gpt2}", &recipe));
  assert_int_equal(recipe.model.activation, GW_ACTIVATION_GELU);
  assert_true(recipe.model.tie_embeddings);
  assert_int_equal(recipe.model.hidden, 512);
  assert_ok(override("{}", "model.family=gpt2", &recipe));
  assert_int_equal(recipe.model.activation, GW_ACTIVATION_GELU);
}

static void overrides_win_and_use_the_same_schema(void **unused) {
  (void)unused;
  GwRecipe recipe;
  assert_ok(override("train: {steps: 7}", "train.steps=100", &recipe));
  assert_int_equal(recipe.train.steps, 100);
  assert_ok(override("{}", "data.dir=it's: {here}", &recipe));
  assert_string_equal(recipe.data.dir, "it's: {here}");
  assert_fails(GW_USAGE, "override 'train.steps=0'", override("{}", "train.steps=0", &recipe));
  assert_fails(GW_USAGE, "'train.steps'", override("{}", "steps=100", &recipe));
  assert_fails(GW_USAGE, "'train.steps'", override("{}", "train.stesp=100", &recipe));
  assert_fails(GW_USAGE, "for example train.steps", override("{}", "train=100", &recipe));
  assert_fails(GW_USAGE, "key=value", override("{}", "train.steps", &recipe));
  assert_fails(GW_USAGE, "whole number", override("{}", "train.steps=5, seed: 3", &recipe));
  assert_fails(GW_USAGE, "model.heads", override("{}", "model.heads=3", &recipe));
}

static void errors_name_file_line_key_and_remedy(void **unused) {
  (void)unused;
  const struct {
    const char *text, *parts[3];
  } cases[] = {
      {"name: a\ntrain:\n  stepz: 5\n", {"r.yaml:3:", "'train.stepz'", "'train.steps'"}},
      {"train:\n  lr: 1\n", {"r.yaml:2:", "'train.lr'", "'train.optimizer.lr'"}},
      {"modle:\n  layers: 1\n", {"r.yaml:1:", "'modle'", "'model'"}},
      {"zzz: 1\n", {"r.yaml:1:", "'zzz'", "nearest valid key"}},
      {"model:\n\n  layers: three\n", {"r.yaml:3:", "model.layers", "whole number in [1, 1024]"}},
      {"model:\n  layers: 0\n", {"r.yaml:2:", "model.layers", "'0'"}},
      {"model:\n  layers: 1025\n", {"r.yaml:2:", "model.layers", "1025"}},
      {"model:\n  layers: 99999999999999999999\n", {"r.yaml:2:", "model.layers", "[1, 1024]"}},
      {"model:\n  layers: 010\n", {"r.yaml:2:", "model.layers", "'010'"}},
      {"model:\n  layers: '4'\n", {"r.yaml:2:", "model.layers", "quoted"}},
      {"model:\n  layers:\n", {"r.yaml:2:", "model.layers", "''"}},
      {"model:\n  layers: [4]\n", {"r.yaml:2:", "model.layers", "list"}},
      {"model:\n  layers: 4.0\n", {"r.yaml:2:", "model.layers", "whole"}},
      {"model:\n  dropout: 1\n", {"r.yaml:2:", "model.dropout", "[0, 1)"}},
      {"model:\n  dropout: nan\n", {"r.yaml:2:", "model.dropout", "number"}},
      {"model:\n  z_loss: 1e999\n", {"r.yaml:2:", "model.z_loss", "[0, 1]"}},
      {"model:\n  norm_epsilon: 1e-999\n", {"r.yaml:2:", "model.norm_epsilon", "(0, 1]"}},
      {"model:\n  rope_theta: 0x10\n", {"r.yaml:2:", "model.rope_theta", "number"}},
      {"model:\n  qk_norm: yes\n", {"r.yaml:2:", "model.qk_norm", "true or false"}},
      {"model:\n  family: lama\n", {"r.yaml:2:", "model.family", "llama, gpt2"}},
      {"train:\n  seed: 18446744073709551616\n", {"r.yaml:2:", "train.seed", "whole"}},
      {"train:\n  seed: -1\n", {"r.yaml:2:", "train.seed", "[0, 18446744073709551615]"}},
      {"train: 5\n", {"r.yaml:1:", "'train'", "group of keys"}},
      {"train:\n  steps: 1\n  steps: 2\n", {"r.yaml:3:", "'train.steps'", "twice"}},
      {"train: {}\nmodel: {}\ntrain: {}\n", {"r.yaml:3:", "'train'", "twice"}},
      {"data:\n  dir: \"a\\nb\"\n", {"r.yaml:2:", "data.dir", "'a?b'"}},
  };
  GwRecipe recipe;
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++)
    for (int part = 0; part < 3; part++)
      assert_fails(GW_INVALID, cases[i].parts[part], parse(cases[i].text, &recipe));
}

static void keys_must_agree(void **unused) {
  (void)unused;
  const struct {
    const char *text, *part;
  } cases[] = {
      {"model:\n  heads: 3\n", "r.yaml:2: model.heads"},
      {"model:\n  kv_heads: 3\n", "r.yaml:2: model.kv_heads"},
      {"model: {width: 12}\n", "head size must be even"},
      {"model: {width: 1032}\n", "head size must be even and at most 256"},
      {"model: {family: gpt2, activation: swiglu}\n", "model.activation"},
      {"model: {family: gpt2, tie_embeddings: false}\n", "model.tie_embeddings"},
      {"model: {family: gpt2, kv_heads: 2}\n", "model.kv_heads"},
      {"model: {family: gpt2, qk_norm: true}\n", "model.qk_norm"},
      {"model: {family: gpt2, window: 8}\n", "model.window"},
      {"model: {family: gpt2, rope_theta: 5e5}\n", "model.rope_theta"},
      {"model: {activation: gelu}\n", "model.activation"},
      {"model: {window: 257}\n", "model.window"},
      {"model: {context: 1048576}\ntrain: {lane_batch: 65536}\n", "train.lane_batch"},
  };
  GwRecipe recipe;
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++)
    assert_fails(GW_INVALID, cases[i].part, parse(cases[i].text, &recipe));
}

static void hostile_yaml_is_refused(void **unused) {
  (void)unused;
  const struct {
    const char *text, *part;
  } cases[] = {
      {"", "empty"},
      {"# only a comment\n", "empty"},
      {"- 1\n- 2\n", "key: value"},
      {"just text\n", "key: value"},
      {"name: &a x\n", "anchors"},
      {"name: *a\n", "alias"},
      {"name: !!str x\n", "tags"},
      {"model: &m {layers: 1}\n", "anchors"},
      {"&m model: {layers: 1}\n", "anchors"},
      {"? [a]\n: 1\n", "key must be a word"},
      {"<<: {name: x}\n", "unknown key"},
      {"name: a\n---\nname: b\n", "another"},
      {"name: \"a\\0b\"\n", "NUL"},
      {"name: \"a\n", "r.yaml:"},
      {"name: 'a'\n\xff\n", "r.yaml:2: not valid YAML"},
      {"model:\n\tlayers: 1\n", "r.yaml:2: not valid YAML"},
  };
  GwRecipe recipe;
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++)
    assert_fails(GW_INVALID, cases[i].part, parse(cases[i].text, &recipe));
  assert_fails(GW_INVALID, "NUL byte", gw_recipe_parse("r.yaml", "name: a\0", 8, NULL, 0, &recipe));
}

static void large_and_deep_texts_are_bounded(void **unused) {
  (void)unused;
  enum { SIZE = 65536 };
  char *text = malloc(SIZE + 2);
  assert_non_null(text);
  const char fills[] = {'[', '{', ' ', '#', '-', '\n'};
  GwRecipe recipe;
  for (size_t i = 0; i < sizeof fills; i++) {
    memset(text, fills[i], SIZE);
    assert_int_equal(gw_recipe_parse("r.yaml", text, SIZE, NULL, 0, &recipe), GW_INVALID);
  }
  for (int i = 0; i < SIZE; i++) text[i] = "? "[i & 1];
  assert_int_equal(gw_recipe_parse("r.yaml", text, SIZE, NULL, 0, &recipe), GW_INVALID);
  memset(text, ' ', SIZE + 1);
  assert_fails(GW_INVALID, "too many", gw_recipe_parse("r.yaml", text, SIZE + 1, NULL, 0, &recipe));
  free(text);
}

/* A random valid text for a key; the cases where keys must agree are left to chance below. */
static void random_value(GwRng *rng, const GwRecipeKey *key, char out[GW_RECIPE_VALUE_BYTES]) {
  static const char *const sizes[] = {"", "kB", "KiB", "MB", "MiB", "GB", "GiB", "TB"};
  static const char *const texts[] = {"", "a b", "it's", "\"q\" \\", "#x: [", "-", "~", "\xc3\xa9"};
  double unit = gw_rng_uniform(rng);
  switch (key->type) {
  case GW_KEY_TEXT:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%s", texts[gw_rng_below(rng, GW_COUNT_OF(texts))]);
    break;
  case GW_KEY_CHOICE:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%s",
             key->choices[gw_rng_below(rng, key->choice_count)].str);
    break;
  case GW_KEY_BOOL:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%s", unit < 0.5 ? "true" : "false");
    break;
  case GW_KEY_I32:
  case GW_KEY_I64:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%.0f", key->min + unit * unit * (key->max - key->min));
    break;
  case GW_KEY_U64:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%llu", (unsigned long long)gw_rng_u64(rng));
    break;
  case GW_KEY_BYTES:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%.0f%s", 1000 * unit,
             sizes[gw_rng_below(rng, GW_COUNT_OF(sizes))]);
    break;
  case GW_KEY_F64:
    snprintf(out, GW_RECIPE_VALUE_BYTES, "%.17g", key->min + unit * (key->max - key->min));
    break;
  }
}

static void written_recipes_read_back_bit_for_bit(void **state) {
  GwRng rng = gw_rng(*(uint64_t *)*state, 1);
  int read = 0;
  for (int round = 0; round < 200; round++) {
    GwRecipe recipe, again;
    char argument[GW_RECIPE_VALUE_BYTES + 64], value[GW_RECIPE_VALUE_BYTES];
    const GwRecipeKey *key = &gw__recipe_keys[gw_rng_below(&rng, GW_RECIPE_KEYS)];
    random_value(&rng, key, value);
    snprintf(argument, sizeof argument, "%s=%s", key->path, value);
    const char *text = round % 2 ? "model: {family: gpt2}" : "{}";
    if (override(text, argument, &recipe) != GW_OK) continue;
    char *written = NULL;
    assert_ok(gw_recipe_write(&recipe, &written));
    assert_ok(parse(written, &again));
    assert_same(&recipe, &again);
    free(written);
    read++;
  }
  assert_true(read > 100);
}

static void identity_is_of_what_is_computed(void **unused) {
  (void)unused;
  GwRecipe recipe;
  assert_ok(parse("{}", &recipe));
  const uint64_t base = gw_recipe_identity(&recipe);
  assert_true(base == UINT64_C(0x4f3f743809722f4d)); /* or the runs there are cannot go on */
  const char *const same[] = {"name=x",
                              "train.steps=5",
                              "train.log_every=1",
                              "train.validate_every=1",
                              "train.checkpoint_every=1",
                              "train.validate_tokens=1",
                              "train.keep_checkpoints=1",
                              "train.memory_limit=1MiB",
                              "data.dir=x",
                              "model.kv_heads=4",
                              "model.hidden=352"};
  for (size_t i = 0; i < GW_COUNT_OF(same); i++) {
    assert_ok(override("{}", same[i], &recipe));
    assert_true(gw_recipe_identity(&recipe) == base);
  }
  assert_ok(override("{}", "dtype=f32", &recipe));
  assert_true(gw_recipe_identity(&recipe) == base);
  const char *const other[] = {"dtype=bf16",
                               "model.layers=5",
                               "model.qk_norm=true",
                               "train.seed=2",
                               "data.seed=2",
                               "train.lanes=2",
                               "train.optimizer.lr=1e-4",
                               "model.window=64",
                               "model.vocab_size=256",
                               "train.schedule.kind=wsd"};
  for (size_t i = 0; i < GW_COUNT_OF(other); i++) {
    assert_ok(override("{}", other[i], &recipe));
    assert_true(gw_recipe_identity(&recipe) != base);
  }
}

static void bytes_have_units(void **unused) {
  (void)unused;
  static const struct {
    const char *text;
    int64_t bytes;
    const char *written;
  } cases[] = {{"0", 0, "0"},
               {"17", 17, "17"},
               {"2GiB", INT64_C(2) << 30, "2GiB"},
               {"2048MiB", INT64_C(2) << 30, "2GiB"},
               {"1500MB", 1500000000, "1500MB"},
               {"1.5GB", 1500000000, "1500MB"},
               {"2.5KiB", 2560, "2560"},
               {"3TB", INT64_C(3000000000000), "3TB"},
               {"1TiB", INT64_C(1) << 40, "1TiB"}};
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
    GwRecipe recipe;
    char argument[64], line[64], *written = NULL;
    snprintf(argument, sizeof argument, "train.memory_limit=%s", cases[i].text);
    snprintf(line, sizeof line, "  memory_limit: %s\n", cases[i].written);
    assert_ok(override("{}", argument, &recipe));
    assert_true(recipe.train.memory_limit == cases[i].bytes);
    assert_ok(gw_recipe_write(&recipe, &written));
    assert_non_null(strstr(written, line));
    free(written);
  }
  static const char *const wrong[] = {"",    "GiB",  "-1",   "2 GiB", "2gib",
                                      "1.5", "01GB", ".5GB", "2GiBs", "1e9",
                                      "1PB", "0x10", "nan",  "2TB2",  "9999999GB"};
  for (size_t i = 0; i < GW_COUNT_OF(wrong); i++) {
    GwRecipe recipe;
    char argument[64];
    snprintf(argument, sizeof argument, "train.memory_limit=%s", wrong[i]);
    assert_fails(GW_USAGE, "such as 2GiB", override("{}", argument, &recipe));
  }
}

static void every_key_can_be_set_and_is_in_the_text(void **unused) {
  (void)unused;
  GwRecipe recipe;
  assert_ok(parse("{}", &recipe));
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    char argument[GW_RECIPE_VALUE_BYTES + 64], value[GW_RECIPE_VALUE_BYTES];
    gw__recipe_value_format(key, &recipe, value);
    snprintf(argument, sizeof argument, "%s=%s", key->path, value);
    GwRecipe again;
    assert_ok(override("{}", argument, &again));
    assert_same(&recipe, &again);
    assert_int_equal(gw__recipe_key_find(key->path), i);
    for (int j = 0; j < i; j++) { /* two keys for one member would hide each other */
      const GwRecipeKey *before = &gw__recipe_keys[j];
      assert_true(before->offset + before->size <= key->offset ||
                  key->offset + key->size <= before->offset);
    }
  }
}

static void files_are_read_and_missing_ones_named(void **unused) {
  (void)unused;
  GwRecipe recipe;
  const struct {
    const char *path;
    GwFamily family;
    int32_t layers;
  } files[] = {{GW_TEST_SOURCE_DIR "/recipes/demo.yaml", GW_FAMILY_LLAMA, 4},
               {GW_TEST_SOURCE_DIR "/recipes/shakespeare-cpu.yaml", GW_FAMILY_GPT2, 4},
               {GW_TEST_SOURCE_DIR "/recipes/gpt2-124m.yaml", GW_FAMILY_GPT2, 12},
               {GW_TEST_SOURCE_DIR "/recipes/llama-1b.yaml", GW_FAMILY_LLAMA, 16}};
  for (size_t i = 0; i < GW_COUNT_OF(files); i++) {
    assert_ok(gw_recipe_load(files[i].path, NULL, 0, &recipe));
    assert_int_equal(recipe.model.family, files[i].family);
    assert_int_equal(recipe.model.layers, files[i].layers);
  }
  assert_fails(GW_NOT_FOUND, "nowhere.yaml", gw_recipe_load("nowhere.yaml", NULL, 0, &recipe));
}

static void nothing_is_written_on_failure(void **unused) {
  (void)unused;
  GwRecipe recipe, before;
  memset(&recipe, 0x5a, sizeof recipe);
  memcpy(&before, &recipe, sizeof recipe);
  assert_fails(GW_INVALID, "model.heads", parse("model: {heads: 3}", &recipe));
  assert_memory_equal(&recipe, &before, sizeof recipe);
}

int main(int argc, char **argv) {
  uint64_t seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_keys_give_the_defaults),
      cmocka_unit_test(values_arrive),
      cmocka_unit_test(gpt2_has_its_own_defaults),
      cmocka_unit_test(overrides_win_and_use_the_same_schema),
      cmocka_unit_test(errors_name_file_line_key_and_remedy),
      cmocka_unit_test(keys_must_agree),
      cmocka_unit_test(hostile_yaml_is_refused),
      cmocka_unit_test(large_and_deep_texts_are_bounded),
      cmocka_unit_test_prestate(written_recipes_read_back_bit_for_bit, &seed),
      cmocka_unit_test(identity_is_of_what_is_computed),
      cmocka_unit_test(bytes_have_units),
      cmocka_unit_test(every_key_can_be_set_and_is_in_the_text),
      cmocka_unit_test(files_are_read_and_missing_ones_named),
      cmocka_unit_test(nothing_is_written_on_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
