/* A backward pass goes from the last parameters to the first, and sums lie in the order of
 * parameters: what is final is the end of the buffer, and grows. */
#include "train/final_sums.h"

#include "program/op.h"

static bool adds_to(const GwOp *op, GwValueId value) {
  const GwOpDef *def = gw_op_def(op->code);
  for (int i = 0; i < gw_op_in_count(def); i++)
    if (op->in[i] == value && (def->in[i].flags & GW_ARG_INOUT)) return true;
  return false;
}

/* The last op that adds to a value; -1: none does. */
static int32_t last_writer(const GwProgram *program, GwValueId value) {
  int32_t last = program->op_count - 1;
  while (last >= 0 && !adds_to(&program->ops[last], value)) last--;
  return last;
}

void gw_final_sums(const GwProgram *program, int64_t begin, int64_t end, int64_t *from) {
  for (int32_t i = 0; i <= program->op_count; i++) from[i] = begin;
  for (GwValueId v = 1; v < program->value_count; v++) {
    const GwValue *value = &program->values[v];
    int64_t first = value->offset / (int64_t)sizeof(int64_t);
    if (value->class != GW_CLASS_ACCUM || first < begin || first >= end) continue;
    int64_t behind = first + gw_type_count(&value->type);
    int32_t last = last_writer(program, v);
    for (int32_t i = 0; i <= last; i++) from[i] = gw_max_i64(from[i], behind);
  }
}
