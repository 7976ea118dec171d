/* Published vocabularies: every format that they come in gives the published encodings, the same
 * ones after saving, in any segments, and in time linear in the text; broken files are refused. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "data/text.h"
#include "tokenizer/tokenizer_table.h"

static uint64_t seed;
static json_t *vectors; /* NULL where ../shared/data has none */

static const char *const ENCODINGS[] = {"gpt2", "r50k_base", "p50k_base", "cl100k_base",
                                        "o200k_base"};
enum { ENCODING_COUNT = GW_COUNT_OF(ENCODINGS), VECTOR_COUNT = 83, TEXT_MAX = 1 << 16 };

static int set_up(void **state) {
  (void)state;
  const char *path = gw_test_shared("tokenizer-vectors/vectors.json");
  if (!path) return 0;
  json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
  vectors = json_incref(json_object_get(root, "vectors"));
  assert_int_equal(json_array_size(vectors),
                   VECTOR_COUNT); /* damaged vectors are no reason to skip */
  json_decref(root);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  json_decref(vectors);
  return 0;
}

static const char *shared_file(const char *name) {
  const char *path = gw_test_shared(name);
  if (!path) {
    print_message("skipped: ../shared/data has no %s\n", name);
    skip();
  }
  return path;
}

static void want_vectors(void) { (void)shared_file("tokenizer-vectors/vectors.json"); }

/* A whole file from malloc, with a 0 behind it. */
static char *read_file(const char *path, size_t *size) {
  char *data = NULL;
  assert_ok(gw_fs_read_all(gw_fs_disk(), path, 1 << 28, &data, size));
  return data;
}

static void write_file(const char *path, const void *data, size_t size) {
  assert_ok(gw_fs_write_atomic(gw_fs_disk(), path, data, size));
}

static const char *scratch_path(const char *name) {
  static char path[600];
  snprintf(path, sizeof path, "%s/%s", gw_test_folder("vocabularies"), name);
  return path;
}

/* p50k_base is r50k_base with 24 tokens behind it: runs of 2 to 25 spaces. */
static GwTokenizer *open_p50k(void) {
  size_t size = 0;
  char *ranks = read_file(shared_file("tiktoken-ranks/r50k_base.tiktoken"), &size);
  static const char *const ENDS[3] = {"", "IA==", "ICA="}; /* one and two spaces */
  char *all = malloc(size + 24 * 64), *end = all + size;
  memcpy(all, ranks, size);
  for (int spaces = 2; spaces <= 25; spaces++) {
    for (int i = 0; i < spaces / 3; i++) end += sprintf(end, "ICAg");
    end += sprintf(end, "%s %d\n", ENDS[spaces % 3], 50257 + spaces - 2);
  }
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_tokenizer_parse("p50k_base", all, (size_t)(end - all), &tokenizer));
  free(ranks);
  free(all);
  return tokenizer;
}

static GwTokenizer *open_shared(const char *name) {
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_tokenizer_open(gw_fs_disk(), shared_file(name), &tokenizer));
  return tokenizer;
}

static GwTokenizer *open_encoding(int encoding) {
  static const char *const FILES[ENCODING_COUNT] = {
      "gpt2-bpe/encoder.json", "tiktoken-ranks/r50k_base.tiktoken", NULL,
      "tiktoken-ranks/cl100k_base.tiktoken", "tiktoken-ranks/o200k_base.tiktoken"};
  return FILES[encoding] ? open_shared(FILES[encoding]) : open_p50k();
}

static size_t from_hex(const char *hex, uint8_t *out) {
  size_t size = strlen(hex) / 2;
  assert_true(size <= TEXT_MAX);
  for (size_t i = 0; i < size; i++) {
    unsigned byte = 0;
    assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
    out[i] = (uint8_t)byte;
  }
  return size;
}

