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
  GwValueId signature, guard;
  double limit; /* largest magnitude of one contribution to a sum */
};

#endif
