/* Token files of other programs: each layout, written here byte by byte from its description,
 * reads back; damage is named; folders are sorted into splits; documents are where files say. */
#include "corpus_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/corpus.h"
#include "data/token_file.h"
#include "tokenizer/tokenizer.h"

static uint64_t seed;
static const char *folder;

/* ---- writing ---- */

static void put(GwText *out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) {
    char byte = (char)(value >> (8 * i));
    assert_ok(gw_text_append(out, &byte, 1));
  }
}

static void save(const char *name, GwText *file) {
  gw_test_write(gw_test_path(folder, name), file->data, file->size);
  gw_text_deinit(file);
}

static void write_raw(const char *name, const int64_t *tokens, size_t count, int bytes) {
  GwText file = {0};
  for (size_t i = 0; i < count; i++) put(&file, (uint64_t)tokens[i], bytes);
  save(name, &file);
}

static void write_llm_c(const char *name, const int64_t *tokens, size_t count, int bytes) {
  GwText file = {0};
  put(&file, bytes == 2 ? 20240520 : 20240801, 4);
  put(&file, bytes == 2 ? 1 : 7, 4);
  put(&file, count, 4);
  for (int i = 3; i < 256; i++) put(&file, 0, 4);
  for (size_t i = 0; i < count; i++) put(&file, (uint64_t)tokens[i], bytes);
  save(name, &file);
}

/* What an index says; `documents` ends with the number of sequences. */
typedef struct {
  uint64_t version, code, sequences, entries;
  int32_t lengths[8];
  int64_t pointers[8], documents[8];
} Index;

static void make_index(const Index *index, GwText *out) {
  *out = (GwText){0};
  assert_ok(gw_text_append(out, "MMIDIDX\0\0", 9));
  put(out, index->version, 8);
  put(out, index->code, 1);
  put(out, index->sequences, 8);
  put(out, index->entries, 8);
  for (uint64_t i = 0; i < index->sequences && i < 8; i++) put(out, (uint64_t)index->lengths[i], 4);
  for (uint64_t i = 0; i < index->sequences && i < 8; i++)
    put(out, (uint64_t)index->pointers[i], 8);
  for (uint64_t i = 0; i < index->entries && i < 8; i++) put(out, (uint64_t)index->documents[i], 8);
}

/* Four sequences of 3, 0, 2 and 4 tokens in documents of the first, the next two, and the last. */
static Index sample_index(uint64_t code, int bytes) {
  Index index = {1, code, 4, 4, {3, 0, 2, 4}, {0, 3, 3, 5}, {0, 1, 3, 4}};
  for (int i = 0; i < 4; i++) index.pointers[i] *= bytes;
  return index;
}

static const int64_t SAMPLE[9] = {7, 8, 9, 1, 2, 3, 4, 5, 6};

static void write_megatron(const char *name, uint64_t code, int bytes) {
  Index index = sample_index(code, bytes);
  GwText file;
  char path[64];
  make_index(&index, &file);
  snprintf(path, sizeof path, "%s.idx", name);
  save(path, &file);
  snprintf(path, sizeof path, "%s.bin", name);
  write_raw(path, SAMPLE, 9, bytes);
}

/* ---- reading ---- */

static void assert_reads(const char *name, GwTokenLayout layout, const int64_t *tokens,
                         size_t count) {
  const char *path = gw_test_path(folder, name);
  GwTokenLayout found;
  GwShard shard;
  GwShardScan scan;
  int32_t back[64];
  assert_ok(gw_token_file_layout(gw_fs_disk(), path, &found));
  assert_int_equal(found, layout);
  assert_ok(gw_token_file_open(path, layout, &shard));
  assert_int_equal(shard.tokens, count);
  gw_shard_read(&shard, 0, count, back);
  for (size_t i = 0; i < count; i++) assert_int_equal(back[i], tokens[i]);
  gw_shard_read(&shard, count / 2, count - count / 2, back);
  for (size_t i = count / 2; i < count; i++) assert_int_equal(back[i - count / 2], tokens[i]);
  gw_shard_scan(&shard, (int32_t)tokens[1], &scan);
  assert_true(scan.hash == gw_shard_hash(&shard));
  uint64_t ends = 0;
  for (size_t i = 0; i < count; i++) ends += tokens[i] == tokens[1];
  assert_int_equal(scan.ends, ends);
  for (size_t i = 0; i < count; i++) assert_true(scan.largest >= (uint32_t)tokens[i]);
  assert_int_equal(scan.largest, tokens[scan.largest_at]);
  gw_shard_close(&shard);
}

