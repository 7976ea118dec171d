/* What the families build models from: declaring parameters, attention with or without caches,
 * dropout. A builder carries the program being made and the inputs that every family reads. */
#ifndef GW_MODEL_BUILDER_H
#define GW_MODEL_BUILDER_H

#include "model/model.h"
#include "op/constants.h"

typedef struct {
  GwProgram *p;
  const GwModelRecipe *model;
  GwOperands operands; /* of every matrix product, as the recipe's dtype says */
  GwParamList *list;   /* collects the parameters */
  GwValueId tokens, positions;
  GwValueId base;   /* 0: a whole-sequence pass; else the cached pass ... */
  int64_t slots;    /* ... with caches of as many slots */
  int64_t context;  /* T */
  double dropout;   /* 0 outside training */
  int dropout_site; /* the next one */
} GwModelBuilder;

typedef struct {
  GwValueId x;    /* [N,C], after the last norm */
  GwValueId head; /* [V,C] */
} GwHidden;

GwHidden gw__llama(GwModelBuilder *b);
GwHidden gw__gpt2(GwModelBuilder *b);

/* Declares a parameter: [columns] when rows is 0, else [rows, columns]. */
GwValueId gw__param(GwModelBuilder *b, GwInit init, int64_t rows, int64_t columns,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* x weightᵀ + bias, the bias 0 for none */
GwValueId gw__linear(GwModelBuilder *b, GwValueId x, GwValueId weight, GwValueId bias);
/* Causal attention over the sequence, or against the layer's caches. */
GwValueId gw__attention(GwModelBuilder *b, int layer, GwValueId q, GwValueId k, GwValueId v);
GwValueId gw__dropout(GwModelBuilder *b, GwValueId x);

#endif
