/* BPE: the split pattern, training against the reference merges and against a plain trainer,
 * encoding against a plain encoder, and time that stays linear on hostile text. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tokenizer/split.h"
#include "tokenizer/tokenizer_table.h"

static uint64_t seed;

/* A whole file with a 0 behind it, from malloc. */
static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *data = malloc(*size + 1);
  assert_int_equal(fread(data, 1, *size, file), *size);
  data[*size] = 0;
  fclose(file);
  return data;
}

/* Of this process's computing, so that a busy machine doesn't matter. */
static double cpu_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static GwTokenizer *train_with(const void *text, size_t size, int32_t vocab_size, GwBpeTies ties) {
  GwBpeTrainer *trainer = NULL;
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_bpe_trainer_create(&trainer));
  assert_ok(gw_bpe_trainer_add(trainer, text, size));
  gw_bpe_trainer_break_ties(trainer, ties);
  assert_ok(gw_bpe_trainer_finish(trainer, vocab_size, &tokenizer));
  gw_bpe_trainer_destroy(trainer);
  return tokenizer;
}

static GwTokenizer *train(const void *text, size_t size, int32_t vocab_size) {
  return train_with(text, size, vocab_size, GW_TIES_GREATER_BYTES);
}

/* Text of a few letters, so that pairs repeat, with spaces, digits, marks, and bytes that are no
 * UTF-8. */
static uint8_t *random_text(GwRng *rng, size_t size) {
  static const char alphabet[] = "aaabbcab  ab a\n\n1'st.\xc3\xa9\xe2\x80\x83\xff\xf0";
  uint8_t *text = malloc(size + 1);
  for (size_t i = 0; i < size; i++)
    text[i] = (uint8_t)alphabet[gw_rng_below(rng, sizeof alphabet - 1)];
  return text;
}

static void assert_pieces(const char *text, size_t size, const char *const *pieces) {
  GwSplitter *split = NULL;
  assert_ok(gw_split_create(GW_PATTERN_GPT2, &split));
  gw_split_start(split, text, size);
  const uint8_t *piece = NULL;
  size_t length = 0;
  for (; *pieces; pieces++) {
    assert_ok(gw_split_next(split, &piece, &length));
    assert_int_equal(length, strlen(*pieces));
    assert_memory_equal(piece, *pieces, length);
  }
  assert_ok(gw_split_next(split, &piece, &length));
  assert_int_equal(length, 0);
  gw_split_destroy(split);
}

#define PIECES(text, ...)                                                                          \
  assert_pieces((text), sizeof(text) - 1, (const char *const[]){__VA_ARGS__, NULL})

static void split_follows_the_pattern(void **state) {
  (void)state;
  assert_pieces("", 0, (const char *const[]){NULL});
  assert_pieces(NULL, 0, (const char *const[]){NULL});
  PIECES("Hello, world's  end.", "Hello", ",", " world", "'s", " ", " end", ".");
  PIECES("we'll 'twas I'LL", "we", "'ll", " '", "twas", " I", "'", "LL");
  PIECES("a 12b\t\n c  ", "a", " 12", "b", "\t\n", " c", "  ");
  PIECES("<|endoftext|>", "<|", "endoftext", "|>");
  PIECES("na\xc3\xafve \xce\xb1\xce\xb2 \xe6\xbc\xa2", "na\xc3\xafve", " \xce\xb1\xce\xb2",
         " \xe6\xbc\xa2");
  PIECES("a\xc2\xa0\xe3\x80\x80z", "a", "\xc2\xa0", "\xe3\x80\x80", "z"); /* Unicode's spaces */
  PIECES("\xe1\xa0\x8e", "\xe1\xa0\x8e");                                 /* U+180E: none */
}

static void split_keeps_invalid_utf8_apart(void **state) {
  (void)state;
  PIECES("ab\xff\xfe c", "ab", "\xff\xfe", " c");
  PIECES("\x80", "\x80");
  PIECES("x\xc3", "x", "\xc3");         /* ends early */
  PIECES("\xc0\xaf.", "\xc0\xaf", "."); /* not the shortest form */
  PIECES("\xe0\x80\xaf.", "\xe0\x80\xaf", ".");
  PIECES("\xf0\x80\x80\xaf.", "\xf0\x80\x80\xaf", ".");
  PIECES("\xed\xa0\x80.", "\xed\xa0\x80", "."); /* a surrogate */
  PIECES("\xf4\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf4\x8f\xbf\xbf");
  PIECES("  \xff  ", "  ", "\xff", "  ");
}

