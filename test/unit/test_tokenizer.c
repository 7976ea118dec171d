/* Tokenizers as objects and files: lossless on any bytes, the same after saving and opening,
 * GPT-2's published encodings, and a clear refusal for every kind of bad file. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tokenizer/tokenizer_table.h"

static uint64_t seed;
static const char CORPUS[] = "the cat sat on the mat and the cat ate the rat, that's that.\n"
                             "\xce\xb1\xce\xb2 \xce\xb1\xce\xb2 it's 1999 and 1999 <|endoftext|>";

static GwTokenizer *train(int32_t vocab_size) {
  GwBpeTrainer *trainer = NULL;
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_bpe_trainer_create(&trainer));
  assert_ok(gw_bpe_trainer_add(trainer, CORPUS, sizeof CORPUS - 1));
  assert_ok(gw_bpe_trainer_finish(trainer, vocab_size, &tokenizer));
  gw_bpe_trainer_destroy(trainer);
  return tokenizer;
}

static void assert_lossless(const GwTokenizer *tokenizer, const uint8_t *text, size_t size,
                            GwTokenIds *ids) {
  size_t first = ids->count, at = 0;
  assert_ok(gw_tokenizer_encode(tokenizer, text, size, ids));
  for (size_t i = first; i < ids->count; i++) {
    assert_int_not_equal(ids->ids[i], gw_tokenizer_end_of_text(tokenizer));
    size_t length = 0;
    const uint8_t *bytes = gw_tokenizer_bytes(tokenizer, ids->ids[i], &length);
    assert_true(length > 0 && at + length <= size);
    assert_memory_equal(bytes, text + at, length);
    at += length;
  }
  assert_int_equal(at, size);
}

static void any_bytes_come_back(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  GwTokenizer *tokenizer[2] = {train(300), NULL};
  assert_ok(gw_tokenizer_byte(&tokenizer[1]));
  for (int kind = 0; kind < 2; kind++) {
    GwTokenIds ids = {0};
    assert_lossless(tokenizer[kind], (const uint8_t *)CORPUS, sizeof CORPUS - 1, &ids);
    assert_lossless(tokenizer[kind], NULL, 0, &ids);
    for (int round = 0; round < 3000; round++) {
      uint8_t text[200];
      size_t size = gw_rng_below(&rng, sizeof text);
      bool from_corpus = gw_rng_below(&rng, 2);
      for (size_t i = 0; i < size; i++)
        text[i] = from_corpus ? (uint8_t)CORPUS[gw_rng_below(&rng, sizeof CORPUS)]
                              : (uint8_t)gw_rng_below(&rng, 256);
      assert_lossless(tokenizer[kind], text, size, &ids);
    }
    gw_token_ids_deinit(&ids);
    gw_tokenizer_destroy(tokenizer[kind]);
  }
}

static void byte_ids_are_the_bytes(void **state) {
  (void)state;
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_tokenizer_byte(&tokenizer));
  assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 257);
  assert_int_equal(gw_tokenizer_end_of_text(tokenizer), 256);
  GwTokenIds ids = {0};
  assert_ok(gw_tokenizer_encode(tokenizer, "a\0\xff", 3, &ids));
  assert_int_equal(ids.count, 3);
  assert_int_equal(ids.ids[0], 'a');
  assert_int_equal(ids.ids[1], 0);
  assert_int_equal(ids.ids[2], 255);
  size_t size = 1;
  gw_tokenizer_bytes(tokenizer, 256, &size);
  assert_int_equal(size, 0);
  gw_token_ids_deinit(&ids);
  gw_tokenizer_destroy(tokenizer);
}

static void hash_is_of_the_meaning(void **state) {
  (void)state;
  GwTokenizer *tokenizer[4] = {train(270), train(270), train(269), NULL};
  assert_ok(gw_tokenizer_byte(&tokenizer[3]));
  assert_int_equal(gw_tokenizer_hash(tokenizer[0]), gw_tokenizer_hash(tokenizer[1]));
  assert_int_not_equal(gw_tokenizer_hash(tokenizer[0]), gw_tokenizer_hash(tokenizer[2]));
  assert_int_not_equal(gw_tokenizer_hash(tokenizer[0]), gw_tokenizer_hash(tokenizer[3]));
  for (int i = 0; i < 4; i++) gw_tokenizer_destroy(tokenizer[i]);
}

/* The path of a fresh file named `name`. */
static const char *scratch_path(const char *name) {
  static char path[600];
  snprintf(path, sizeof path, "%s/%s", gw_test_folder("tokenizer"), name);
  return path;
}