static void every_layout_reads_back(void **state) {
  (void)state;
  static const struct {
    uint64_t code;
    int bytes;
  } types[] = {{1, 1}, {2, 1}, {3, 2}, {4, 4}, {5, 8}, {8, 2}};
  const int64_t small[] = {5, 65535, 300, 0, 65535, 2};
  const int64_t large[] = {5, 128000, 300, 16777215, 128000};
  folder = gw_test_folder("layouts");
  write_llm_c("a_train_000001.bin", small, 6, 2);
  write_llm_c("b_val_000001.bin", large, 5, 4);
  write_raw("train.bin", small, 6, 2);
  assert_reads("a_train_000001.bin", GW_TOKENS_LLM_C_16, small, 6);
  assert_reads("b_val_000001.bin", GW_TOKENS_LLM_C_32, large, 5);
  assert_reads("train.bin", GW_TOKENS_NANOGPT, small, 6);
  for (size_t i = 0; i < GW_COUNT_OF(types); i++) {
    write_megatron("text_document", types[i].code, types[i].bytes);
    assert_reads("text_document.bin", GW_TOKENS_MEGATRON, SAMPLE, 9);
  }
}

static void an_index_says_where_documents_begin(void **state) {
  (void)state;
  GwShard shard;
  folder = gw_test_folder("documents");
  write_megatron("text_document", 4, 4);
  assert_ok(
      gw_token_file_open(gw_test_path(folder, "text_document.bin"), GW_TOKENS_MEGATRON, &shard));
  const uint64_t begins[] = {0, 3, 5, 9};
  assert_int_equal(shard.index.documents, 3);
  for (uint64_t i = 0; i < 4; i++) assert_int_equal(gw_shard_document(&shard, i), begins[i]);
  gw_shard_close(&shard);
}

/* ---- damage ---- */

static GwStatus parse(const Index *index, size_t cut, size_t size) {
  static const uint8_t tokens[64];
  GwText file;
  GwShard shard;
  make_index(index, &file);
  /* From memory of just that size, so that sanitizers see a byte too many. */
  uint8_t *exact = malloc(file.size - cut + 1);
  memcpy(exact, file.data, file.size - cut);
  GwStatus status =
      gw_token_file_parse_megatron("x.bin", "x.idx", exact, file.size - cut, tokens, size, &shard);
  free(exact);
  gw_text_deinit(&file);
  return status;
}

#define REFUSED(status, part, change)                                                              \
  do {                                                                                             \
    Index index = sample_index(8, 2);                                                              \
    change;                                                                                        \
    assert_fails(status, part, parse(&index, 0, 18));                                              \
  } while (0)

static void damaged_indexes_are_named(void **state) {
  (void)state;
  Index good = sample_index(8, 2);
  assert_ok(parse(&good, 0, 18));
  for (size_t cut = 1; cut < 100; cut++) assert_int_not_equal(parse(&good, cut, 18), GW_OK);
  REFUSED(GW_UNSUPPORTED, "x.idx: version 2", index.version = 2);
  REFUSED(GW_UNSUPPORTED, "x.idx: its type 6 is f64", index.code = 6);
  REFUSED(GW_UNSUPPORTED, "x.idx: its type 7 is f32", index.code = 7);
  REFUSED(GW_CORRUPT, "x.idx: its type 0 is none", index.code = 0);
  REFUSED(GW_CORRUPT, "x.idx: its type 255 is none", index.code = 255);
  REFUSED(GW_CORRUPT, "18446744073709551615 sequences", index.sequences = UINT64_MAX);
  REFUSED(GW_CORRUPT, "4611686018427387904 sequences", index.sequences = UINT64_C(1) << 62);
  REFUSED(GW_CORRUPT, "2305843009213693956 entries", index.entries = (UINT64_C(1) << 61) + 4);
  REFUSED(GW_CORRUPT, "x.idx: sequence 2 has the length -2", index.lengths[2] = -2);
  REFUSED(GW_UNSUPPORTED, "sequence 2 begins at byte 8", index.pointers[2] = 8);
  REFUSED(GW_UNSUPPORTED, "sequence 3 begins at byte -10", index.pointers[3] = -10);
  REFUSED(GW_CORRUPT, "x.bin: its 18 bytes end within sequence 3", index.lengths[3] = INT32_MAX);
  REFUSED(GW_CORRUPT, "x.bin: its 18 bytes go on behind byte 16", index.lengths[3] = 3);
  REFUSED(GW_CORRUPT, "document 0 begins with sequence 1", index.documents[0] = 1);
  REFUSED(GW_CORRUPT, "document 2 begins with sequence 0", index.documents[2] = 0);
  REFUSED(GW_CORRUPT, "document 2 begins with sequence 5", index.documents[2] = 5);
  REFUSED(GW_CORRUPT, "document 1 begins with sequence -1", index.documents[1] = -1);
  REFUSED(GW_CORRUPT, "list of documents ends with sequence 3", index.documents[3] = 3);
  REFUSED(GW_CORRUPT, "list of documents ends with sequence 0", index.entries = 0);
  assert_fails(GW_CORRUPT, "x.bin: its 19 bytes go on", parse(&good, 0, 19));
  assert_fails(GW_CORRUPT, "x.bin: its 17 bytes end", parse(&good, 0, 17));
  GwShard shard;
  assert_fails(GW_CORRUPT, "x.idx: no index",
               gw_token_file_parse_megatron("x.bin", "x.idx", NULL, 0, NULL, 0, &shard));
  assert_fails(GW_CORRUPT, "x.bin: 3 bytes, an odd number",
               gw_token_file_parse_raw("x.bin", (const uint8_t *)"abc", 3, &shard));
}