static void split_leaves_no_gap(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 1);
  GwSplitter *split = NULL;
  assert_ok(gw_split_create(GW_PATTERN_GPT2, &split));
  for (int round = 0; round < 2000; round++) {
    uint8_t text[64];
    size_t size = gw_rng_below(&rng, sizeof text);
    for (size_t i = 0; i < size; i++) text[i] = (uint8_t)(gw_rng_u64(&rng) >> 56);
    gw_split_start(split, text, size);
    const uint8_t *expected = text, *piece = NULL;
    for (size_t length = 1; length > 0; expected += length) {
      assert_ok(gw_split_next(split, &piece, &length));
      if (length > 0) assert_ptr_equal(piece, expected);
    }
    assert_ptr_equal(expected, text + size);
  }
  gw_split_destroy(split);
}

/* The alphabet of the reference file, undone: its code points are bytes or U+0100 and up. */
static size_t decode_reference(const char *text, size_t size, uint8_t *out) {
  uint8_t hidden[68];
  size_t hidden_count = 0, count = 0;
  for (int byte = 0; byte < 256; byte++)
    if (byte <= 32 || (byte >= 127 && byte <= 160) || byte == 173)
      hidden[hidden_count++] = (uint8_t)byte;
  for (size_t i = 0; i < size; i++) {
    unsigned code = (uint8_t)text[i];
    if (code >= 0x80) code = (code & 0x1f) << 6 | ((uint8_t)text[++i] & 0x3f);
    out[count++] = code < 256 ? (uint8_t)code : hidden[code - 256];
  }
  return count;
}

static void assert_token_is(const GwTokenizer *tokenizer, int32_t id, const char *text,
                            size_t length) {
  uint8_t bytes[256];
  assert_true(length < sizeof bytes);
  size_t expected = decode_reference(text, length, bytes), size = 0;
  const uint8_t *token = gw_tokenizer_bytes(tokenizer, id, &size);
  assert_int_equal(size, expected);
  assert_memory_equal(token, bytes, size);
}

static void training_gives_the_reference_merges(void **state) {
  (void)state;
  const char *corpus = gw_test_shared("bpe-train-reference/corpus.en");
  const char *merges = gw_test_shared("bpe-train-reference/train-bpe-reference-merges.txt");
  if (!corpus || !merges) {
    print_message("skipped: ../shared/data/bpe-train-reference is absent\n");
    skip();
  }
  size_t size = 0, merges_size = 0;
  char *text = read_file(corpus, &size), *lines = read_file(merges, &merges_size);
  GwTokenizer *tokenizer = train(text, size, 500);
  assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 500);
  assert_int_equal(gw_tokenizer_end_of_text(tokenizer), 499);
  int32_t rank = 0;
  for (char *line = lines, *end; *line; line = end + (*end == '\n'), rank++) {
    end = line + strcspn(line, "\n");
    char *space = memchr(line, ' ', (size_t)(end - line));
    assert_true(space && rank < tokenizer->merge_count);
    const GwMerge *merge = &tokenizer->merges[rank];
    assert_token_is(tokenizer, merge->left, line, (size_t)(space - line));
    assert_token_is(tokenizer, merge->right, space + 1, (size_t)(end - space - 1));
  }
  assert_int_equal(rank, 243);
  assert_int_equal(tokenizer->merge_count, 243);
  gw_tokenizer_destroy(tokenizer);
  free(text);
  free(lines);
}

/* The plainest trainer there is, as an oracle: recounts everything for every merge, on pieces that
 * it keeps one by one. */
enum { PLAIN_PIECES = 512, PLAIN_SIZE = 64, PLAIN_TOKENS = 300 };
typedef struct {
  int32_t ids[PLAIN_PIECES][PLAIN_SIZE];
  size_t sizes[PLAIN_PIECES], count;
  uint8_t bytes[PLAIN_TOKENS][PLAIN_SIZE];
  size_t token_sizes[PLAIN_TOKENS];
  int32_t token_count;
  GwBpeTies ties;
} Plain;

