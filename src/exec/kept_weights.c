/* One buffer; which weight has which part of it follows from the program. */
#include "exec/kept_weights.h"

#include <stdlib.h>

#include "base/arena.h"

enum { UNIT = 16 /* floats: every weight begins with a cache line */ };

/* Gives each weight its place for each product, or only counts the floats where `kept` is NULL.
 * Ops share what they multiply by: a recomputed product uses the panels of the first. */
static GwStatus place(const GwProgram *program, float *room, GwKept *kept, int64_t *floats) {
  unsigned *seen = calloc((size_t)program->value_count, sizeof *seen);
  if (!seen) return gw_fail(GW_MEMORY, "no memory for kept weights");
  *floats = 0;
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    unsigned uses = gw_kept_uses(op->code);
    GwValueId id = op->in[1];
    if (!uses || program->values[id].class != GW_CLASS_PARAM) continue;
    const GwType *weight = &program->values[id].type;
    int64_t sides[2] = {gw_columns(weight), gw_rows(weight)}; /* depth of x Wᵀ, of dy W */
    for (int k = 0; k < GW_KEPT_COUNT; k++) {
      if (!(uses & ~seen[id] & 1u << k)) continue;
      if (kept) kept[id * GW_KEPT_COUNT + k].at = room + *floats;
      *floats += gw_ceil_div(gw_kept_room(sides[k], sides[1 - k]), UNIT) * UNIT;
    }
    seen[id] |= uses;
  }
  free(seen);
  return GW_OK;
}

GwStatus gw_kept_weights_bytes(const GwProgram *program, int64_t *out) {
  int64_t floats;
  GW_TRY(place(program, NULL, NULL, &floats));
  *out = floats * (int64_t)sizeof(float);
  return GW_OK;
}

GwStatus gw_kept_weights_create(const GwProgram *program, GwKeptWeights *out) {
  int64_t bytes, floats;
  *out = (GwKeptWeights){.count = program->value_count * GW_KEPT_COUNT};
  GW_TRY(gw_kept_weights_bytes(program, &bytes));
  out->room = gw_buffer_create((size_t)bytes);
  out->kept = calloc((size_t)out->count, sizeof *out->kept);
  if (out->room && out->kept) return place(program, out->room, out->kept, &floats);
  gw_kept_weights_destroy(out);
  return gw_fail(GW_MEMORY, "no memory for kept weights of program '%s': %lld MiB", program->name,
                 (long long)(bytes >> 20));
}

void gw_kept_weights_destroy(GwKeptWeights *weights) {
  gw_buffer_destroy(weights->room);
  free(weights->kept);
  *weights = (GwKeptWeights){0};
}

GwKept *gw_kept_weights_of(const GwKeptWeights *weights, const GwOp *op) {
  if (!gw_kept_uses(op->code)) return NULL;
  GwKept *kept = &weights->kept[op->in[1] * GW_KEPT_COUNT];
  return kept[GW_KEPT_Y].at || kept[GW_KEPT_DX].at ? kept : NULL;
}

void gw_kept_weights_stale(GwKeptWeights *weights) {
  for (int32_t i = 0; i < weights->count; i++) weights->kept[i].current = false;
}