/* Multimodal data have a mode of each sequence behind the rest. */
static void an_index_with_more_behind_it_is_refused(void **state) {
  (void)state;
  const uint8_t tokens[18] = {0};
  Index index = sample_index(8, 2);
  GwText file;
  GwShard shard;
  make_index(&index, &file);
  for (int more = 1; more <= 16; more++) {
    put(&file, 0, 1);
    assert_fails(GW_CORRUPT, "not what its",
                 gw_token_file_parse_megatron("x.bin", "x.idx", (uint8_t *)file.data, file.size,
                                              tokens, 18, &shard));
  }
  gw_text_deinit(&file);
}

/* ---- folders ---- */

static GwStatus open_folder(GwCorpus **out) { return gw_corpus_open(folder, true, out); }

static void folders_are_sorted_into_splits(void **state) {
  (void)state;
  const int64_t first[] = {50256, 1, 2}, second[] = {3, 50256, 4, 5};
  GwCorpus *corpus;
  int32_t tokens[7];
  folder = gw_test_folder("splits");
  write_llm_c("text_train_000002.bin", second, 4, 2);
  write_llm_c("text_train_000001.bin", first, 3, 2);
  write_llm_c("text_val_000000.bin", second, 4, 2);
  gw_test_write(gw_test_path(folder, "README.txt"), "x", 1);
  assert_ok(open_folder(&corpus));
  assert_null(gw_corpus_tokenizer(corpus));
  assert_int_equal(gw_corpus_vocab_size(corpus), 50257);
  assert_int_equal(gw_corpus_vocab_min(corpus), 50257);
  assert_int_equal(gw_corpus_tokens(corpus, GW_SPLIT_TRAIN), 7);
  assert_int_equal(gw_corpus_documents(corpus, GW_SPLIT_TRAIN), 2);
  assert_int_equal(gw_corpus_documents(corpus, GW_SPLIT_VAL), 1);
  assert_ok(gw_corpus_read(corpus, GW_SPLIT_TRAIN, 0, 7, tokens));
  for (int i = 0; i < 7; i++) assert_int_equal(tokens[i], i < 3 ? first[i] : second[i - 3]);
  uint64_t hash = gw_corpus_hash(corpus);
  gw_corpus_close(corpus);
  write_llm_c("text_val_000000.bin", first, 3, 2);
  assert_ok(open_folder(&corpus));
  assert_true(gw_corpus_hash(corpus) != hash);
  gw_corpus_close(corpus);
}