static void plain_init(Plain *plain, const uint8_t *text, size_t size) {
  memset(plain, 0, sizeof *plain);
  for (plain->token_count = 0; plain->token_count < 256; plain->token_count++) {
    plain->bytes[plain->token_count][0] = (uint8_t)plain->token_count;
    plain->token_sizes[plain->token_count] = 1;
  }
  GwSplitter *split = NULL;
  assert_ok(gw_split_create(GW_PATTERN_GPT2, &split));
  gw_split_start(split, text, size);
  for (const uint8_t *piece = NULL;; plain->count++) {
    size_t *length = &plain->sizes[plain->count];
    assert_ok(gw_split_next(split, &piece, length));
    if (*length == 0) break;
    assert_true(*length <= PLAIN_SIZE && plain->count + 1 < PLAIN_PIECES);
    for (size_t i = 0; i < *length; i++) plain->ids[plain->count][i] = piece[i];
  }
  gw_split_destroy(split);
}

/* Bytes that print in Latin-1 first, then the others, then what was merged. */
static int32_t plain_age(int32_t id) {
  bool prints = (id > 32 && id < 127) || (id > 160 && id != 173);
  return id > 255 ? 2 * id : prints ? id : 256 + id;
}

/* Above 0 where a is to be preferred. */
static int plain_compare(const Plain *plain, int32_t a, int32_t b) {
  if (plain->ties == GW_TIES_EARLIER_TOKEN) return plain_age(b) - plain_age(a);
  size_t x = plain->token_sizes[a], y = plain->token_sizes[b];
  int order = memcmp(plain->bytes[a], plain->bytes[b], x < y ? x : y);
  return order ? order : (x > y) - (x < y);
}

static bool plain_best_pair(const Plain *plain, int32_t *left, int32_t *right) {
  static int counts[PLAIN_TOKENS][PLAIN_TOKENS];
  memset(counts, 0, sizeof counts);
  for (size_t p = 0; p < plain->count; p++)
    for (size_t i = 0; i + 1 < plain->sizes[p]; i++)
      counts[plain->ids[p][i]][plain->ids[p][i + 1]]++;
  int best = 1;
  for (int32_t a = 0; a < plain->token_count; a++) {
    for (int32_t b = 0; b < plain->token_count; b++) {
      if (counts[a][b] < best || counts[a][b] < 2) continue;
      int order = 1;
      if (counts[a][b] == best) {
        order = plain_compare(plain, a, *left);
        if (order == 0) order = plain_compare(plain, b, *right);
      }
      if (order < 0) continue;
      best = counts[a][b];
      *left = a;
      *right = b;
    }
  }
  return best >= 2;
}

static void plain_merge(Plain *plain, int32_t left, int32_t right) {
  int32_t result = plain->token_count++;
  size_t a = plain->token_sizes[left], b = plain->token_sizes[right];
  memcpy(plain->bytes[result], plain->bytes[left], a);
  memcpy(plain->bytes[result] + a, plain->bytes[right], b);
  plain->token_sizes[result] = a + b;
  for (size_t p = 0; p < plain->count; p++) {
    int32_t *ids = plain->ids[p];
    size_t kept = 0;
    for (size_t i = 0; i < plain->sizes[p]; i++) {
      bool joins = i + 1 < plain->sizes[p] && ids[i] == left && ids[i + 1] == right;
      ids[kept++] = joins ? result : ids[i];
      if (joins) i++;
    }
    plain->sizes[p] = kept;
  }
}

static void training_agrees_with_a_plain_trainer(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 2);
  static Plain plain;
  for (int round = 0; round < 40; round++) {
    size_t size = 1 + gw_rng_below(&rng, 400);
    uint8_t *text = random_text(&rng, size);
    GwBpeTies ties = round % 2 ? GW_TIES_EARLIER_TOKEN : GW_TIES_GREATER_BYTES;
    GwTokenizer *tokenizer = train_with(text, size, 290, ties);
    plain_init(&plain, text, size);
    plain.ties = ties;
    int32_t left = 0, right = 0, rank = 0;
    while (plain.token_count < 289 && plain_best_pair(&plain, &left, &right)) {
      assert_true(rank < tokenizer->merge_count);
      assert_int_equal(tokenizer->merges[rank].left, left);
      assert_int_equal(tokenizer->merges[rank].right, right);
      assert_int_equal(tokenizer->merges[rank].result, plain.token_count);
      plain_merge(&plain, left, right);
      rank++;
    }
    assert_int_equal(tokenizer->merge_count, rank);
    assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 257 + rank);
    GwTokenIds ids = {0}; /* encoding cuts the training text as training did */
    assert_ok(gw_tokenizer_encode(tokenizer, text, size, &ids));
    size_t at = 0;
    for (size_t p = 0; p < plain.count; p++)
      for (size_t i = 0; i < plain.sizes[p]; i++) assert_int_equal(ids.ids[at++], plain.ids[p][i]);
    assert_int_equal(at, ids.count);
    gw_token_ids_deinit(&ids);
    gw_tokenizer_destroy(tokenizer);
    free(text);
  }
}