static void a_saved_tokenizer_opens_as_itself(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  GwTokenizer *tokenizer[2] = {train(300), NULL};
  assert_ok(gw_tokenizer_byte(&tokenizer[1]));
  for (int kind = 0; kind < 2; kind++) {
    const char *path = scratch_path("tokenizer.json");
    assert_ok(gw_tokenizer_save(fs, tokenizer[kind], path));
    GwTokenizer *opened = NULL;
    assert_ok(gw_tokenizer_open(fs, path, &opened));
    assert_int_equal(gw_tokenizer_hash(opened), gw_tokenizer_hash(tokenizer[kind]));
    assert_int_equal(gw_tokenizer_vocab_size(opened), gw_tokenizer_vocab_size(tokenizer[kind]));
    assert_int_equal(gw_tokenizer_end_of_text(opened), gw_tokenizer_end_of_text(tokenizer[kind]));
    GwTokenIds a = {0}, b = {0};
    assert_ok(gw_tokenizer_encode(tokenizer[kind], CORPUS, sizeof CORPUS - 1, &a));
    assert_ok(gw_tokenizer_encode(opened, CORPUS, sizeof CORPUS - 1, &b));
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.ids, b.ids, a.count * sizeof *a.ids);
    gw_token_ids_deinit(&a);
    gw_token_ids_deinit(&b);
    gw_tokenizer_destroy(opened);
    gw_tokenizer_destroy(tokenizer[kind]);
  }
}

static void an_absent_file_is_named(void **state) {
  (void)state;
  GwTokenizer *tokenizer = NULL;
  const char *path = scratch_path("absent.json");
  assert_fails(GW_NOT_FOUND, "absent.json", gw_tokenizer_open(gw_fs_disk(), path, &tokenizer));
}

/* A small trained tokenizer's file as JSON, for tests to spoil. */
static json_t *sample_file(void) {
  GwFs *fs = gw_fs_disk();
  const char *path = scratch_path("sample.json");
  GwTokenizer *tokenizer = train(262); /* 5 merges */
  assert_ok(gw_tokenizer_save(fs, tokenizer, path));
  gw_tokenizer_destroy(tokenizer);
  char *data = NULL;
  size_t size = 0;
  json_t *root = NULL;
  assert_ok(gw_fs_read_all(fs, path, 1 << 20, &data, &size));
  assert_ok(gw_json_parse(path, data, size, &root));
  free(data);
  return root;
}

static GwStatus parse_json(json_t *root, GwTokenizer **out) {
  char *text = gw_json_text(root);
  assert_non_null(text);
  GwStatus status = gw_tokenizer_parse("t.json", text, strlen(text), out);
  free(text);
  return status;
}

/* Sets PATH (keys and array indices with / between) of the sample to the JSON `value`, or removes
 * it when that is NULL, and expects the refusal. */
static void assert_refused(const char *path, const char *value, GwStatus status,
                           const char *message) {
  json_t *root = sample_file(), *at = root;
  char keys[128], *rest = keys, *key = NULL;
  snprintf(keys, sizeof keys, "%s", path);
  while ((key = strsep(&rest, "/")) && rest)
    at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
  assert_non_null(at);
  if (!value)
    assert_int_equal(json_object_del(at, key), 0);
  else if (json_is_array(at))
    json_array_set_new(at, (size_t)atoi(key), json_loads(value, JSON_DECODE_ANY, NULL));
  else
    json_object_set_new(at, key, json_loads(value, JSON_DECODE_ANY, NULL));
  GwTokenizer *tokenizer = NULL;
  assert_fails(status, message, parse_json(root, &tokenizer));
  assert_non_null(strstr(gw_error_message(), "t.json"));
  assert_null(strchr(gw_error_message(), '\n'));
  assert_null(tokenizer);
  json_decref(root);
}

