/* Which part of the training state each share holds. The tensors, one after the other, are a row of
 * units; a share is consecutive units, so that the state hash's blocks lie in one share each. */
#ifndef GW_SHARES_H
#define GW_SHARES_H

#include "base/hash64.h"

/* Elements of a unit; the last one of a tensor may be shorter. */
enum { GW_SHARE_UNIT = GW_HASH_BLOCK / sizeof(float) };

/* Elements [first, first + count) of a tensor. */
typedef struct {
  int32_t tensor;
  int64_t first, count;
} GwPiece;

typedef struct {
  GwPiece *pieces; /* at least one element each */
  int32_t count;
  int32_t *begin; /* [shares+1]: share s has pieces [begin[s], begin[s+1]) */
  int32_t shares;
} GwShares;

/* elements: [tensors], 0 or more each. Every element is in one share, and no share has more than
 * total / shares + GW_SHARE_UNIT of them; some may have none. A piece is all that a share has of
 * one tensor. Everyone who knows the sizes finds the same shares. */
GwStatus gw_shares_create(const int64_t *elements, int32_t tensors, int32_t shares, GwShares *out);
void gw_shares_destroy(GwShares *shares); /* a zeroed one is fine */

#endif
