/* The state that gradient rules work on, shared by gradient.c (what a rule may call) and
 * pass/autodiff.c (the walk over the ops). */
#ifndef GW_GRADIENT_H
#define GW_GRADIENT_H

#include "program/op.h"

struct GwGradient {
  GwProgram *program;
  GwValueId *of;  /* per value: dL/d(value) so far, 0 for none */
  bool *wanted;   /* per value */
  int32_t count;  /* values of the forward program */
  GwValueId *sum; /* per value: the sum of a parameter */
  bool *begun;    /* per value: something is added to its sum already */
  GwValueId signature, guard, fresh;
  double limit; /* largest magnitude of one contribution to a sum */
};

/* The sum of a parameter, declared on the first call. */
GwValueId gw__gradient_sum(GwGradient *gradient, GwValueId param);

#endif