static void assert_vector(const GwTokenizer *tokenizer, const json_t *vector, const char *encoding,
                          GwTokenIds *ids) {
  static uint8_t text[TEXT_MAX];
  size_t size = from_hex(json_string_value(json_object_get(vector, "hex")), text);
  const char *name = json_string_value(json_object_get(vector, "name"));
  const json_t *expected = json_object_get(json_object_get(vector, "ids"), encoding);
  ids->count = 0;
  assert_ok(gw_tokenizer_encode(tokenizer, text, size, ids));
  if (ids->count != json_array_size(expected))
    fail_msg("%s: %s: %zu ids", encoding, name, ids->count);
  for (size_t i = 0; i < ids->count; i++)
    if (ids->ids[i] != json_integer_value(json_array_get(expected, i)))
      fail_msg("%s: %s: id %zu is %d", encoding, name, i, ids->ids[i]);
}

/* Saved and opened again too: tokenizer.json says all that matters. */
static void assert_vectors(GwTokenizer *tokenizer, const char *encoding) {
  const char *path = scratch_path("saved.json");
  GwTokenizer *opened = NULL;
  assert_ok(gw_tokenizer_save(gw_fs_disk(), tokenizer, path));
  assert_ok(gw_tokenizer_open(gw_fs_disk(), path, &opened));
  assert_int_equal(gw_tokenizer_hash(opened), gw_tokenizer_hash(tokenizer));
  GwTokenIds ids = {0};
  json_t *vector;
  size_t index;
  json_array_foreach(vectors, index, vector) {
    assert_vector(tokenizer, vector, encoding, &ids);
    assert_vector(opened, vector, encoding, &ids);
  }
  assert_int_equal(index, VECTOR_COUNT);
  gw_token_ids_deinit(&ids);
  gw_tokenizer_destroy(opened);
  gw_tokenizer_destroy(tokenizer);
}

static void published_encodings_are_met(void **state) {
  (void)state;
  want_vectors();
  for (int i = 0; i < ENCODING_COUNT; i++) assert_vectors(open_encoding(i), ENCODINGS[i]);
}

/* GPT-2 comes in three formats, r50k_base is a fourth of the same. */
static void formats_of_one_vocabulary_are_one_tokenizer(void **state) {
  (void)state;
  want_vectors();
  assert_vectors(open_shared("gpt2-bpe/hf-tokenizer.json"), "gpt2");
  static const char *const FILES[] = {"gpt2-bpe/hf-tokenizer.json", "gpt2-bpe/encoder.json",
                                      "gpt2-bpe", "tiktoken-ranks/r50k_base.tiktoken"};
  uint64_t hash = 0;
  for (size_t i = 0; i < GW_COUNT_OF(FILES); i++) {
    GwTokenizer *tokenizer = open_shared(FILES[i]);
    assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 50257);
    assert_int_equal(gw_tokenizer_end_of_text(tokenizer), 50256);
    if (i == 0) hash = gw_tokenizer_hash(tokenizer);
    assert_int_equal(gw_tokenizer_hash(tokenizer), hash);
    gw_tokenizer_destroy(tokenizer);
  }
}

static void special_tokens_come_from_text_on_request(void **state) {
  (void)state;
  GwTokenizer *tokenizer = open_encoding(3);
  const char text[] = "<|endoftext|>one <|fim_prefix|><|fim_pre <|endofprompt|>";
  GwTokenIds plain = {0}, special = {0}, one = {0};
  assert_ok(gw_tokenizer_encode(tokenizer, text, sizeof text - 1, &plain));
  for (size_t i = 0; i < plain.count; i++) assert_true(plain.ids[i] < 100256);
  assert_ok(gw_tokenizer_encode_special(tokenizer, text, sizeof text - 1, &special));
  assert_int_equal(special.ids[0], 100257);
  assert_int_equal(special.ids[special.count - 1], 100276);
  assert_ok(gw_tokenizer_encode(tokenizer, "one ", 4, &one));
  assert_memory_equal(special.ids + 1, one.ids, one.count * sizeof *one.ids);
  assert_int_equal(special.ids[1 + one.count], 100258);
  gw_token_ids_deinit(&plain);
  gw_token_ids_deinit(&special);
  gw_token_ids_deinit(&one);
  gw_tokenizer_destroy(tokenizer);
}

