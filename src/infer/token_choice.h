/* Choosing the next token from its logits: greedy, or by chance with temperature, top-k and
 * top-p (Holtzman et al. 2020). In double precision with our own exp, so that a seed gives the same
 * tokens on every machine. */
#ifndef GW_TOKEN_CHOICE_H
#define GW_TOKEN_CHOICE_H

#include "base/rng.h"

typedef struct {
  double temperature; /* >= 0; 0: the largest logit, of equals the lowest id */
  int32_t top_k;      /* >= 0; 0: all */
  double top_p;       /* (0, 1] */
} GwTokenChoice;

typedef struct {
  int32_t id;
  double weight;
} GwTokenCandidate;

/* The candidates: probabilities times a common factor, likeliest first, of equals the lowest id
 * first. `out` has room for `count` >= 1 logits; returns how many are left. The temperature must
 * not be 0. */
int32_t gw_token_candidates(const GwTokenChoice *choice, const float *logits, int32_t count,
                            GwTokenCandidate *out);

/* The choice among ids [0, count); `candidates` is work space of `count`. GW_NUMERIC when a logit
 * is not finite. */
GwStatus gw_token_choose(const GwTokenChoice *choice, const float *logits, int32_t count,
                         GwRng *rng, GwTokenCandidate *candidates, int32_t *out);

#endif