static void folders_that_make_no_sense_are_refused(void **state) {
  (void)state;
  const int64_t tokens[] = {1, 2, 3}, bad[] = {1, -2, 3};
  GwCorpus *corpus;
  folder = gw_test_folder("refused");
  write_llm_c("interval_000.bin", tokens, 3, 2);
  assert_fails(GW_INVALID, "interval_000.bin: its name says neither of train and val",
               open_folder(&corpus));
  folder = gw_test_folder("refused");
  write_llm_c("train_val.bin", tokens, 3, 2);
  assert_fails(GW_INVALID, "train_val.bin: its name says both train and val", open_folder(&corpus));
  folder = gw_test_folder("refused");
  write_llm_c("a_train.bin", tokens, 3, 2);
  write_llm_c("b_train.bin", tokens, 3, 4);
  assert_fails(GW_INVALID, "b_train.bin: has llm.c's layout (uint32)", open_folder(&corpus));
  folder = gw_test_folder("refused");
  write_raw("some_train.bin", tokens, 3, 2);
  assert_fails(GW_CORRUPT, "some_train.bin: no file of tokens", open_folder(&corpus));
  folder = gw_test_folder("refused");
  write_raw("train.bin", tokens, 3, 1);
  assert_fails(GW_CORRUPT, "train.bin: 3 bytes, an odd number", open_folder(&corpus));
  folder = gw_test_folder("refused");
  write_llm_c("a_train.bin", bad, 3, 4);
  assert_fails(GW_CORRUPT, "a_train.bin: token 1 is no id", open_folder(&corpus));
  folder = gw_test_folder("refused");
  write_megatron("a", 4, 4);
  assert_ok(gw_fs_disk()->remove(gw_fs_disk(), gw_test_path(folder, "a.bin")));
  assert_fails(GW_CORRUPT, "a.bin: is missing, but its index", open_folder(&corpus));
  folder = gw_test_folder("refused");
  assert_fails(GW_NOT_FOUND, "no token files", open_folder(&corpus));
}

static void what_ids_are_is_assumed(void **state) {
  (void)state;
  const int64_t large[] = {50257, 1, 50256}, gpt2[] = {50256, 1, 2};
  const int64_t llama[] = {128000, 7, 128255}, beyond[] = {128000, 7, 128256};
  GwCorpus *corpus;
  struct {
    const char *name;
    const int64_t *tokens;
    int bytes, meta, vocab, min, documents;
  } cases[] = {{"a_train.bin", large, 2, 0, 50258, 50258, 0},
               {"a_train.bin", gpt2 + 1, 2, 0, 50257, 3, 0},
               {"train.bin", gpt2, 2, 0, 50257, 50257, 1},
               {"train.bin", gpt2 + 1, 2, 1, 3, 3, 0},
               {"a_train.bin", llama, 4, 0, 128256, 128256, 1},
               {"a_train.bin", beyond, 4, 0, 128257, 128257, 0}};
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
    folder = gw_test_folder("assumed");
    size_t count = cases[i].tokens == gpt2 + 1 ? 2 : 3;
    if (strcmp(cases[i].name, "train.bin") == 0)
      write_raw(cases[i].name, cases[i].tokens, count, 2);
    else
      write_llm_c(cases[i].name, cases[i].tokens, count, cases[i].bytes);
    if (cases[i].meta) gw_test_write(gw_test_path(folder, "meta.pkl"), "x", 1);
    assert_ok(open_folder(&corpus));
    assert_int_equal(gw_corpus_vocab_size(corpus), cases[i].vocab);
    assert_int_equal(gw_corpus_vocab_min(corpus), cases[i].min);
    assert_int_equal(gw_corpus_documents(corpus, GW_SPLIT_TRAIN), cases[i].documents);
    gw_corpus_close(corpus);
  }
}

static void a_tokenizer_beside_the_files_counts(void **state) {
  (void)state;
  const int64_t tokens[] = {256, 65, 66}, beyond[] = {256, 257};
  GwTokenizer *tokenizer = NULL;
  GwCorpus *corpus;
  folder = gw_test_folder("beside");
  assert_ok(gw_tokenizer_byte(&tokenizer));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), tokenizer, gw_test_path(folder, "tokenizer.json")));
  gw_tokenizer_destroy(tokenizer);
  write_llm_c("a_train.bin", tokens, 3, 2);
  assert_ok(open_folder(&corpus));
  assert_int_equal(gw_corpus_vocab_size(corpus), 257);
  assert_int_equal(gw_corpus_documents(corpus, GW_SPLIT_TRAIN), 1);
  gw_corpus_close(corpus);
  write_llm_c("a_train.bin", beyond, 2, 2);
  assert_fails(GW_CORRUPT, "a_train.bin: token 1 is 257, outside the vocabulary of 257",
               open_folder(&corpus));
  gw_test_write(gw_test_path(folder, "a.tiktoken"), "x", 1);
  assert_fails(GW_CORRUPT, "tokenizer.json; put", open_folder(&corpus)); /* it comes first */
  gw_test_write(gw_test_path(folder, "b.tiktoken"), "x", 1);
  assert_fails(GW_INVALID, "a.tiktoken is a vocabulary, too", open_folder(&corpus));
}