/* Pieces of text where patterns differ, put together at random. */
static void random_text(GwRng *rng, size_t size, GwText *out) {
  static const char *const PIECES[] = {"a",
                                       "B",
                                       "it's",
                                       " DON'T",
                                       "12345",
                                       ". ",
                                       "\n",
                                       "\r\n",
                                       " ",
                                       "  ",
                                       "\t",
                                       "/",
                                       "}\n",
                                       "//",
                                       "\xe3\x80\x80",
                                       "\xe4\xb8\xad\xe6\x96\x87",
                                       "\xe3\x80\x82",
                                       "\xc2\xa0",
                                       "\xcc\x81",
                                       "\xc5\xbf",
                                       "\xc3\x89t\xc3\xa9",
                                       "\xe2\x80\xa8",
                                       "\xff",
                                       "\xe4\xb8",
                                       "_",
                                       "-",
                                       "\xf0\x9f\x98\x80"};
  while (out->size < size) {
    const char *piece = PIECES[gw_rng_below(rng, GW_COUNT_OF(PIECES))];
    assert_ok(gw_text_append(out, piece, strlen(piece)));
  }
}

static void segments_give_the_same_tokens(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  for (int encoding = 1; encoding < ENCODING_COUNT; encoding++) {
    GwTokenizer *tokenizer = open_encoding(encoding);
    GwTokenIds whole = {0}, parts = {0};
    int cuts = 0;
    for (int round = 0; round < 50; round++) {
      GwText text = {0};
      random_text(&rng, 2000, &text);
      whole.count = parts.count = 0;
      assert_ok(gw_tokenizer_encode(tokenizer, text.data, text.size, &whole));
      for (size_t begin = 0, end; begin < text.size; begin = end) {
        end = gw_text_segment_end(text.data, text.size, begin, gw_rng_below(&rng, 20));
        cuts += end < text.size;
        assert_ok(gw_tokenizer_encode(tokenizer, text.data + begin, end - begin, &parts));
      }
      assert_int_equal(whole.count, parts.count);
      assert_memory_equal(whole.ids, parts.ids, whole.count * sizeof *whole.ids);
      gw_text_deinit(&text);
    }
    assert_true(cuts > 2000);
    gw_token_ids_deinit(&whole);
    gw_token_ids_deinit(&parts);
    gw_tokenizer_destroy(tokenizer);
  }
}

/* The plain reading of tiktoken's rule: of all neighbours that together are a token, the lowest. */
static size_t merge_plainly(const GwTokenizer *tokenizer, const uint8_t *piece, size_t size,
                            int32_t *ids) {
  size_t begins[64], count = size;
  assert_true(size < GW_COUNT_OF(begins));
  for (size_t i = 0; i <= size; i++) begins[i] = i;
  for (;;) {
    int32_t best = -1;
    size_t where = 0;
    for (size_t i = 0; i + 1 < count; i++) {
      size_t length = begins[i + 2] - begins[i];
      for (int32_t id = 0; id < tokenizer->vocab_size && (best < 0 || id < best); id++) {
        const GwTokenText *token = &tokenizer->tokens[id];
        if (token->size != length || memcmp(token->bytes, piece + begins[i], length) != 0) continue;
        best = id;
        where = i;
      }
    }
    if (best < 0) break;
    memmove(&begins[where + 1], &begins[where + 2], (count - where - 1) * sizeof *begins);
    count--;
  }
  for (size_t i = 0; i < count; i++) {
    ids[i] = -1;
    for (int32_t id = 0; id < tokenizer->vocab_size; id++) {
      const GwTokenText *token = &tokenizer->tokens[id];
      if (token->size == begins[i + 1] - begins[i] &&
          memcmp(token->bytes, piece + begins[i], token->size) == 0)
        ids[i] = id;
    }
  }
  return count;
}

