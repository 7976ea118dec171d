/* Share s ends with the unit in which element (s + 1) * total / shares falls, so every share is off
 * its fair size by less than a unit at each end, and the errors do not add up. */
#include "state/shares.h"

#include <stdlib.h>

/* floor(s * total / shares), without forming the product. */
static int64_t fair_end(int64_t total, int64_t s, int64_t shares) {
  return total / shares * s + total % shares * s / shares;
}

static int64_t sum_of(const int64_t *elements, int32_t tensors) {
  int64_t total = 0;
  for (int32_t t = 0; t < tensors; t++)
    GW_ASSERT(elements[t] >= 0 && gw_add_i64(total, elements[t], &total));
  return total;
}

static void deal_out(const int64_t *elements, int32_t tensors, GwShares *to) {
  int64_t total = sum_of(elements, tensors), done = 0;
  int32_t share = 0;
  for (int32_t t = 0; t < tensors; t++) {
    for (int64_t first = 0, count; first < elements[t]; first += count, done += count) {
      while (done >= fair_end(total, share + 1, to->shares)) to->begin[++share] = to->count;
      int64_t missing = fair_end(total, share + 1, to->shares) - done;
      int64_t units = gw_ceil_div(missing, GW_SHARE_UNIT);
      count = gw_min_i64(units * GW_SHARE_UNIT, elements[t] - first);
      to->pieces[to->count++] = (GwPiece){t, first, count};
    }
  }
  while (share < to->shares) to->begin[++share] = to->count;
}

GwStatus gw_shares_create(const int64_t *elements, int32_t tensors, int32_t shares, GwShares *out) {
  GW_ASSERT(tensors >= 0 && shares >= 1 && tensors < INT32_MAX - shares);
  /* a piece begins where a tensor or a share does */
  size_t pieces = (size_t)tensors + (size_t)shares;
  GwShares made = {.shares = shares};
  made.pieces = malloc(pieces * sizeof *made.pieces);
  made.begin = calloc((size_t)shares + 1, sizeof *made.begin);
  if (!made.pieces || !made.begin) {
    gw_shares_destroy(&made);
    return gw_fail(GW_MEMORY, "no memory for the %d shares of the training state", shares);
  }
  deal_out(elements, tensors, &made);
  *out = made;
  return GW_OK;
}

void gw_shares_destroy(GwShares *shares) {
  free(shares->pieces);
  free(shares->begin);
  *shares = (GwShares){0};
}