static void damaged_files_are_refused(void **state) {
  (void)state;
  assert_refused("model", NULL, GW_CORRUPT, "'model' is missing");
  assert_refused("model", "[]", GW_CORRUPT, "must be an object");
  assert_refused("added_tokens", NULL, GW_CORRUPT, "'added_tokens' is missing");
  assert_refused("added_tokens", "[]", GW_CORRUPT, "<|endoftext|>");
  assert_refused("added_tokens/0", "5", GW_CORRUPT, "'id' is missing");
  assert_refused("added_tokens/0/id", "7", GW_CORRUPT, "another id");
  assert_refused("added_tokens/0/id", "4294967557", GW_CORRUPT, "another id"); /* 2^32 + 261 */
  assert_refused("added_tokens/0/content", "\"Z\"", GW_CORRUPT, "another id");
  assert_refused("added_tokens/0/content", "\"<a\\nb>\"", GW_CORRUPT, "which another token has");
  assert_refused("model/vocab", NULL, GW_CORRUPT, "'vocab' is missing");
  assert_refused("model/vocab/a", NULL, GW_CORRUPT, "byte 0x61");
  assert_refused("model/vocab/a", "\"a\"", GW_CORRUPT, "'a' must be a whole number");
  assert_refused("model/vocab/a", "-1", GW_CORRUPT, "from 0 to 65797");
  assert_refused("model/vocab/a", "65798", GW_CORRUPT, "from 0 to 65797");
  assert_refused("model/vocab/a", "98", GW_CORRUPT, "has id 98, which another token has");
  assert_refused("model/vocab/", "262", GW_CORRUPT, "byte alphabet");
  assert_refused("model/vocab/a b", "262", GW_CORRUPT, "byte alphabet");
  assert_refused("model/vocab/\xe6\xbc\xa2", "262", GW_CORRUPT, "byte alphabet");
  assert_refused("model/vocab/\xc5\x84", "262", GW_CORRUPT, "byte alphabet"); /* U+0144 */
  assert_refused("model/merges", NULL, GW_CORRUPT, "'merges' is missing");
  assert_refused("model/merges", "{}", GW_CORRUPT, "must be an array");
  assert_refused("model/merges/0", "5", GW_CORRUPT, "merges[0] must be two tokens");
  assert_refused("model/merges/0", "\"ab\"", GW_CORRUPT, "merges[0] must be two tokens");
  assert_refused("model/merges/1", "[\"a\"]", GW_CORRUPT, "merges[1] must be two tokens");
  assert_refused("model/merges/1", "[\"a\",\"t\",\"\"]", GW_CORRUPT, "merges[1] must be two");
  assert_refused("model/merges/0", "\"q zz\"", GW_CORRUPT, "needs token 'zz'");
  assert_refused("model/merges/0", "\"q z\"", GW_CORRUPT, "needs token 'qz'");
  assert_refused("model/merges/0", "\"<|endoftext|> a\"", GW_CORRUPT, "needs token '<|end");
  assert_refused("model/merges/4", "\"a t\"", GW_CORRUPT, "twice");
}

static void other_tokenizers_are_refused(void **state) {
  (void)state;
  assert_refused("model/type", "\"WordPiece\"", GW_UNSUPPORTED, "'WordPiece'");
  assert_refused("model/type", NULL, GW_UNSUPPORTED, "godwit reads byte-level BPE");
  assert_refused("model/dropout", "0.1", GW_UNSUPPORTED, "dropout");
  assert_refused("model/end_of_word_suffix", "\"</w>\"", GW_UNSUPPORTED, "end_of_word_suffix");
  assert_refused("pre_tokenizer", "null", GW_UNSUPPORTED, "pre_tokenizer");
  assert_refused("pre_tokenizer/type", "\"Metaspace\"", GW_UNSUPPORTED, "'Metaspace'");
  assert_refused("pre_tokenizer/add_prefix_space", "true", GW_UNSUPPORTED, "add_prefix_space");
  assert_refused("pre_tokenizer/use_regex", "false", GW_UNSUPPORTED, "use_regex");
  assert_refused("normalizer", "{\"type\": \"NFKC\"}", GW_UNSUPPORTED, "'NFKC'");
  assert_refused("normalizer", "7", GW_UNSUPPORTED, "normalizer");
  const char unknown[] =
      "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
      "{\"Regex\": \"(a+)+\"}, \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": "
      "\"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}";
  assert_refused("pre_tokenizer", unknown, GW_UNSUPPORTED, "(a+)+");
}

