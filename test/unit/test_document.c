/* Documents out of files of every kind; what cannot be a document is named; cuts are safe. */
#include "corpus_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash_set.h"
#include "data/document.h"
#include "tokenizer/tokenizer.h"

static uint64_t seed;

static GwStatus read_inputs(const char *const *inputs, int count, size_t bytes_max, GwText *out) {
  GwDocumentList list;
  GwDocumentReader reader;
  GW_TRY(gw_document_list_init(gw_fs_disk(), inputs, count, NULL, &list));
  gw_document_reader_init(gw_fs_disk(), &list, bytes_max, &reader);
  GwStatus status = GW_OK;
  for (bool end = false; status == GW_OK && !end;) {
    status = gw_document_reader_next(&reader, out, &end);
    if (status == GW_OK && !end) status = gw_text_append(out, "|", 1);
  }
  if (status == GW_OK) assert_int_equal(gw_document_reader_position(&reader), list.bytes);
  gw_document_reader_deinit(&reader);
  gw_document_list_deinit(&list);
  return status;
}

static GwStatus read_one(const char *path) {
  GwText text = {0};
  GwStatus status = read_inputs(&path, 1, GW_DOCUMENT_BYTES_MAX, &text);
  gw_text_deinit(&text);
  return status;
}

static void expect(const char *path, const char *wanted) {
  GwText text = {0};
  assert_ok(read_inputs(&path, 1, GW_DOCUMENT_BYTES_MAX, &text));
  assert_ok(gw_text_append(&text, "", 1));
  assert_string_equal(text.data, wanted);
  gw_text_deinit(&text);
}

static const char lines[] =
    "{\"text\": \"one\\nline\"}\n\n  \r\n{\"id\": 3, \"text\": \"zw\\u00f6lf\"}\n"
    "{\"text\": \"\"}\n{\"text\": \"last\"}";

static void folders_are_read_by_name(void **state) {
  (void)state;
  const char *folder = gw_test_folder("folder");
  mkdir(gw_test_path(folder, "b"), 0777);
  mkdir(gw_test_path(folder, "empty"), 0777);
  gw_test_write(gw_test_path(folder, "c.txt"), "see", 3);
  gw_test_write(gw_test_path(folder, "a.txt"), "ay", 2);
  gw_test_write(gw_test_path(folder, "a.png"), "\x89PNG", 4);
  gw_test_write(gw_test_path(folder, "nothing.txt"), "", 0);
  gw_test_write(gw_test_path(folder, "b/x.jsonl"), lines, sizeof lines - 1);
  gw_test_write_gzip(gw_test_path(folder, "b/y.txt.gz"), "why", 3);
  gw_test_write_zstd(gw_test_path(folder, "b/z.jsonl.zst"), lines, sizeof lines - 1);
  expect(folder, "ay|one\nline|zw\xc3\xb6lf|last|why|one\nline|zw\xc3\xb6lf|last|see|");
  expect(gw_test_path(folder, "b"), "one\nline|zw\xc3\xb6lf|last|why|one\nline|zw\xc3\xb6lf|last|");
  assert_fails(GW_INVALID, "empty: holds no .txt", read_one(gw_test_path(folder, "empty")));
  assert_fails(GW_NOT_FOUND, "missing: no such file", read_one(gw_test_path(folder, "missing")));
}

static void packed_files_of_several_parts_read_as_one(void **state) {
  (void)state;
  const char *folder = gw_test_folder("parts");
  for (int packing = 0; packing < 2; packing++) {
    const char *part = gw_test_path(folder, "part"),
               *whole = gw_test_path(folder, packing ? "a.txt.zst" : "a.txt.gz");
    GwText joined = {0};
    const char *const texts[] = {"first ", "second ", "third"};
    for (size_t i = 0; i < 3; i++) {
      size_t size;
      (packing ? gw_test_write_zstd : gw_test_write_gzip)(part, texts[i], strlen(texts[i]));
      char *data = gw_test_read(part, &size);
      assert_ok(gw_text_append(&joined, data, size));
      free(data);
    }
    gw_test_write(whole, joined.data, joined.size);
    expect(whole, "first second third|");
    gw_text_deinit(&joined);
  }
}

