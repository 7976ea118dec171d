/* One emit function per op that model code uses, with shapes. See src/op/<op>.c for the meaning. */
#ifndef GW_OPS_H
#define GW_OPS_H

#include "op/constants.h"
#include "program/op.h"

/* table [V,C], ids [N] → [N,C] */
static inline GwValueId gw_embedding(GwProgram *p, GwValueId table, GwValueId ids) {
  return gw_emit(p, GW_OP_EMBEDDING, GW_IN(table, ids), GW_ATTR(0));
}

/* x [N,I], weight [O,I], bias [O] or 0 → x weightᵀ + bias [N,O] */
static inline GwValueId gw_linear(GwProgram *p, GwValueId x, GwValueId weight, GwValueId bias,
                                  GwOperands operands) {
  return gw_emit(p, GW_OP_LINEAR, GW_IN(x, weight, bias), GW_ATTR((double)operands));
}

/* x [N,C], weight [D] with D dividing C (each group of D is normalised) → [N,C] */
static inline GwValueId gw_rms_norm(GwProgram *p, GwValueId x, GwValueId weight, double epsilon) {
  return gw_emit(p, GW_OP_RMS_NORM, GW_IN(x, weight), GW_ATTR(epsilon));
}

/* x [N,C], weight [C], bias [C] → [N,C] */
static inline GwValueId gw_layer_norm(GwProgram *p, GwValueId x, GwValueId weight, GwValueId bias,
                                      double epsilon) {
  return gw_emit(p, GW_OP_LAYER_NORM, GW_IN(x, weight, bias), GW_ATTR(epsilon));
}

/* → cosines and sines [T,D] for positions below T and heads of size D */
static inline GwValueId gw_rotary_table(GwProgram *p, int64_t context, int64_t head, double theta) {
  return gw_emit(p, GW_OP_ROTARY_TABLE, GW_IN(0), GW_ATTR((double)context, (double)head, theta));
}

/* x [N,H·D], positions [N], table [T,D] → [N,H·D] */
static inline GwValueId gw_rotary(GwProgram *p, GwValueId x, GwValueId positions, GwValueId table) {
  return gw_emit(p, GW_OP_ROTARY, GW_IN(x, positions, table), GW_ATTR(1));
}

typedef struct {
  int64_t heads, kv_heads;
  int64_t context; /* rows of one sequence, T */
  int64_t window;  /* keys that a query may see, itself included; 0 for all */
  GwOperands operands;
} GwAttentionShape;

/* q [N,H·D], k and v [N,Hkv·D], positions [N] (how far back a query may look) → [N,H·D] */
static inline GwValueId gw_attention(GwProgram *p, GwValueId q, GwValueId k, GwValueId v,
                                     GwValueId positions, GwAttentionShape shape) {
  return gw_emit(p, GW_OP_ATTENTION, GW_IN(q, k, v, positions),
                 GW_ATTR((double)shape.heads, (double)shape.kv_heads, (double)shape.context,
                         (double)shape.window, (double)shape.operands));
}

/* The same for S sequences of N/S queries each, whose keys and values stand in caches
 * [slots·Hkv·T,D], where T = context: query i of sequence s is token base[s] % T + i of slot
 * base[s] / T. */
static inline GwValueId gw_attention_cached(GwProgram *p, GwValueId q, GwValueId k_cache,
                                            GwValueId v_cache, GwValueId positions, GwValueId base,
                                            GwAttentionShape shape) {
  return gw_emit(p, GW_OP_ATTENTION_CACHED, GW_IN(q, k_cache, v_cache, positions, base),
                 GW_ATTR((double)shape.heads, (double)shape.kv_heads, (double)shape.context,
                         (double)shape.window, (double)shape.operands));
}

/* Writes row i of sequence s, of the S sequences in x [N,Hkv·D], into such a cache. */
static inline void gw_cache_append(GwProgram *p, GwValueId x, GwValueId cache, GwValueId base,
                                   int64_t context) {
  gw_emit(p, GW_OP_CACHE_APPEND, GW_IN(x, cache, base), GW_ATTR((double)context));
}

static inline GwValueId gw_gelu(GwProgram *p, GwValueId x) {
  return gw_emit(p, GW_OP_GELU, GW_IN(x), GW_ATTR(0));
}

/* gate, up [N,F] → silu(gate)·up */
static inline GwValueId gw_swiglu(GwProgram *p, GwValueId gate, GwValueId up) {
  return gw_emit(p, GW_OP_SWIGLU, GW_IN(gate, up), GW_ATTR(0));
}

/* max(x, 0)² */
static inline GwValueId gw_relu2(GwProgram *p, GwValueId x) {
  return gw_emit(p, GW_OP_RELU2, GW_IN(x), GW_ATTR(0));
}

static inline GwValueId gw_add(GwProgram *p, GwValueId a, GwValueId b) {
  return gw_emit(p, GW_OP_ADD, GW_IN(a, b), GW_ATTR(0));
}

/* `site` tells apart the dropouts of one program. */
static inline GwValueId gw_dropout(GwProgram *p, GwValueId x, double rate, int site) {
  return gw_emit(p, GW_OP_DROPOUT, GW_IN(x), GW_ATTR(rate, site));
}

/* x [N,C], weight [V,C], targets [N] (-1: not counted) → losses [N] in nats */
static inline GwValueId gw_head_loss(GwProgram *p, GwValueId x, GwValueId weight, GwValueId targets,
                                     double z_loss, GwOperands operands) {
  return gw_emit(p, GW_OP_HEAD_LOSS, GW_IN(x, weight, targets), GW_ATTR(z_loss, (double)operands));
}

/* Adds losses and the number of real targets to tally i64 [3]. */
static inline void gw_tally(GwProgram *p, GwValueId losses, GwValueId targets, GwValueId tally) {
  gw_emit(p, GW_OP_TALLY, GW_IN(losses, targets, tally), GW_ATTR(0));
}

#endif
