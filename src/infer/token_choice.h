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
  uint32_t key; /* orders as the logit does, the largest first */
  double weight;
} GwTokenCandidate;

/* The candidates: probabilities times a common factor. All ids in their order where neither top_k
 * nor top_p chooses among them; otherwise those of the largest logits first, of equal logits the
 * lowest id first. `out` has room for 2 `count`, count >= 1, the second half being work space;
 * returns how many are left. The logits must be finite, the temperature not 0. */
int32_t gw_token_candidates(const GwTokenChoice *choice, const float *logits, int32_t count,
                            GwTokenCandidate *out);

/* The choice among ids [0, count); `candidates` is work space of 2 `count`. GW_NUMERIC when a logit
 * is not finite. */
GwStatus gw_token_choose(const GwTokenChoice *choice, const float *logits, int32_t count,
                         GwRng *rng, GwTokenCandidate *candidates, int32_t *out);

#endif
