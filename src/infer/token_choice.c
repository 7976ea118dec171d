/* Weights are e^((z - max)/temperature), so the largest is 1. They are sorted first and summed from
 * the largest to the smallest: which tokens are left and where a random number falls then depends
 * on the logits alone. */
#include "infer/token_choice.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/mathd.h"

static int likeliest_first(const void *left, const void *right) {
  const GwTokenCandidate *a = left, *b = right;
  if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
  return a->id < b->id ? -1 : a->id > b->id;
}

static int32_t largest(const float *logits, int32_t count) {
  int32_t best = 0;
  for (int32_t i = 1; i < count; i++)
    if (logits[i] > logits[best]) best = i;
  return best;
}

static double weight_of(double below_largest, double temperature) {
  double exponent = below_largest / temperature;
  return exponent < -700 ? 0 : gw_exp_f64(exponent);
}

static double total_weight(const GwTokenCandidate *candidates, int32_t count) {
  double total = 0;
  for (int32_t i = 0; i < count; i++) total += candidates[i].weight;
  return total;
}

int32_t gw_token_candidates(const GwTokenChoice *choice, const float *logits, int32_t count,
                            GwTokenCandidate *out) {
  double max = (double)logits[largest(logits, count)];
  for (int32_t i = 0; i < count; i++) {
    out[i].id = i;
    out[i].weight = weight_of((double)logits[i] - max, choice->temperature);
  }
  qsort(out, (size_t)count, sizeof *out, likeliest_first);
  if (choice->top_k > 0 && choice->top_k < count) count = choice->top_k;
  double wanted = choice->top_p * total_weight(out, count), sum = 0;
  int32_t left = 0;
  while (left < count && (left == 0 || sum < wanted)) sum += out[left++].weight;
  return left;
}

static GwStatus check_finite(const float *logits, int32_t count) {
  for (int32_t i = 0; i < count; i++)
    if (!(logits[i] >= -FLT_MAX && logits[i] <= FLT_MAX))
      return gw_fail(GW_NUMERIC,
                     "the logit of token %" PRId32 " is not finite; the model's parameters are "
                     "not usable",
                     i);
  return GW_OK;
}

GwStatus gw_token_choose(const GwTokenChoice *choice, const float *logits, int32_t count,
                         GwRng *rng, GwTokenCandidate *candidates, int32_t *out) {
  GW_TRY(check_finite(logits, count));
  if (choice->temperature == 0) {
    *out = largest(logits, count);
    return GW_OK;
  }
  int32_t left = gw_token_candidates(choice, logits, count, candidates);
  double at = gw_rng_uniform(rng) * total_weight(candidates, left), sum = 0;
  int32_t chosen = 0; /* stays at the likeliest if rounding lets every sum fall short */
  for (int32_t i = 0; i < left; i++) {
    sum += candidates[i].weight;
    if (at < sum) {
      chosen = i;
      break;
    }
  }
  *out = candidates[chosen].id;
  return GW_OK;
}