static void merged_trainers_agree_in_any_order(void **state) {
  (void)state;
  enum { PARTS = 5, SIZE = 3000 };
  GwRng rng = gw_rng(seed, 3);
  uint8_t *text[PARTS];
  for (int i = 0; i < PARTS; i++) text[i] = random_text(&rng, SIZE);
  uint64_t hash[4];
  for (int order = 0; order < 4; order++) {
    GwBpeTrainer *all = NULL;
    assert_ok(gw_bpe_trainer_create(&all));
    for (int i = 0; i < PARTS; i++) {
      GwBpeTrainer *one = NULL;
      assert_ok(gw_bpe_trainer_create(&one));
      const uint8_t *part = text[order == 0 ? i : order == 1 ? PARTS - 1 - i : (2 * i + order) % 5];
      assert_ok(gw_bpe_trainer_add(order == 3 ? all : one, part, SIZE));
      assert_ok(gw_bpe_trainer_merge(all, one));
      gw_bpe_trainer_destroy(one);
    }
    GwTokenizer *tokenizer = NULL, *again = NULL;
    assert_ok(gw_bpe_trainer_finish(all, 400, &tokenizer));
    assert_ok(gw_bpe_trainer_finish(all, 400, &again));
    hash[order] = gw_tokenizer_hash(tokenizer);
    assert_int_equal(hash[order], gw_tokenizer_hash(again));
    assert_int_equal(hash[order], hash[0]);
    assert_true(gw_tokenizer_vocab_size(tokenizer) > 300);
    gw_tokenizer_destroy(tokenizer);
    gw_tokenizer_destroy(again);
    gw_bpe_trainer_destroy(all);
  }
  for (int i = 0; i < PARTS; i++) free(text[i]);
}

static void training_ends_where_pairs_do(void **state) {
  (void)state;
  GwTokenizer *tokenizer = train("abcab", 5, 1000); /* ab twice, nothing else */
  assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 258);
  gw_tokenizer_destroy(tokenizer);
  tokenizer = train("", 0, 257);
  assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 257);
  gw_tokenizer_destroy(tokenizer);
  GwBpeTrainer *trainer = NULL;
  assert_ok(gw_bpe_trainer_create(&trainer));
  assert_fails(GW_USAGE, "256", gw_bpe_trainer_finish(trainer, 256, &tokenizer));
  gw_bpe_trainer_destroy(trainer);
}

/* One piece by the definition: the lowest rank anywhere, the leftmost first, until none is left. */
static size_t encode_plainly(const GwTokenizer *tokenizer, const uint8_t *piece, size_t size,
                             int32_t *ids) {
  for (size_t i = 0; i < size; i++) ids[i] = tokenizer->byte_ids[piece[i]];
  for (;;) {
    int32_t best = GW_NO_RANK;
    size_t where = 0;
    for (size_t i = 0; i + 1 < size; i++) {
      int32_t rank = gw__merge_rank(tokenizer, ids[i], ids[i + 1]);
      if (rank >= best) continue;
      best = rank;
      where = i;
    }
    if (best == GW_NO_RANK) return size;
    ids[where] = tokenizer->merges[best].result;
    memmove(ids + where + 1, ids + where + 2, sizeof *ids * (size - where - 2));
    size--;
  }
}

static void assert_plain_encoding(const GwTokenizer *tokenizer, const uint8_t *text, size_t size,
                                  const GwTokenIds *ids, size_t first) {
  GwSplitter *split = NULL;
  int32_t *expected = malloc(sizeof *expected * (size + 1));
  size_t at = first;
  assert_ok(gw_split_create(GW_PATTERN_GPT2, &split));
  gw_split_start(split, text, size);
  for (;;) {
    const uint8_t *piece = NULL;
    size_t length = 0;
    assert_ok(gw_split_next(split, &piece, &length));
    if (length == 0) break;
    size_t count = encode_plainly(tokenizer, piece, length, expected);
    assert_true(at + count <= ids->count);
    assert_memory_equal(ids->ids + at, expected, sizeof *expected * count);
    at += count;
  }
  assert_int_equal(at, ids->count);
  gw_split_destroy(split);
  free(expected);
}

