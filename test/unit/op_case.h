/* Random instances of ops, for every test that walks op.def: shapes and ranges from the op's own
 * example, data from a seed, once as the kernels see it (float) and once for the oracle (double).
 */
#ifndef GW_OP_CASE_H
#define GW_OP_CASE_H

#include "program/op.h"

/* The op definition compiled in double. */
const GwOpDef *gw_op_def_f64(GwOpcode code);
extern _Thread_local int64_t gw_oracle_work;

typedef struct {
  GwOpcode code;
  GwShapes shapes;
  GwExample example;
  /* data of the inputs: double for f32 and f64, int32_t or int64_t for the others */
  void *in[GW_IN_MAX];
} GwCase;

/* `full`: positions look back as far as they may, so that counted work is exact. `long_size`: see
 * GwExample. */
void gw_case_init(GwCase *test, GwOpcode code, uint64_t seed, bool full, int long_size);
void gw_case_deinit(GwCase *test);

/* A call on fresh buffers as kernels see them: floats rounded from the case, each buffer `shift`
 * floats off alignment, outputs poisoned, a guard zone behind each. */
typedef struct {
  GwCall call;
  void *block[GW_IN_MAX + GW_OUT_MAX];
  size_t size[GW_IN_MAX + GW_OUT_MAX];
  int shift;
} GwCaseCall;

void gw_case_call_init(GwCaseCall *out, const GwCase *test, GwPool *pool, int shift);
bool gw_case_call_guards_hold(const GwCaseCall *call);
void gw_case_call_deinit(GwCaseCall *call);

/* Runs the ops [first, last) of a program in double with the oracle's reference kernels.
 * values[id]: the data of every value, doubles for f32. */
void gw_oracle_run(const GwProgram *program, int32_t first, int32_t last, void **values);
/* Bytes of a value as the oracle stores it. */
size_t gw_oracle_size(const GwType *type);

#endif
