/* Weights are e^((z - max)/temperature), so the largest is 1. Where top-k or top-p chooses among
 * the tokens they are sorted first and summed from the largest to the smallest: which tokens are
 * left then depends on the logits alone. All of this is done for every token over a large
 * vocabulary, so the sort goes by digits of the logits' bits. */
#include "infer/token_choice.h"

#include <float.h>
#include <inttypes.h>
#include <string.h>

#include "base/mathd.h"

enum { DIGIT_BITS = 11, DIGITS = 3 };

/* Finite numbers in descending order have ascending keys. */
static uint32_t key_of(float logit) {
  uint32_t bits;
  float plain = logit + 0.0f; /* no -0 */
  memcpy(&bits, &plain, sizeof bits);
  return bits >> 31 ? bits : ~bits & UINT32_C(0x7fffffff);
}

static uint32_t digit_of(const GwTokenCandidate *candidate, int digit) {
  return candidate->key >> (digit * DIGIT_BITS) & ((1u << DIGIT_BITS) - 1);
}

/* Candidates of equal digits stay in their order. */
static void sort_by_digit(const GwTokenCandidate *from, int32_t count, int digit,
                          GwTokenCandidate *to) {
  int32_t place[(1 << DIGIT_BITS) + 1] = {0};
  for (int32_t i = 0; i < count; i++) place[digit_of(&from[i], digit) + 1]++;
  for (int32_t d = 0; d < 1 << DIGIT_BITS; d++) place[d + 1] += place[d];
  for (int32_t i = 0; i < count; i++) to[place[digit_of(&from[i], digit)]++] = from[i];
}

/* out [2 count]: all ids, sorted, in the first half. */
static void sort_ids(const float *logits, int32_t count, GwTokenCandidate *out) {
  GwTokenCandidate *from = out + count, *to = out, *swapped;
  for (int32_t i = 0; i < count; i++) from[i] = (GwTokenCandidate){i, key_of(logits[i]), 0};
  for (int digit = 0; digit < DIGITS; digit++) {
    sort_by_digit(from, count, digit, to);
    swapped = from;
    from = to;
    to = swapped;
  }
}
_Static_assert(DIGITS % 2 == 1, "an odd number of passes ends in the first half");

static int32_t largest(const float *logits, int32_t count) {
  int32_t best = 0;
  for (int32_t i = 1; i < count; i++)
    if (logits[i] > logits[best]) best = i;
  return best;
}

static double total_weight(const GwTokenCandidate *candidates, int32_t count) {
  double total = 0;
  for (int32_t i = 0; i < count; i++) total += candidates[i].weight;
  return total;
}

/* How many candidates from the largest on have the share top_p of the weight. */
static int32_t count_top_p(const GwTokenCandidate *sorted, int32_t count, double top_p) {
  double wanted = top_p * total_weight(sorted, count), sum = 0;
  int32_t left = 0;
  while (left < count && (left == 0 || sum < wanted)) sum += sorted[left++].weight;
  return left;
}

int32_t gw_token_candidates(const GwTokenChoice *choice, const float *logits, int32_t count,
                            GwTokenCandidate *out) {
  bool all = choice->top_k == 0 && choice->top_p >= 1;
  double max = (double)logits[largest(logits, count)];
  if (all)
    for (int32_t i = 0; i < count; i++) out[i].id = i;
  else
    sort_ids(logits, count, out);
  if (choice->top_k > 0 && choice->top_k < count) count = choice->top_k;
  for (int32_t i = 0; i < count; i++)
    out[i].weight = gw_exp_fast_f64(((double)logits[out[i].id] - max) / choice->temperature);
  return all ? count : count_top_p(out, count, choice->top_p);
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
  double at = gw_rng_uniform(rng) * total_weight(candidates, left), sum = candidates[0].weight;
  int32_t chosen = 0;
  while (at >= sum && chosen < left - 1) sum += candidates[++chosen].weight;
  *out = candidates[chosen].id;
  return GW_OK;
}