static void encoding_agrees_with_the_definition(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 4);
  uint8_t *corpus = random_text(&rng, 20000), *other = random_text(&rng, 20000);
  GwTokenizer *tokenizer[2] = {train(corpus, 20000, 700), train(other, 9000, 330)};
  GwTokenIds ids = {0};
  for (int round = 0; round < 60; round++) { /* the cache fills, and changes hands */
    size_t size = 1 + gw_rng_below(&rng, 2000);
    uint8_t *text = random_text(&rng, size);
    const GwTokenizer *used = tokenizer[round / 3 % 2];
    for (int again = 0; again < 2; again++) {
      size_t first = ids.count;
      assert_ok(gw_tokenizer_encode(used, text, size, &ids));
      assert_plain_encoding(used, text, size, &ids, first);
    }
    free(text);
  }
  gw_token_ids_deinit(&ids);
  for (int i = 0; i < 2; i++) gw_tokenizer_destroy(tokenizer[i]);
  free(corpus);
  free(other);
}

static void assert_quick(const GwTokenizer *tokenizer, const uint8_t *text, size_t size) {
  GwTokenIds ids = {0};
  double start = cpu_seconds();
  assert_ok(gw_tokenizer_encode(tokenizer, text, size, &ids));
  double seconds = cpu_seconds() - start;
  if (seconds > 1.0) fail_msg("%zu bytes of '%c' took %.1f s", size, text[0], seconds);
  size_t total = 0;
  for (size_t i = 0; i < ids.count; i++) {
    size_t length = 0;
    const uint8_t *bytes = gw_tokenizer_bytes(tokenizer, ids.ids[i], &length);
    assert_true(total + length <= size);
    assert_memory_equal(bytes, text + total, length);
    total += length;
  }
  assert_int_equal(total, size);
  gw_token_ids_deinit(&ids);
}

/* A megabyte without a place to cut, and the like: linear up to a logarithm. */
static void hostile_text_takes_no_more_time(void **state) {
  (void)state;
  enum { SIZE = 1 << 20 };
  uint8_t *text = malloc(SIZE);
  memset(text, 'a', SIZE / 2);
  memset(text + SIZE / 2, ' ', SIZE / 2);
  double start = cpu_seconds();
  GwTokenizer *tokenizer = train(text, SIZE, 270);
  if (cpu_seconds() - start > 1.5) fail_msg("training took %.1f s", cpu_seconds() - start);
  assert_int_equal(gw_tokenizer_vocab_size(tokenizer), 270);
  const int bytes[] = {'a', ' ', '\n', '0', '.', 0x80, 0xff, 0};
  for (size_t i = 0; i < GW_COUNT_OF(bytes); i++) {
    memset(text, bytes[i], SIZE);
    assert_quick(tokenizer, text, SIZE);
    text[SIZE - 1] = 'z';
    assert_quick(tokenizer, text, SIZE);
  }
  for (size_t i = 0; i < SIZE; i++) text[i] = i % 2 ? 0xff : 'a'; /* all pieces end at once */
  assert_quick(tokenizer, text, SIZE);
  for (size_t i = 0; i < SIZE; i++) text[i] = i % 2 ? 0xa9 : 0xc3; /* é */
  assert_quick(tokenizer, text, SIZE);
  gw_tokenizer_destroy(tokenizer);
  free(text);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 0x5eed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(split_follows_the_pattern),
      cmocka_unit_test(split_keeps_invalid_utf8_apart),
      cmocka_unit_test(split_leaves_no_gap),
      cmocka_unit_test(training_gives_the_reference_merges),
      cmocka_unit_test(training_agrees_with_a_plain_trainer),
      cmocka_unit_test(merged_trainers_agree_in_any_order),
      cmocka_unit_test(training_ends_where_pairs_do),
      cmocka_unit_test(encoding_agrees_with_the_definition),
      cmocka_unit_test(hostile_text_takes_no_more_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