typedef struct {
  uint8_t bytes[256], made[64][16];
  GwTokenText tokens[256 + 64 + 1];
  int32_t count; /* without the special token */
  GwSpecialToken special;
  GwTokenizer parts;
} Vocabulary;

static void begin_vocabulary(Vocabulary *v) {
  *v = (Vocabulary){.count = 256};
  for (int i = 0; i < 256; i++) {
    v->bytes[i] = (uint8_t)i;
    v->tokens[i] = (GwTokenText){&v->bytes[i], 1};
  }
}

static GwTokenizer *make_tokenizer(Vocabulary *v) {
  v->special = (GwSpecialToken){v->count, "<end>"};
  v->tokens[v->count] = (GwTokenText){0};
  v->parts.vocab_size = v->count + 1;
  v->parts.end_of_text = v->count;
  v->parts.tokens = v->tokens;
  v->parts.specials = &v->special;
  v->parts.special_count = 1;
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw__tokenizer_create(&v->parts, &tokenizer));
  return tokenizer;
}

/* Two tokens of 'a' and 'b' together, unless they are one already or would not be reached. */
static bool add_random_token(GwRng *rng, Vocabulary *v) {
  uint8_t *bytes = v->made[v->count - 256];
  size_t size = 0;
  for (int half = 0; half < 2; half++) {
    uint64_t which = gw_rng_below(rng, 2 + (uint64_t)v->count - 256);
    const GwTokenText *token = &v->tokens[which < 2 ? 'a' + which : 254 + which];
    if (size + token->size > sizeof v->made[0]) return false;
    memcpy(bytes + size, token->bytes, token->size);
    size += token->size;
  }
  for (int32_t id = 256; id < v->count; id++)
    if (v->tokens[id].size == size && memcmp(v->tokens[id].bytes, bytes, size) == 0) return false;
  v->tokens[v->count++] = (GwTokenText){bytes, size};
  GwTokenizer *tokenizer = make_tokenizer(v);
  bool reached = tokenizer->merge_count == v->count - 256;
  gw_tokenizer_destroy(tokenizer);
  v->count -= !reached;
  return reached;
}

static void assert_encodes_plainly(GwRng *rng, const GwTokenizer *tokenizer) {
  GwTokenIds ids = {0};
  for (int text = 0; text < 30; text++) {
    uint8_t piece[40];
    int32_t plain[40];
    size_t size = 1 + gw_rng_below(rng, sizeof piece - 1);
    for (size_t k = 0; k < size; k++) piece[k] = (uint8_t)('a' + gw_rng_below(rng, 2));
    size_t expected = merge_plainly(tokenizer, piece, size, plain);
    ids.count = 0;
    assert_ok(gw_tokenizer_encode(tokenizer, piece, size, &ids));
    assert_int_equal(ids.count, expected);
    assert_memory_equal(ids.ids, plain, expected * sizeof *plain);
  }
  gw_token_ids_deinit(&ids);
}

static void derived_merges_are_tiktokens_rule(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 2);
  int refused = 0, made = 0;
  for (int round = 0; round < 40; round++) {
    Vocabulary v;
    begin_vocabulary(&v);
    for (int i = 0; i < 30; i++) {
      bool added = add_random_token(&rng, &v);
      made += added;
      refused += !added;
    }
    GwTokenizer *tokenizer = make_tokenizer(&v);
    assert_encodes_plainly(&rng, tokenizer);
    gw_tokenizer_destroy(tokenizer);
  }
  assert_true(made > 200 && refused > 200);
}

