/* When each value is alive: an activation from the op that makes it to the last op that reads it
 * (both included: an op never writes over what it reads), everything else for the whole program. */
#include "program/op.h"

void gw_program_lifetimes(const GwProgram *program, int32_t *first, int32_t *last) {
  int32_t end = program->op_count > 0 ? program->op_count - 1 : 0;
  for (GwValueId id = 0; id < program->value_count; id++) {
    first[id] = 0;
    last[id] = end;
  }
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    for (int k = 0; k < GW_OUT_MAX; k++)
      if (op->out[k]) first[op->out[k]] = last[op->out[k]] = i;
    for (int k = 0; k < GW_IN_MAX; k++)
      if (op->in[k] && program->values[op->in[k]].class == GW_CLASS_ACTIVATION) last[op->in[k]] = i;
  }
}
