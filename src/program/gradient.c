/* What a gradient rule may call: ask for the incoming gradient, hand on the outgoing ones. */
#include "program/gradient.h"

GwProgram *gw_gradient_program(GwGradient *gradient) { return gradient->program; }

GwValueId gw_gradient_out(const GwGradient *gradient, const GwOp *op, int i) {
  return gradient->of[op->out[i]];
}

bool gw_gradient_wanted(const GwGradient *gradient, GwValueId value) {
  return value != 0 && gradient->wanted[value];
}

/* A parameter's sum has its shape, in i64. */
GwValueId gw__gradient_sum(GwGradient *gradient, GwValueId param) {
  if (!gradient->sum[param]) {
    GwType type = gradient->program->values[param].type;
    type.dtype = GW_I64;
    char name[GW_NAME_MAX];
    snprintf(name, sizeof name, "%s", gradient->program->values[param].name);
    gradient->sum[param] = gw_value_add(gradient->program, GW_CLASS_ACCUM, type, name);
  }
  return gradient->sum[param];
}

GwAccumulator gw_gradient_accumulator(GwGradient *gradient, GwValueId param) {
  GW_ASSERT(gradient->program->status != GW_OK ||
            gradient->program->values[param].class == GW_CLASS_PARAM);
  /* A parameter's offset was planned before; its first element's number in the flat parameter
   * vector keys the signature weights. */
  bool begun = gradient->begun[param];
  gradient->begun[param] = true;
  return (GwAccumulator){.sum = gw__gradient_sum(gradient, param),
                         .signature = gradient->signature,
                         .guard = gradient->guard,
                         .fresh = begun ? 0 : gradient->fresh,
                         .first = (double)(gradient->program->values[param].offset / 4),
                         .limit = gradient->limit};
}

void gw_gradient_add(GwGradient *gradient, GwValueId value, GwValueId d) {
  GwProgram *program = gradient->program;
  if (program->status != GW_OK || !gw_gradient_wanted(gradient, value)) return;
  if (program->values[value].class == GW_CLASS_PARAM) {
    GwAccumulator to = gw_gradient_accumulator(gradient, value);
    gw_emit(program, GW_OP_ACCUMULATE, GW_IN(d, to.sum, to.signature, to.guard, to.fresh),
            GW_ATTR(to.first, to.limit));
    return;
  }
  GwValueId before = gradient->of[value];
  gradient->of[value] = before ? gw_emit(program, GW_OP_ADD, GW_IN(before, d), GW_ATTR(0)) : d;
}
