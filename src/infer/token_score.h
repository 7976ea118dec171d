/* How likely a model finds a token: log-probabilities from logits.
 *
 * That of token t is z_t - m - ln Σ_v e^(z_v - m), where z are the f32 logits that follow the
 * tokens before it and m is the largest; in double precision, summed in the order of ids, with our
 * own functions: the same bits on every machine. */
#ifndef GW_TOKEN_SCORE_H
#define GW_TOKEN_SCORE_H

#include "base/pool.h"

typedef struct {
  double log_probability;
  double greedy_log_probability; /* of the likeliest token */
  int32_t greedy;                /* which one that is, of equals the lowest id */
} GwTokenScore;

/* One of the likeliest tokens. */
typedef struct {
  int32_t token;
  double log_probability;
} GwTokenRank;

/* Scores targets[i] with the logits [rows, V] of row i; ranks [rows, top], the likeliest first, of
 * equals the lowest id, NULL for none; 0 <= top <= V. GW_NUMERIC when a logit is not finite. */
GwStatus gw_token_scores(GwPool *pool, const float *logits, int64_t rows, int32_t vocab_size,
                         const int32_t *targets, GwTokenScore *out, int32_t top,
                         GwTokenRank *ranks);

#endif