/* With half of its merges a vocabulary has tokens that are reached as whole pieces only. */
static void a_piece_that_is_a_token_may_stay_whole(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 3);
  Vocabulary v;
  begin_vocabulary(&v);
  while (v.count < 256 + 20) (void)add_random_token(&rng, &v);
  GwTokenizer *all = make_tokenizer(&v);
  v.parts.merges = all->merges;
  v.parts.merge_count = all->merge_count / 2;
  for (int whole = 0; whole < 2; whole++) {
    v.parts.whole_pieces = whole;
    GwTokenizer *half = make_tokenizer(&v);
    GwTokenIds ids = {0};
    int alone = 0;
    for (int32_t id = 256; id < v.count; id++) {
      ids.count = 0;
      assert_ok(gw_tokenizer_encode(half, v.tokens[id].bytes, v.tokens[id].size, &ids));
      alone += ids.count == 1 && ids.ids[0] == id;
    }
    assert_int_equal(alone, whole ? 20 : 10);
    assert_int_equal(half->wholes != NULL, whole);
    if (!whole) assert_int_not_equal(gw_tokenizer_hash(half), gw_tokenizer_hash(all));
    gw_token_ids_deinit(&ids);
    gw_tokenizer_destroy(half);
  }
  gw_tokenizer_destroy(all);
}

static double cpu_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Runs of what the patterns repeat, many of them: time per byte stays what it is. */
static void hostile_text_takes_linear_time(void **state) {
  (void)state;
  static const char *const UNITS[] = {
      "a",  "A", " ",        "\n",           " \n",  "\t", "1",  "'",
      "'s", "/", "\xcc\x81", "\xe4\xb8\xad", "\xff", "aA", "a'", "\xe3\x80\x80",
      "!",  "_a"};
  enum { SMALL = 1 << 14, LARGE = 1 << 17 };
  char *text = malloc(LARGE + 8);
  for (int encoding = 1; encoding < ENCODING_COUNT; encoding += 1 + (encoding == 1)) {
    GwTokenizer *tokenizer = open_encoding(encoding);
    GwTokenIds ids = {0};
    for (size_t unit = 0; unit < GW_COUNT_OF(UNITS); unit++) {
      size_t length = strlen(UNITS[unit]);
      for (size_t at = 0; at < LARGE; at += length) memcpy(text + at, UNITS[unit], length);
      double seconds[2] = {1e9, 1e9};
      for (int size = 0; size < 2; size++)
        for (int round = 0; round < 2; round++) {
          ids.count = 0;
          double begin = cpu_seconds();
          assert_ok(gw_tokenizer_encode(tokenizer, text, size ? LARGE : SMALL, &ids));
          double took = cpu_seconds() - begin;
          if (took < seconds[size]) seconds[size] = took;
        }
      if (seconds[1] > 8 * 4 * seconds[0] + 0.02)
        fail_msg("%s, '%s' repeated: %.3f s for 16 KiB, %.3f s for 128 KiB", ENCODINGS[encoding],
                 UNITS[unit], seconds[0], seconds[1]);
    }
    gw_token_ids_deinit(&ids);
    gw_tokenizer_destroy(tokenizer);
  }
  free(text);
}

static void assert_ranks_refused(const char *text, GwStatus status, const char *message) {
  GwTokenizer *tokenizer = NULL;
  assert_fails(status, message, gw_tokenizer_parse("t.tiktoken", text, strlen(text), &tokenizer));
  assert_non_null(strstr(gw_error_message(), "t.tiktoken"));
  assert_null(tokenizer);
}

