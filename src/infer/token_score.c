/* One row per task; a row's likeliest tokens by insertion, as they are few. */
#include "infer/token_score.h"

#include "base/mathd.h"

typedef struct {
  const float *logits;
  int32_t vocab_size;
  const int32_t *targets;
  GwTokenScore *out;
  int32_t top;
  GwTokenRank *ranks;
} Scoring;

/* The ids of the largest logits, in order. */
static void rank_row(const Scoring *scoring, const float *z, double max, double log_sum,
                     GwTokenRank *ranks) {
  int32_t count = 0;
  for (int32_t v = 0; v < scoring->vocab_size; v++) {
    int32_t at = count;
    while (at > 0 && z[v] > z[ranks[at - 1].token]) at--;
    if (at == scoring->top) continue;
    if (count < scoring->top) count++;
    for (int32_t i = count - 1; i > at; i--) ranks[i] = ranks[i - 1];
    ranks[at].token = v;
  }
  for (int32_t i = 0; i < count; i++)
    ranks[i].log_probability = ((double)z[ranks[i].token] - max) - log_sum;
}

/* Where a logit is not finite there is no greedy token: it is -1. */
static void score_row(void *context, int64_t row, int thread) {
  (void)thread;
  const Scoring *scoring = context;
  const float *z = scoring->logits + row * scoring->vocab_size;
  GwTokenScore *out = &scoring->out[row];
  int32_t best = 0;
  bool finite = true;
  for (int32_t v = 0; v < scoring->vocab_size; v++) {
    finite = finite && gw_is_finite((double)z[v]);
    if (z[v] > z[best]) best = v;
  }
  *out = (GwTokenScore){.greedy = -1};
  if (!finite) return;
  double max = (double)z[best], sum = 0;
  for (int32_t v = 0; v < scoring->vocab_size; v++) sum += gw_exp_fast_f64((double)z[v] - max);
  double log_sum = gw_log_f64(sum);
  *out = (GwTokenScore){((double)z[scoring->targets[row]] - max) - log_sum, -log_sum, best};
  if (scoring->ranks) rank_row(scoring, z, max, log_sum, scoring->ranks + row * scoring->top);
}

GwStatus gw_token_scores(GwPool *pool, const float *logits, int64_t rows, int32_t vocab_size,
                         const int32_t *targets, GwTokenScore *out, int32_t top,
                         GwTokenRank *ranks) {
  Scoring scoring = {logits, vocab_size, targets, out, top, top > 0 ? ranks : NULL};
  gw_pool_run(pool, rows, score_row, &scoring);
  for (int64_t i = 0; i < rows; i++)
    if (out[i].greedy < 0)
      return gw_fail(GW_NUMERIC,
                     "a logit is not a finite number; the model's parameters are not usable");
  return GW_OK;
}
