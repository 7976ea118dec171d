/* Random instances of ops and the double-precision oracle. */
#include "op_case.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define GW_OP(id, name) extern const GwOpDef gw_op_##name##_f64;
#include "program/op.def"
#undef GW_OP

_Thread_local int64_t gw_oracle_work;

const GwOpDef *gw_op_def_f64(GwOpcode code) {
  static const GwOpDef *const defs[GW_OP_COUNT] = {
#define GW_OP(id, name) [GW_OP_##id] = &gw_op_##name##_f64,
#include "program/op.def"
#undef GW_OP
  };
  return defs[code];
}

size_t gw_oracle_size(const GwType *type) {
  size_t element = type->dtype == GW_F32 ? sizeof(double) : gw_dtype_size(type->dtype);
  return (size_t)gw_type_count(type) * element;
}

enum { PERIOD = 65521 }; /* large inputs repeat their first elements: random ones take long */

static void fill_real(GwCase *test, int i) {
  double *data = test->in[i], scale = test->example.in[i].scale;
  GwRng *rng = &test->example.rng;
  for (int64_t k = 0; k < gw_type_count(&test->shapes.in[i]); k++) {
    if (k >= PERIOD)
      data[k] = data[k - PERIOD];
    else if (test->example.in[i].fill == GW_FILL_POSITIVE)
      data[k] = (gw_rng_uniform(rng) + 0.1) * scale;
    else
      data[k] = gw_rng_normal(rng) * scale;
    if (test->shapes.in[i].dtype == GW_F32) data[k] = (double)(float)data[k];
  }
}

static void fill_whole(GwCase *test, int i, bool full) {
  GwRng *rng = &test->example.rng;
  int64_t low = test->example.in[i].low, high = test->example.in[i].high;
  bool positions = test->example.in[i].fill == GW_FILL_POSITIONS;
  bool slots = test->example.in[i].fill == GW_FILL_SLOTS;
  int64_t count = gw_type_count(&test->shapes.in[i]);
  for (int64_t k = 0; k < count; k++) {
    int64_t value;
    if (test->shapes.in[i].dtype != GW_I32) {
      ((uint64_t *)test->in[i])[k] = gw_rng_u64(rng) >> 20; /* sums: 44 bits */
      continue;
    }
    if (slots) {
      value = low + (count - 1 - k) * high;
    } else if (positions) {
      int64_t most = low + k % high;
      value =
          full || gw_rng_below(rng, 4) == 0 ? most : (int64_t)gw_rng_below(rng, (uint64_t)most + 1);
    } else {
      value = low + (int64_t)gw_rng_below(rng, (uint64_t)(high - low));
    }
    ((int32_t *)test->in[i])[k] = (int32_t)value;
  }
}

void gw_case_init(GwCase *test, GwOpcode code, uint64_t seed, bool full, int long_size) {
  const GwOpDef *def = gw_op_def(code);
  *test = (GwCase){.code = code, .example = {.rng = gw_rng(seed, code), .long_size = long_size}};
  def->example(&test->example);
  test->shapes = test->example.shapes;
  GwStatus status = def->shape(&test->shapes);
  GW_ASSERT(status == GW_OK);
  for (int i = 0; i < GW_IN_MAX; i++) {
    if (!test->shapes.has[i]) continue;
    GW_ASSERT(test->shapes.in[i].rank > 0 && test->shapes.in[i].dtype == def->in[i].dtype);
    test->in[i] = calloc(1, gw_oracle_size(&test->shapes.in[i]) + 1);
    if (def->in[i].dtype == GW_F32 || def->in[i].dtype == GW_F64)
      fill_real(test, i);
    else
      fill_whole(test, i, full);
  }
}

void gw_case_deinit(GwCase *test) {
  for (int i = 0; i < GW_IN_MAX; i++) free(test->in[i]);
}

enum { GUARD = 64, POISON = 0xa5 };

/* A buffer `shift` floats (8-byte types: shift of their own elements) off alignment. */
static void *block_create(GwCaseCall *out, int slot, const GwType *type, int shift) {
  size_t size = gw_type_size(type), offset = (size_t)shift * gw_dtype_size(type->dtype);
  char *block = gw_buffer_create(offset + size + GUARD);
  memset(block, POISON, offset + size + GUARD);
  out->block[slot] = block;
  out->size[slot] = offset + size;
  return block + offset;
}

void gw_case_call_init(GwCaseCall *out, const GwCase *test, GwPool *pool, int shift) {
  const GwOpDef *def = gw_op_def(test->code);
  *out = (GwCaseCall){.shift = shift};
  out->call.shapes = test->shapes;
  out->call.key = (GwLaneKey){.seed = 42, .step = 7, .lane = 3};
  out->call.pool = pool;
  for (int i = 0; i < GW_IN_MAX; i++) {
    if (!test->shapes.has[i]) continue;
    const GwType *type = &test->shapes.in[i];
    void *data = block_create(out, i, type, shift);
    out->call.in[i] = data;
    if (type->dtype == GW_F32)
      for (int64_t k = 0; k < gw_type_count(type); k++)
        ((float *)data)[k] = (float)((double *)test->in[i])[k];
    else
      memcpy(data, test->in[i], gw_type_size(type));
  }
  for (int i = 0; i < gw_op_out_count(def); i++)
    out->call.out[i] = block_create(out, GW_IN_MAX + i, &test->shapes.out[i], shift);
  if (def->scratch) {
    out->call.scratch_bytes = gw_align_up((size_t)def->scratch(&test->shapes), GW_ALIGN);
    out->call.scratch = gw_buffer_create(out->call.scratch_bytes * (size_t)gw_pool_threads(pool));
    memset(out->call.scratch, POISON, out->call.scratch_bytes * (size_t)gw_pool_threads(pool));
  }
}

bool gw_case_call_guards_hold(const GwCaseCall *call) {
  for (int slot = 0; slot < GW_IN_MAX + GW_OUT_MAX; slot++) {
    const unsigned char *block = call->block[slot];
    for (size_t i = 0; block && i < GUARD; i++)
      if (block[call->size[slot] + i] != POISON) return false;
  }
  return true;
}

void gw_case_call_deinit(GwCaseCall *call) {
  for (int slot = 0; slot < GW_IN_MAX + GW_OUT_MAX; slot++) gw_buffer_destroy(call->block[slot]);
  gw_buffer_destroy(call->call.scratch);
}

void gw_oracle_run(const GwProgram *program, int32_t first, int32_t last, void **values) {
  for (int32_t i = first; i < last; i++) {
    const GwOp *op = &program->ops[i];
    const GwOpDef *def = gw_op_def_f64(op->code);
    GwCall call = {.key = {.seed = 42, .step = 7, .lane = 3}};
    GwStatus status = gw_op_shapes(program, op, false, &call.shapes);
    GW_ASSERT(status == GW_OK);
    for (int k = 0; k < GW_IN_MAX; k++) call.in[k] = op->in[k] ? values[op->in[k]] : NULL;
    for (int k = 0; k < GW_OUT_MAX; k++) call.out[k] = op->out[k] ? values[op->out[k]] : NULL;
    def->reference(&call, 0, def->units(&call.shapes));
  }
}