static void broken_rank_files_are_refused(void **state) {
  (void)state;
  assert_ranks_refused("IQ==", GW_CORRUPT, ":1: no space");
  assert_ranks_refused("IQ== 0\nIQ==\n", GW_CORRUPT, ":2: no space");
  assert_ranks_refused("I? 0\n", GW_CORRUPT, "not base64");
  assert_ranks_refused("IQ= 0\n", GW_CORRUPT, "not base64");
  assert_ranks_refused("==== 0\n", GW_CORRUPT, "not base64");
  assert_ranks_refused(" 0\n", GW_CORRUPT, "not base64");
  assert_ranks_refused("IQ== \n", GW_CORRUPT, "out of range");
  assert_ranks_refused("IQ== -1\n", GW_CORRUPT, "out of range");
  assert_ranks_refused("IQ== 1x\n", GW_CORRUPT, "out of range");
  assert_ranks_refused("IQ== 99999999999999999999\n", GW_CORRUPT, "out of range");
  assert_ranks_refused("IQ== 4294967296\n", GW_CORRUPT, "out of range");
  assert_ranks_refused("IQ== 1000\n", GW_CORRUPT, "out of range");
  assert_ranks_refused("IQ== 0\nIg== 0\n", GW_CORRUPT, ":2: another token has this id");
  assert_ranks_refused("IQ== 0\r\nIQ== 1\r\n", GW_CORRUPT, ":2: this token has an id already");
  assert_ranks_refused("IQ== 0\n", GW_UNSUPPORTED, "1 tokens: godwit knows");
}

/* As many tokens as r50k_base has, but not its. */
static void ranks_that_no_merges_lead_to_are_refused(void **state) {
  (void)state;
  static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *text = malloc(50256 * 16), *end = text;
  for (int id = 0; id < 50256; id++) {
    unsigned bits = id < 256 ? (unsigned)id << 16 : (unsigned)id << 8 | 0x5a;
    end += sprintf(end, "%c%c%c%c %d\n", DIGITS[bits >> 18 & 63], DIGITS[bits >> 12 & 63],
                   id < 256 ? '=' : DIGITS[bits >> 6 & 63], id < 256 ? '=' : DIGITS[bits & 63], id);
  }
  assert_ranks_refused(text, GW_UNSUPPORTED, "tokens are not made of two before them");
  free(text);
}

/* A vocabulary without its merges, or with bad ones. */
static void broken_pairs_are_refused(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  GwTokenizer *tokenizer = NULL;
  char folder[600], path[700];
  snprintf(folder, sizeof folder, "%s", gw_test_folder("vocabulary-pair"));
  snprintf(path, sizeof path, "%s/vocab.json", folder);
  write_file(path, "{\"a\": 0}", 8);
  assert_fails(GW_NOT_FOUND, "merges.txt", gw_tokenizer_open(fs, path, &tokenizer));
  assert_fails(GW_NOT_FOUND, "merges.txt", gw_tokenizer_open(fs, folder, &tokenizer));
  char merges[700];
  snprintf(merges, sizeof merges, "%s/merges.txt", folder);
  write_file(merges, "#version: 0.2\na b\n", 18);
  assert_fails(GW_CORRUPT, "<|endoftext|>", gw_tokenizer_open(fs, path, &tokenizer));
  write_file(path, "{\"a\": 0, \"<|endoftext|>\": 1}", 28);
  assert_fails(GW_CORRUPT, "byte 0x00", gw_tokenizer_open(fs, path, &tokenizer));
  write_file(merges, "#version: 0.2\n\xff b\n", 18);
  assert_fails(GW_CORRUPT, "merges.txt: line 2", gw_tokenizer_open(fs, path, &tokenizer));
  assert_null(tokenizer);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 0x0cab);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_encodings_are_met),
      cmocka_unit_test(formats_of_one_vocabulary_are_one_tokenizer),
      cmocka_unit_test(special_tokens_come_from_text_on_request),
      cmocka_unit_test(segments_give_the_same_tokens),
      cmocka_unit_test(derived_merges_are_tiktokens_rule),
      cmocka_unit_test(a_piece_that_is_a_token_may_stay_whole),
      cmocka_unit_test(hostile_text_takes_linear_time),
      cmocka_unit_test(broken_rank_files_are_refused),
      cmocka_unit_test(ranks_that_no_merges_lead_to_are_refused),
      cmocka_unit_test(broken_pairs_are_refused),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
