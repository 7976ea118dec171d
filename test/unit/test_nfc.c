/* Normal form C: every character and random marks come out as libutf8proc's own, slower way has
 * them; bytes that are not UTF-8 stay; hostile marks take linear time; tokenizers that ask for it
 * give the same tokens in any segments, and say so when they are saved. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "data/text.h"
#include "tokenizer/nfc.h"
#include "tokenizer/tokenizer_formats.h"

static uint64_t seed;

/* ---- against the library ---- */

static size_t put_code(char *out, int32_t code) {
  return (size_t)utf8proc_encode_char(code, (uint8_t *)out);
}

static void assert_normalized(GwNfc *nfc, const char *text, size_t size) {
  const uint8_t *ours;
  uint8_t *theirs = NULL;
  size_t count;
  utf8proc_ssize_t wanted = utf8proc_map((const uint8_t *)text, (utf8proc_ssize_t)size, &theirs,
                                         UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  assert_true(wanted >= 0);
  assert_ok(gw_nfc_normalize(nfc, text, size, &ours, &count));
  if (count != (size_t)wanted || memcmp(ours, theirs, count) != 0)
    fail_msg("'%.*s' became '%.*s', not '%s'", (int)size, text, (int)count, (const char *)ours,
             (const char *)theirs);
  free(theirs);
}

/* Alone, behind a letter, and taken apart. */
static void every_character_is_normalized(void **state) {
  (void)state;
  GwNfc nfc = {0};
  int changed = 0;
  for (int32_t code = 1; code <= 0x10ffff; code++) {
    char text[64] = "a";
    int32_t parts[16];
    if (code >= 0xd800 && code <= 0xdfff) continue;
    size_t size = put_code(text + 1, code);
    assert_normalized(&nfc, text + 1, size);
    assert_normalized(&nfc, text, size + 1);
    utf8proc_ssize_t count =
        utf8proc_decompose_char(code, parts, 16, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, NULL);
    assert_in_range(count, 1, 4);
    if (count == 1 && parts[0] == code) continue;
    size = 0;
    for (int i = 0; i < count; i++) size += put_code(text + size, parts[i]);
    assert_normalized(&nfc, text, size);
    changed++;
  }
  assert_true(changed > 12000); /* 11172 syllables of Hangul among them */
  gw_nfc_deinit(&nfc);
}

/* Letters that take marks, marks of many classes, characters that are made of others, jamo, vowel
 * signs that compose with a letter without being of any class. */
static const int32_t HOSTILE[] = {
    'a',    'e',    'o',    '<',     ' ',     '\n',    0xe9,   0x300,  0x301,  0x302,
    0x304,  0x308,  0x30a,  0x316,   0x323,   0x327,   0x328,  0x334,  0x338,  0x345,
    0x35c,  0x5b0,  0x5c1,  0x64b,   0x653,   0x627,   0x9c7,  0x9be,  0x9d7,  0xbc6,
    0xbd7,  0xdd9,  0xdcf,  0xdca,   0x1100,  0x1161,  0x11a8, 0xac00, 0xac01, 0x1ea4,
    0x1e69, 0x212b, 0x2126, 0x2000,  0x37e,   0x344,   0xf73,  0xf71,  0xf72,  0x3099,
    0x304b, 0xfb2c, 0x4e2d, 0x1d15e, 0x110a5, 0x110ba, 0x958,  0x1f600};

static size_t hostile_text(GwRng *rng, size_t count, char *out) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++)
    size += put_code(out + size, HOSTILE[gw_rng_below(rng, GW_COUNT_OF(HOSTILE))]);
  return size;
}

static void random_marks_are_normalized(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  GwNfc nfc = {0};
  char text[400];
  for (int round = 0; round < 100000; round++)
    assert_normalized(&nfc, text, hostile_text(&rng, 1 + gw_rng_below(&rng, 60), text));
  gw_nfc_deinit(&nfc);
}

static void assert_becomes(const char *text, const char *wanted) {
  GwNfc nfc = {0};
  const uint8_t *out;
  size_t size;
  assert_ok(gw_nfc_normalize(&nfc, text, strlen(text), &out, &size));
  if (size != strlen(wanted) || memcmp(out, wanted, size) != 0)
    fail_msg("'%s' became '%.*s'", text, (int)size, (const char *)out);
  gw_nfc_deinit(&nfc);
}

static void other_bytes_stay_and_part_the_text(void **state) {
  (void)state;
  assert_becomes("e\xcc\x81", "\xc3\xa9");
  assert_becomes("e\xff\xcc\x81", "e\xff\xcc\x81");
  assert_becomes("\x80 e\xcc\x81\xe6\x97 e\xcc\x81\xcc", "\x80 \xc3\xa9\xe6\x97 \xc3\xa9\xcc");
  assert_becomes("\xed\xa0\x80\xcc\x81", "\xed\xa0\x80\xcc\x81"); /* a surrogate */
  assert_becomes("\xff\xfe", "\xff\xfe");
  assert_becomes("na\xc3\xafve", "na\xc3\xafve");
  assert_becomes("", "");
}

/* Marks in the worst order for a sort by exchange: it would take hours. */
static void hostile_marks_take_linear_time(void **state) {
  (void)state;
  enum { MARKS = 3000000 };
  GwNfc nfc = {0};
  const uint8_t *out;
  size_t size = 1, count;
  char *text = malloc(2 * MARKS + 1);
  text[0] = 'a';
  for (int i = 0; i < MARKS; i++) size += put_code(text + size, i % 2 ? 0x323 : 0x301);
  assert_ok(gw_nfc_normalize(&nfc, text, size, &out, &count));
  assert_int_equal(count, 2 * MARKS - 1 + 2); /* the first two have become one letter with 'a' */
  assert_true(nfc.code_capacity + nfc.sorted_capacity + nfc.capacity / 4 < 4 * size);
  gw_nfc_deinit(&nfc);
  free(text);
}