static void a_missing_byte_is_named(void **state) {
  (void)state;
  json_t *root = sample_file();
  json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
  json_object_set(vocab, "zzz", json_object_get(vocab, "q")); /* takes over the id of q */
  json_object_del(vocab, "q");
  GwTokenizer *tokenizer = NULL;
  assert_fails(GW_CORRUPT, "byte 0x71", parse_json(root, &tokenizer));
  json_decref(root);
}

static void broken_json_is_refused(void **state) {
  (void)state;
  GwTokenizer *tokenizer = NULL;
  enum { DEPTH = 1 << 20 };
  char *deep = malloc(DEPTH);
  memset(deep, '[', DEPTH);
  assert_fails(GW_CORRUPT, "t.json:1:", gw_tokenizer_parse("t.json", deep, DEPTH, &tokenizer));
  assert_fails(GW_UNSUPPORTED, "t.json: 0 tokens", gw_tokenizer_parse("t.json", "", 0, &tokenizer));
  assert_fails(GW_CORRUPT, "'model'", gw_tokenizer_parse("t.json", "[]", 2, &tokenizer));
  const char twice[] = "{\"model\": 1, \"model\": 2}";
  assert_fails(GW_CORRUPT,
               "t.json:1:", gw_tokenizer_parse("t.json", twice, sizeof twice - 1, &tokenizer));
  free(deep);
}

static void merges_may_be_arrays(void **state) {
  (void)state;
  json_t *root = sample_file();
  GwTokenizer *strings = NULL, *arrays = NULL;
  assert_ok(parse_json(root, &strings));
  json_t *merges = json_object_get(json_object_get(root, "model"), "merges"), *entry;
  size_t rank;
  json_array_foreach(merges, rank, entry) {
    const char *text = json_string_value(entry), *space = strchr(text, ' ');
    json_t *pair = json_pack("[s#, s]", text, (int)(space - text), space + 1);
    json_array_set_new(merges, rank, pair);
  }
  assert_ok(parse_json(root, &arrays));
  assert_int_equal(gw_tokenizer_hash(strings), gw_tokenizer_hash(arrays));
  gw_tokenizer_destroy(strings);
  gw_tokenizer_destroy(arrays);
  json_decref(root);
}

/* Without a token named <|endoftext|> the last special one is meant; names survive saving. */
static void special_tokens_keep_their_names(void **state) {
  (void)state;
  json_t *root = sample_file(), *added = json_object_get(root, "added_tokens");
  json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
  json_object_del(vocab, "<|endoftext|>");
  json_object_set_new(json_array_get(added, 0), "content", json_string("<s>"));
  json_array_append_new(
      added, json_pack("{s:s, s:i, s:b}", "content", "</s> \xe2\x80\xa6", "id", 262, "special", 1));
  GwTokenizer *parsed = NULL, *opened = NULL;
  assert_ok(parse_json(root, &parsed));
  assert_int_equal(gw_tokenizer_end_of_text(parsed), 262);
  const char *path = scratch_path("special.json");
  assert_ok(gw_tokenizer_save(gw_fs_disk(), parsed, path));
  assert_ok(gw_tokenizer_open(gw_fs_disk(), path, &opened));
  assert_int_equal(gw_tokenizer_hash(parsed), gw_tokenizer_hash(opened));
  assert_int_equal(opened->special_count, 2);
  assert_string_equal(opened->specials[0].name, "<s>");
  assert_string_equal(opened->specials[1].name, "</s> \xe2\x80\xa6");
  gw_tokenizer_destroy(parsed);
  gw_tokenizer_destroy(opened);
  json_object_set_new(json_array_get(added, 0), "content", json_string("<|endoftext|>"));
  assert_ok(parse_json(root, &parsed));
  assert_int_equal(gw_tokenizer_end_of_text(parsed), 261);
  gw_tokenizer_destroy(parsed);
  json_decref(root);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 0x70ce);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_bytes_come_back),
      cmocka_unit_test(byte_ids_are_the_bytes),
      cmocka_unit_test(hash_is_of_the_meaning),
      cmocka_unit_test(a_saved_tokenizer_opens_as_itself),
      cmocka_unit_test(an_absent_file_is_named),
      cmocka_unit_test(damaged_files_are_refused),
      cmocka_unit_test(other_tokenizers_are_refused),
      cmocka_unit_test(a_missing_byte_is_named),
      cmocka_unit_test(broken_json_is_refused),
      cmocka_unit_test(merges_may_be_arrays),
      cmocka_unit_test(special_tokens_keep_their_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
