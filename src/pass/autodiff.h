/* Autodiff: appends to a forward program the ops that compute the gradients of its losses, ending
 * in the parameters' fixed-point sums. */
#ifndef GW_AUTODIFF_H
#define GW_AUTODIFF_H

#include "program/op.h"

typedef struct {
  double limit; /* largest magnitude of one contribution to a sum; beyond it is an incident */
  GwValueId seed_of[GW_OUT_MAX]; /* test only: dL/d(seed_of[k]) = seeds[k]; 0 elsewhere */
  GwValueId seeds[GW_OUT_MAX];
} GwAutodiffOptions;

typedef struct {
  GwValueId signature; /* u64 [1]: Σ wᵢ qᵢ mod 2^64 of all contributions, wᵢ = 2 K i + 1 */
  GwValueId guard;     /* i64 [1]: contributions that were out of range or NaN */
  GwValueId fresh;     /* i32 [1], an input: where it is 1, what stands in the sums counts as 0 */
} GwAutodiffResult;

/* Every parameter gets a sum (class accum, the parameter's name and shape, i64, same element
 * numbers). Gradients of the values in `wanted` (NULL-terminated by 0; may be NULL) are computed
 * too and returned in `gradients`. Failure is the program's status. */
GwAutodiffResult gw_autodiff(GwProgram *program, const GwAutodiffOptions *options,
                             const GwValueId *wanted, GwValueId *gradients);

#endif