/* ---- tokenizers ---- */

static json_t *tokenizer_file(GwSplitPattern pattern, bool nfc) {
  static const char text[] = "the caf\xc3\xa9 na\xc3\xafve \xea\xb0\x80\xea\xb0\x81 caf\xc3\xa9s "
                             "the caf\xc3\xa9 na\xc3\xafve \xea\xb0\x80\xea\xb0\x81 ";
  char path[600];
  GwBpeTrainer *trainer = NULL;
  GwTokenizer *trained = NULL;
  snprintf(path, sizeof path, "%s/tokenizer.json", gw_test_folder("nfc"));
  assert_ok(gw_bpe_trainer_create(&trainer));
  assert_ok(gw_bpe_trainer_add(trainer, text, sizeof text - 1));
  assert_ok(gw_bpe_trainer_finish(trainer, 280, &trained));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), trained, path));
  gw_bpe_trainer_destroy(trainer);
  gw_tokenizer_destroy(trained);
  json_t *root = json_load_file(path, 0, NULL);
  json_object_set_new(root, "pre_tokenizer", gw__tokenizer_splitting_json(pattern));
  if (nfc) json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
  return root;
}

static GwTokenizer *make_tokenizer(GwSplitPattern pattern, bool nfc) {
  GwTokenizer *tokenizer = NULL;
  json_t *root = tokenizer_file(pattern, nfc);
  assert_ok(gw__tokenizer_from_json("t.json", root, &tokenizer));
  json_decref(root);
  return tokenizer;
}

static void assert_same_ids(const GwTokenIds *a, const GwTokenIds *b) {
  assert_int_equal(a->count, b->count);
  if (a->count > 0) assert_memory_equal(a->ids, b->ids, a->count * sizeof *a->ids);
}

static void both_spellings_give_the_same_tokens(void **state) {
  (void)state;
  static const char composed[] = "the caf\xc3\xa9 \xea\xb0\x81",
                    apart[] = "the cafe\xcc\x81 \xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8";
  GwTokenIds ids[3] = {{0}};
  for (int nfc = 0; nfc < 2; nfc++) {
    GwTokenizer *tokenizer = make_tokenizer(GW_PATTERN_QWEN2, nfc);
    for (int i = 0; i < 3; i++) ids[i].count = 0;
    assert_ok(gw_tokenizer_encode(tokenizer, composed, sizeof composed - 1, &ids[0]));
    assert_ok(gw_tokenizer_encode(tokenizer, apart, sizeof apart - 1, &ids[1]));
    assert_ok(gw_tokenizer_encode_special(tokenizer, apart, sizeof apart - 1, &ids[2]));
    assert_same_ids(&ids[1], &ids[2]);
    if (nfc)
      assert_same_ids(&ids[0], &ids[1]);
    else
      assert_int_not_equal(ids[0].count, ids[1].count);
    gw_tokenizer_destroy(tokenizer);
  }
  for (int i = 0; i < 3; i++) gw_token_ids_deinit(&ids[i]);
}

static void segments_give_the_tokens_of_the_whole(void **state) {
  (void)state;
  static char text[4096];
  GwRng rng = gw_rng(seed, 2);
  GwTokenIds whole = {0}, parts = {0};
  for (int pattern = 0; pattern < GW_PATTERN_COUNT; pattern++) {
    GwTokenizer *tokenizer = make_tokenizer((GwSplitPattern)pattern, true);
    size_t cuts = 0;
    for (int round = 0; round < 3000; round++) {
      size_t size = hostile_text(&rng, 1 + gw_rng_below(&rng, 200), text);
      for (int i = 0; i < 3; i++) text[gw_rng_below(&rng, size)] = (char)gw_rng_below(&rng, 256);
      whole.count = parts.count = 0;
      assert_ok(gw_tokenizer_encode(tokenizer, text, size, &whole));
      for (size_t begin = 0, end; begin < size; begin = end, cuts++) {
        end = gw_text_segment_end(text, size, begin, 1 + gw_rng_below(&rng, 30));
        assert_ok(gw_tokenizer_encode(tokenizer, text + begin, end - begin, &parts));
      }
      assert_same_ids(&whole, &parts);
    }
    assert_true(cuts > 5000);
    gw_tokenizer_destroy(tokenizer);
  }
  gw_token_ids_deinit(&whole);
  gw_token_ids_deinit(&parts);
}

static void saving_keeps_the_normalizer(void **state) {
  (void)state;
  char path[600];
  GwTokenizer *with = make_tokenizer(GW_PATTERN_QWEN2, true), *opened = NULL;
  GwTokenizer *without = make_tokenizer(GW_PATTERN_QWEN2, false);
  assert_true(gw_tokenizer_hash(with) != gw_tokenizer_hash(without));
  snprintf(path, sizeof path, "%s/tokenizer.json", gw_test_folder("nfc"));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), with, path));
  assert_ok(gw_tokenizer_open(gw_fs_disk(), path, &opened));
  assert_true(gw_tokenizer_hash(opened) == gw_tokenizer_hash(with));
  gw_tokenizer_destroy(with);
  gw_tokenizer_destroy(without);
  gw_tokenizer_destroy(opened);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_character_is_normalized),
      cmocka_unit_test(random_marks_are_normalized),
      cmocka_unit_test(other_bytes_stay_and_part_the_text),
      cmocka_unit_test(hostile_marks_take_linear_time),
      cmocka_unit_test(both_spellings_give_the_same_tokens),
      cmocka_unit_test(segments_give_the_tokens_of_the_whole),
      cmocka_unit_test(saving_keeps_the_normalizer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