/* Two files of Megatron's: documents begin at 0, 3, 5, and again at 9, 12, 14. */
static void positions_follow_the_index(void **state) {
  (void)state;
  const int32_t wanted[18] = {0, 1, 2, 0, 1, 0, 1, 2, 3, 0, 1, 2, 0, 1, 0, 1, 2, 3};
  GwCorpus *corpus;
  int32_t tokens[18], positions[18];
  folder = gw_test_folder("positions");
  write_megatron("a_text_document", 4, 4);
  write_megatron("b_text_document", 4, 4);
  assert_ok(open_folder(&corpus));
  assert_int_equal(gw_corpus_documents(corpus, GW_SPLIT_TRAIN), 6);
  for (int first = 0; first < 18; first++)
    for (int count = 1; count <= 18 - first; count++) {
      assert_ok(gw_corpus_read(corpus, GW_SPLIT_TRAIN, (uint64_t)first, (uint64_t)count, tokens));
      gw_corpus_positions(corpus, GW_SPLIT_TRAIN, (uint64_t)first, tokens, count, positions);
      for (int i = 0, cut = 0; i < count; i++) {
        if (wanted[first + i] == 0) cut = 1;
        assert_int_equal(positions[i], cut ? wanted[first + i] : i);
      }
    }
  gw_corpus_close(corpus);
}

/* With end-of-text at the end of each document, as --append-eod has it, it heads the next one. */
static void end_of_text_before_a_document_heads_it(void **state) {
  (void)state;
  const int64_t tokens[9] = {7, 8, 256, 1, 256, 3, 4, 5, 256};
  const int32_t wanted[9] = {0, 1, 0, 1, 0, 1, 2, 3, 0};
  GwTokenizer *tokenizer = NULL;
  GwCorpus *corpus;
  int32_t read[9], positions[9];
  folder = gw_test_folder("append_eod");
  write_megatron("a_text_document", 8, 2);
  write_raw("a_text_document.bin", tokens, 9, 2);
  assert_ok(gw_tokenizer_byte(&tokenizer));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), tokenizer, gw_test_path(folder, "tokenizer.json")));
  gw_tokenizer_destroy(tokenizer);
  assert_ok(open_folder(&corpus));
  assert_ok(gw_corpus_read(corpus, GW_SPLIT_TRAIN, 0, 9, read));
  gw_corpus_positions(corpus, GW_SPLIT_TRAIN, 0, read, 9, positions);
  assert_memory_equal(positions, wanted, sizeof wanted);
  gw_corpus_close(corpus);
}

/* Any bytes changed: refused, or read without harm. */
static void damage_does_no_harm(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 3);
  Index index = sample_index(8, 2);
  GwText file;
  uint8_t tokens[18] = {0};
  int32_t out[18];
  make_index(&index, &file);
  for (int round = 0; round < 20000; round++) {
    size_t at = gw_rng_below(&rng, file.size), cut = gw_rng_below(&rng, 3) ? 0 : at;
    char kept = file.data[at];
    GwShard shard;
    file.data[at] = (char)gw_rng_below(&rng, 256);
    if (gw_token_file_parse_megatron("x", "x", (uint8_t *)file.data, file.size - cut, tokens, 18,
                                     &shard) == GW_OK) {
      gw_shard_read(&shard, 0, shard.tokens, out);
      for (uint64_t i = 0; i <= shard.index.documents; i++)
        assert_true(gw_shard_document(&shard, i) <= shard.tokens);
    }
    file.data[at] = kept;
  }
  gw_text_deinit(&file);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_layout_reads_back),
      cmocka_unit_test(an_index_says_where_documents_begin),
      cmocka_unit_test(damaged_indexes_are_named),
      cmocka_unit_test(an_index_with_more_behind_it_is_refused),
      cmocka_unit_test(folders_are_sorted_into_splits),
      cmocka_unit_test(folders_that_make_no_sense_are_refused),
      cmocka_unit_test(what_ids_are_is_assumed),
      cmocka_unit_test(a_tokenizer_beside_the_files_counts),
      cmocka_unit_test(positions_follow_the_index),
      cmocka_unit_test(end_of_text_before_a_document_heads_it),
      cmocka_unit_test(damage_does_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
