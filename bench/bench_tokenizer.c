/* Encodes a text, or trains BPE on it, again and again as bench_tokenizer.py asks.
 *
 *   bench_tokenizer encode TOKENIZER TEXT THREADS
 *   bench_tokenizer train VOCAB_SIZE TEXT THREADS
 *
 * Answers each line of standard input with {"ns": ..., "tokens": ...}: of the text, or of the
 * vocabulary. Threads share the text in segments, as `godwit prepare` does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "data/text.h"
#include "os/clock.h"
#include "tokenizer/tokenizer.h"

enum { SEGMENT = 64 * 1024, THREADS_MAX = 256 };

typedef struct {
  GwTokenIds ids;
  GwBpeTrainer *trainer;
  GwStatus status;
  char apart[128]; /* from the next one: threads write to it all the time */
} Seat;

typedef struct {
  const char *text;
  size_t size, *ends; /* of the segments */
  int64_t segments;
  int threads;
  GwPool *pool;
  GwTokenizer *tokenizer;
  int32_t vocab_size;
  Seat seats[THREADS_MAX];
} Bench;

static void cut(Bench *b) {
  b->ends = calloc(b->size / SEGMENT + 2, sizeof *b->ends);
  GW_ASSERT(b->ends);
  for (size_t begin = 0; begin < b->size; begin = b->ends[b->segments++])
    b->ends[b->segments] = gw_text_segment_end(b->text, b->size, begin, SEGMENT);
}

static void take_segment(void *context, int64_t i, int thread) {
  Bench *b = context;
  size_t begin = i > 0 ? b->ends[i - 1] : 0, size = b->ends[i] - begin;
  const char *text = b->text + begin;
  Seat *seat = &b->seats[thread];
  if (seat->status == GW_OK)
    seat->status = b->tokenizer ? gw_tokenizer_encode(b->tokenizer, text, size, &seat->ids)
                                : gw_bpe_trainer_add(seat->trainer, text, size);
}

static GwStatus encode(Bench *b, int64_t *tokens) {
  for (int i = 0; i < b->threads; i++) b->seats[i].ids.count = 0;
  gw_pool_run(b->pool, b->segments, take_segment, b);
  *tokens = 0;
  for (int i = 0; i < b->threads; i++) {
    GW_TRY(b->seats[i].status);
    *tokens += (int64_t)b->seats[i].ids.count;
  }
  return GW_OK;
}

static GwStatus train(Bench *b, int64_t *tokens) {
  for (int i = 0; i < b->threads; i++) GW_TRY(gw_bpe_trainer_create(&b->seats[i].trainer));
  gw_pool_run(b->pool, b->segments, take_segment, b);
  for (int i = 0; i < b->threads; i++) GW_TRY(b->seats[i].status);
  for (int i = 1; i < b->threads; i++)
    GW_TRY(gw_bpe_trainer_merge(b->seats[0].trainer, b->seats[i].trainer));
  GwTokenizer *trained = NULL;
  gw_bpe_trainer_break_ties(b->seats[0].trainer, GW_TIES_EARLIER_TOKEN);
  GW_TRY(gw_bpe_trainer_finish(b->seats[0].trainer, b->vocab_size, &trained));
  *tokens = gw_tokenizer_vocab_size(trained);
  gw_tokenizer_destroy(trained);
  for (int i = 0; i < b->threads; i++) gw_bpe_trainer_destroy(b->seats[i].trainer);
  return GW_OK;
}

static GwStatus serve(Bench *b) {
  char line[64];
  printf("{}\n");
  (void)fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    int64_t tokens = 0;
    uint64_t started = gw_clock_ns();
    GW_TRY(b->tokenizer ? encode(b, &tokens) : train(b, &tokens));
    printf("{\"ns\": %" PRIu64 ", \"tokens\": %" PRId64 "}\n", gw_clock_ns() - started, tokens);
    (void)fflush(stdout);
  }
  return GW_OK;
}

int main(int argc, char **argv) {
  static Bench b;
  if (argc != 5 || (strcmp(argv[1], "encode") != 0 && strcmp(argv[1], "train") != 0)) {
    fprintf(stderr, "usage: bench_tokenizer encode|train TOKENIZER|VOCAB_SIZE TEXT THREADS\n");
    return 2;
  }
  GwMap map;
  b.threads = atoi(argv[4]);
  GW_ASSERT(b.threads >= 1 && b.threads <= THREADS_MAX);
  GwStatus status = gw_map_open(argv[3], &map);
  if (status == GW_OK) status = gw_pool_create(b.threads, &b.pool);
  if (status == GW_OK && argv[1][0] == 'e')
    status = gw_tokenizer_open(gw_fs_disk(), argv[2], &b.tokenizer);
  b.vocab_size = atoi(argv[2]);
  if (status == GW_OK) {
    b.text = (const char *)map.data;
    b.size = map.size;
    cut(&b);
    status = serve(&b);
  }
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_tokenizer: %s\n", gw_error_message());
  return 1;
}
