/* The scorer: how likely a model finds the tokens of a sequence, each after those before it.
 *
 * A score (token_score.h) is a function of the model and of these tokens alone: neither threads,
 * nor what else is scored, nor where scoring begins can change a bit. */
#ifndef GW_SCORER_H
#define GW_SCORER_H

#include "exec/backend.h"
#include "godwit/recipe.h"
#include "infer/token_score.h"

typedef struct GwScorer GwScorer;

/* `params`: the parameter buffer of `model` (borrowed; it must not change). */
GwStatus gw_scorer_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                          void *params, GwScorer **out);
void gw_scorer_destroy(GwScorer *scorer);

/* The tokens to leave out on the left of a sequence of `count`, so that it can be scored with the
 * context T: all but the last T + 1, as the last one is never read. */
int64_t gw_scorer_cut(int64_t count, int64_t context);

/* Scores tokens [first, count) of a sequence, 1 <= first < count <= T + 1, all in the vocabulary:
 * out[i] is that of token first + i. Positions are counted from its first token; an end-of-text
 * token does not begin anew. What it has in common with the sequence before it is not read again.
 * GW_NUMERIC when a logit is not finite. */
GwStatus gw_scorer_run(GwScorer *scorer, const int32_t *tokens, int64_t count, int64_t first,
                       GwTokenScore *out);

#endif
