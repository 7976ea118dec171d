/* The room in which a runner keeps packed weights (op/kept.h). */
#ifndef GW_KEPT_WEIGHTS_H
#define GW_KEPT_WEIGHTS_H

#include "op/kept.h"
#include "program/program.h"

typedef struct {
  float *room;
  GwKept *kept;  /* [value_count][GW_KEPT_COUNT]; `at` is NULL for what no op multiplies by */
  int32_t count; /* of kept */
} GwKeptWeights;

/* Bytes of the room: for each product of each weight about as many as the weight has. Kernels that
 * multiply bf16 in pairs use half of them. */
GwStatus gw_kept_weights_bytes(const GwProgram *program, int64_t *out);

GwStatus gw_kept_weights_create(const GwProgram *program, GwKeptWeights *out);
void gw_kept_weights_destroy(GwKeptWeights *weights); /* a zeroed one is fine */

/* What op `op`'s call gets; NULL where it multiplies by no parameter. */
GwKept *gw_kept_weights_of(const GwKeptWeights *weights, const GwOp *op);
void gw_kept_weights_stale(GwKeptWeights *weights); /* the parameters changed */

#endif