/* Every cut of a packed file must be an error; so must most changed bytes, and none may crash. */
static void damaged_packing_is_named(void **state) {
  (void)state;
  const char *folder = gw_test_folder("damage");
  GwRng rng = gw_rng(seed, 2);
  GwText text = {0};
  gw_test_text(&rng, 200, false, &text);
  for (int packing = 0; packing < 2; packing++) {
    const char *path = gw_test_path(folder, packing ? "a.txt.zst" : "a.txt.gz");
    size_t size;
    (packing ? gw_test_write_zstd : gw_test_write_gzip)(path, text.data, text.size);
    char *data = gw_test_read(path, &size);
    for (size_t cut = 0; cut < size; cut++) {
      gw_test_write(path, data, cut);
      assert_fails(GW_CORRUPT, "ends early", read_one(path));
    }
    gw_test_write(path, "not packed at all, plain text", 29);
    assert_fails(GW_CORRUPT, "is damaged", read_one(path));
    for (size_t i = 0; i < size; i++) {
      data[i] ^= 0x20;
      gw_test_write(path, data, size);
      if (read_one(path) != GW_OK) assert_non_null(strstr(gw_error_message(), "a.txt."));
      data[i] ^= 0x20;
    }
    free(data);
  }
  gw_text_deinit(&text);
}

static void long_lines_cross_buffers(void **state) {
  (void)state;
  const char *folder = gw_test_folder("long"), *path = gw_test_path(folder, "a.jsonl");
  GwRng rng = gw_rng(seed, 3);
  gw_test_write_jsonl(path, &rng, 40, 100000);
  GwText plain = {0}, packed = {0};
  size_t size;
  char *data = gw_test_read(path, &size);
  const char *gz = gw_test_path(folder, "b.jsonl.gz");
  gw_test_write_gzip(gz, data, size);
  free(data);
  assert_ok(read_inputs(&path, 1, GW_DOCUMENT_BYTES_MAX, &plain));
  assert_ok(read_inputs(&gz, 1, GW_DOCUMENT_BYTES_MAX, &packed));
  assert_true(plain.size > 500000);
  assert_int_equal(plain.size, packed.size);
  assert_memory_equal(plain.data, packed.data, plain.size);
  packed.size = 0;
  assert_fails(GW_INVALID, "a.jsonl: a document of more than 1000 bytes",
               read_inputs(&path, 1, 1000, &packed));
  gw_text_deinit(&plain);
  gw_text_deinit(&packed);
}

static void what_is_no_text_is_named(void **state) {
  (void)state;
  const char *folder = gw_test_folder("garbage"), *path = gw_test_path(folder, "a.txt");
  char noise[1000];
  GwRng rng = gw_rng(seed, 4);
  for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(1 + gw_rng_below(&rng, 255));
  gw_test_write(path, noise, sizeof noise);
  assert_fails(GW_INVALID, "a.txt: not text", read_one(path));
  gw_test_write(path, "some\0text", 9);
  assert_fails(GW_INVALID, "a NUL byte at 4", read_one(path));
  gw_test_write(path,
                "Gr\xfc\xdf"
                "e aus K\xf6ln, in Latin-1 nur wenig kaputt",
                40);
  assert_ok(read_one(path));
  path = gw_test_path(folder, "b.jsonl");
  gw_test_write(path, "{\"text\": \"a\"}\n{\"text\": \"b\"\n", 28);
  assert_fails(GW_INVALID, "b.jsonl:2: broken JSON line", read_one(path));
  gw_test_write(path, "\n{\"txt\": \"a\"}\n", 14);
  assert_fails(GW_INVALID, "b.jsonl:2: no \"text\" string", read_one(path));
  gw_test_write(path, "{\"text\": 7}", 11);
  assert_fails(GW_INVALID, "b.jsonl:1: no \"text\" string", read_one(path));
  gw_test_write(path, "[1]", 3);
  assert_fails(GW_INVALID, "b.jsonl:1: no \"text\" string", read_one(path));
  gw_test_write(path, noise, sizeof noise);
  assert_fails(GW_INVALID, "b.jsonl:", read_one(path));
}

