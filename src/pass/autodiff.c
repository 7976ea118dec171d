/* The walk: which values lead from parameters to a loss is found forwards, then every op's gradient
 * rule runs backwards. */
#include "pass/autodiff.h"

#include <stdlib.h>

#include "program/gradient.h"

/* A value is wanted when it is a parameter, asked for, or made from a wanted value. */
static void mark_wanted(GwGradient *gradient, const GwValueId *asked) {
  const GwProgram *program = gradient->program;
  for (GwValueId id = 1; id < gradient->count; id++)
    gradient->wanted[id] = program->values[id].class == GW_CLASS_PARAM;
  for (; asked && *asked; asked++) gradient->wanted[*asked] = true;
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    bool any = false;
    for (int k = 0; k < GW_IN_MAX; k++) any = any || (op->in[k] && gradient->wanted[op->in[k]]);
    for (int k = 0; any && k < GW_OUT_MAX; k++)
      if (op->out[k]) gradient->wanted[op->out[k]] = true;
  }
}

/* All sums are declared before any op, in the parameters' order, so that element numbers agree. */
static void declare_sums(GwGradient *gradient) {
  GwProgram *program = gradient->program;
  for (GwValueId id = 1; id < gradient->count; id++) {
    if (program->values[id].class != GW_CLASS_PARAM) continue;
    gw__gradient_sum(gradient, id);
  }
  gradient->signature = gw_value_add(program, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 1), "signature");
  gradient->guard = gw_value_add(program, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 1), "guard");
  gradient->fresh = gw_value_add(program, GW_CLASS_INPUT, gw_type_1d(GW_I32, 1), "fresh");
}

static bool has_gradient(const GwGradient *gradient, const GwOp *op, const GwOpDef *def) {
  for (int k = 0; k < gw_op_out_count(def); k++)
    if (gradient->of[op->out[k]]) return true;
  return def->is_loss;
}

static void walk(GwGradient *gradient) {
  GwProgram *program = gradient->program;
  for (int32_t i = program->op_count - 1; i >= 0 && program->status == GW_OK; i--) {
    GwOp op = program->ops[i]; /* a copy: emitting moves the array */
    const GwOpDef *def = gw_op_def(op.code);
    if (def->gradient && has_gradient(gradient, &op, def)) def->gradient(gradient, &op);
  }
}

GwAutodiffResult gw_autodiff(GwProgram *program, const GwAutodiffOptions *options,
                             const GwValueId *wanted, GwValueId *gradients) {
  GwAutodiffResult result = {0};
  if (program->status != GW_OK) return result;
  GwGradient gradient = {
      .program = program, .count = program->value_count, .limit = options->limit};
  size_t count = (size_t)program->value_count;
  gradient.of = calloc(count, sizeof *gradient.of);
  gradient.wanted = calloc(count, sizeof *gradient.wanted);
  gradient.sum = calloc(count, sizeof *gradient.sum);
  gradient.begun = calloc(count, sizeof *gradient.begun);
  if (!gradient.of || !gradient.wanted || !gradient.sum || !gradient.begun) {
    gw_program_fail(program, gw_fail(GW_MEMORY, "no memory for autodiff"));
    goto done;
  }
  mark_wanted(&gradient, wanted);
  declare_sums(&gradient);
  for (int k = 0; k < GW_OUT_MAX; k++)
    if (options->seed_of[k]) gradient.of[options->seed_of[k]] = options->seeds[k];
  walk(&gradient);
  for (int k = 0; wanted && wanted[k]; k++) gradients[k] = gradient.of[wanted[k]];
  result = (GwAutodiffResult){gradient.signature, gradient.guard, gradient.fresh};
done:
  free(gradient.begun);
  free(gradient.sum);
  free(gradient.wanted);
  free(gradient.of);
  return result;
}
