/* A decoder with one sequence, which keeps what a new one has in common with it. */
#include "infer/scorer.h"

#include <stdlib.h>
#include <string.h>

#include "infer/decoder.h"

struct GwScorer {
  GwDecoder *decoder;
  GwPool *pool;
  int64_t context;
  int32_t vocab_size;
  int32_t *cached; /* [T]: the tokens that the decoder holds ... */
  int64_t count;   /* ... and how many they are */
};

GwStatus gw_scorer_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                          void *params, GwScorer **out) {
  GwScorer *scorer = calloc(1, sizeof *scorer);
  if (!scorer) return gw_fail(GW_MEMORY, "no memory to score");
  scorer->pool = pool;
  scorer->context = model->context;
  scorer->vocab_size = model->vocab_size;
  GwStatus status = GW_OK;
  scorer->cached = calloc((size_t)model->context, sizeof *scorer->cached);
  if (!scorer->cached) status = gw_fail(GW_MEMORY, "no memory to score");
  if (status == GW_OK)
    status = gw_decoder_create(model, backend, pool, params, 1, 1, &scorer->decoder);
  if (status == GW_OK)
    *out = scorer;
  else
    gw_scorer_destroy(scorer);
  return status;
}

void gw_scorer_destroy(GwScorer *scorer) {
  if (!scorer) return;
  gw_decoder_destroy(scorer->decoder);
  free(scorer->cached);
  free(scorer);
}

int64_t gw_scorer_cut(int64_t count, int64_t context) { return gw_max_i64(count - context - 1, 0); }

/* A sequence that is being scored. */
typedef struct {
  const GwScorer *scorer;
  const int32_t *tokens;
  int64_t begin, first; /* the first token that is read; that is scored */
  GwTokenScore *out;
} Pass;

/* Logits after tokens [begin + from, ...), which score those one further on. */
static GwStatus score_rows(void *context, int64_t from, int64_t rows, const float *logits) {
  const Pass *pass = context;
  int64_t target = pass->begin + from + 1, skip = gw_max_i64(pass->first - target, 0);
  if (skip >= rows) return GW_OK;
  target += skip;
  return gw_token_scores(pass->scorer->pool, logits + skip * pass->scorer->vocab_size, rows - skip,
                         pass->scorer->vocab_size, pass->tokens + target,
                         pass->out + (target - pass->first), 0, NULL);
}

/* How many of the tokens the decoder holds; the row before `first` is read in any case. */
static int64_t in_common(const GwScorer *scorer, const int32_t *tokens, int64_t first) {
  int64_t common = 0, most = gw_min_i64(scorer->count, first - 1);
  while (common < most && tokens[common] == scorer->cached[common]) common++;
  return common;
}

GwStatus gw_scorer_run(GwScorer *scorer, const int32_t *tokens, int64_t count, int64_t first,
                       GwTokenScore *out) {
  GW_ASSERT(first >= 1 && first < count && count <= scorer->context + 1);
  int64_t rows = count - 1;
  Pass pass = {scorer, tokens, in_common(scorer, tokens, first), first, out};
  gw_decoder_truncate(scorer->decoder, 0, pass.begin);
  scorer->count = 0; /* should a pass fail */
  GW_TRY(gw_decoder_read(scorer->decoder, 0, tokens + pass.begin, rows - pass.begin, score_rows,
                         &pass));
  memcpy(scorer->cached, tokens, (size_t)rows * sizeof *tokens);
  scorer->count = rows;
  return GW_OK;
}