static void invalid_bytes_are_counted(void **state) {
  (void)state;
  const struct {
    const char *text;
    size_t invalid;
  } cases[] = {{"plain ascii, longer than eight", 0},
               {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa6", 0},
               {"\xc0\xaf", 2},             /* overlong */
               {"\xe0\x80\x80", 3},         /* overlong */
               {"\xed\xa0\x80", 3},         /* surrogate */
               {"\xf4\x90\x80\x80", 4},     /* beyond U+10FFFF */
               {"abcdefgh\x80ijklmnop", 1}, /* lone continuation */
               {"\xe2\x82", 2},             /* ends early */
               {"\xff\xfe", 2}};
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++)
    assert_int_equal(gw_text_invalid_bytes(cases[i].text, strlen(cases[i].text)), cases[i].invalid);
}

static void tails_begin_with_a_character(void **state) {
  (void)state;
  assert_int_equal(gw_text_tail("0123456789", 10, 0.1), 9);
  assert_int_equal(gw_text_tail("0123456789", 10, 0.11), 8);
  assert_int_equal(gw_text_tail("0123456789", 10, 0), 10);
  assert_int_equal(gw_text_tail("abc\xe2\x82\xac", 6, 0.1), 3);
  assert_int_equal(gw_text_tail("abc\xe2\x82\xac", 6, 0.5), 3);
  assert_int_equal(gw_text_tail("a", 1, 0.1), 0);
  char *bible = calloc(1, 4404414);
  assert_int_equal(4404414 - gw_text_tail(bible, 4404414, 0.1), 440442);
  free(bible);
}

static GwTokenizer *train(const GwText *text) {
  GwBpeTrainer *trainer = NULL;
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_bpe_trainer_create(&trainer));
  assert_ok(gw_bpe_trainer_add(trainer, text->data, text->size));
  assert_ok(gw_bpe_trainer_finish(trainer, 400, &tokenizer));
  gw_bpe_trainer_destroy(trainer);
  return tokenizer;
}

static void cutting_into_segments_keeps_the_tokens(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 5);
  int cuts = 0;
  for (int round = 0; round < 40; round++) {
    GwText text = {0};
    GwTokenIds whole = {0}, parts = {0};
    gw_test_text(&rng, 3000, round % 2 == 1, &text);
    GwTokenizer *tokenizer = train(&text);
    assert_ok(gw_tokenizer_encode(tokenizer, text.data, text.size, &whole));
    for (size_t begin = 0, end; begin < text.size; begin = end) {
      end = gw_text_segment_end(text.data, text.size, begin, gw_rng_below(&rng, 100));
      assert_true(end > begin);
      cuts += end < text.size;
      assert_ok(gw_tokenizer_encode(tokenizer, text.data + begin, end - begin, &parts));
    }
    assert_int_equal(whole.count, parts.count);
    assert_memory_equal(whole.ids, parts.ids, whole.count * sizeof *whole.ids);
    gw_tokenizer_destroy(tokenizer);
    gw_token_ids_deinit(&whole);
    gw_token_ids_deinit(&parts);
    gw_text_deinit(&text);
  }
  assert_true(cuts > 1000);
}

static void hash_set_knows_what_was_added(void **state) {
  (void)state;
  GwHashSet set = {0};
  bool added;
  for (int round = 0; round < 2; round++) {
    for (uint64_t i = 0; i < 50000; i++) {
      GwHash128 hash = i == 7 ? (GwHash128){0} : gw_hash128(&i, sizeof i);
      assert_ok(gw_hash_set_add(&set, hash, &added));
      assert_int_equal(added, round == 0);
    }
  }
  assert_int_equal(set.count, 50000);
  assert_true(set.capacity * sizeof *set.slots <= 23 * set.count);
  gw_hash_set_deinit(&set);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(folders_are_read_by_name),
      cmocka_unit_test(packed_files_of_several_parts_read_as_one),
      cmocka_unit_test(damaged_packing_is_named),
      cmocka_unit_test(long_lines_cross_buffers),
      cmocka_unit_test(what_is_no_text_is_named),
      cmocka_unit_test(invalid_bytes_are_counted),
      cmocka_unit_test(tails_begin_with_a_character),
      cmocka_unit_test(cutting_into_segments_keeps_the_tokens),
      cmocka_unit_test(hash_set_knows_what_was_added),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
