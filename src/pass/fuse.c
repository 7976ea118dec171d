/* One walk over the ops. Each rule looks from an op to the makers of its arguments; where the
 * pattern holds, one op takes the place of all of them. A value that disappears must have had no
 * other reader. Then the program is built anew from the ops that are left.
 *
 *   add(linear or linear_dx, r)                   the product with residual r
 *   gelu or relu2 (linear)                        linear_activation; others may read the product
 *   gelu_grad or relu2_grad (linear_dx, pre)      linear_dx with pre
 *   head_loss, head_loss_grad, accumulate(dw)     head_loss_sum */
#include "pass/fuse.h"

#include <stdlib.h>
#include <string.h>

#include "op/epilogue.h"

typedef struct {
  GwProgram *program;
  GwOp *ops;        /* the program's, edited */
  bool *gone;       /* per op: part of another now */
  int32_t *maker;   /* per value: op that makes it; -1 for none */
  int32_t *reader;  /* per value: last op that reads it; -1 for none */
  int32_t *readers; /* per value: how many; the caller counts as one */
  GwValueId *renumbered;
} Fusion;

static void find_readers(Fusion *f, GwValueId *const *kept) {
  for (GwValueId id = 0; id < f->program->value_count; id++) f->maker[id] = f->reader[id] = -1;
  for (; *kept; kept++) f->readers[**kept]++;
  for (int32_t i = 0; i < f->program->op_count; i++) {
    for (int k = 0; k < GW_IN_MAX; k++) {
      GwValueId id = f->ops[i].in[k];
      if (!id) continue;
      f->reader[id] = i;
      f->readers[id]++;
    }
    for (int k = 0; k < GW_OUT_MAX; k++)
      if (f->ops[i].out[k]) f->maker[f->ops[i].out[k]] = i;
  }
}

static bool takes(const GwOp *op, GwValueId id) {
  for (int k = 0; k < GW_IN_MAX; k++)
    if (op->in[k] == id) return true;
  return false;
}

/* Whether one of them updates in place what the other takes. */
static bool collide(const GwOp *a, const GwOp *b) {
  for (int k = 0; k < GW_IN_MAX; k++) {
    if (a->in[k] && gw_op_def(a->code)->in[k].flags & GW_ARG_INOUT && takes(b, a->in[k]))
      return true;
    if (b->in[k] && gw_op_def(b->code)->in[k].flags & GW_ARG_INOUT && takes(a, b->in[k]))
      return true;
  }
  return false;
}

/* Whether op `from` may change places with all the ops between it and `to`, as far as values go
 * that are updated in place. */
static bool can_move(const Fusion *f, int32_t from, int32_t to) {
  int32_t first = from < to ? from : to, last = from < to ? to : from;
  for (int32_t i = first + 1; i < last; i++)
    if (!f->gone[i] && collide(&f->ops[i], &f->ops[from])) return false;
  return true;
}

/* The op that makes `id`, when it is a `code`, op `at` alone reads the value and could stand in its
 * place; NULL otherwise. */
static GwOp *sole_source(const Fusion *f, int32_t at, GwValueId id, GwOpcode code) {
  int32_t maker = f->maker[id];
  if (maker < 0 || f->ops[maker].code != code || f->readers[id] != 1) return NULL;
  return can_move(f, maker, at) ? &f->ops[maker] : NULL;
}

/* `op`, made of `source` and of the op at `at`, takes the place of the latter. */
static void replace(Fusion *f, int32_t at, const GwOp *source, GwOp op) {
  f->gone[source - f->ops] = true;
  f->ops[at] = op;
}

/* ---- the rules: op `at` has the rule's opcode ---- */

static void fold_add(Fusion *f, int32_t at) {
  static const GwOpcode products[] = {GW_OP_LINEAR, GW_OP_LINEAR_DX};
  enum { RESIDUAL = 3 }; /* of both */
  for (int side = 1; side >= 0; side--)
    for (size_t i = 0; i < GW_COUNT_OF(products); i++) {
      const GwOp add = f->ops[at], *product = sole_source(f, at, add.in[side], products[i]);
      if (!product || product->in[RESIDUAL]) continue;
      GwOp fused = *product;
      fused.in[RESIDUAL] = add.in[1 - side];
      fused.out[0] = add.out[0];
      replace(f, at, product, fused);
      return;
    }
}

/* The pair stands where the product was, as later ops may read either. */
static void fold_activation(Fusion *f, int32_t at, GwEpilogue activation) {
  const GwOp apply = f->ops[at];
  int32_t maker = f->maker[apply.in[0]];
  if (maker < 0 || f->ops[maker].code != GW_OP_LINEAR || f->ops[maker].in[3]) return;
  const GwOp product = f->ops[maker];
  f->ops[maker] = (GwOp){.code = GW_OP_LINEAR_ACTIVATION,
                         .in = {product.in[0], product.in[1], product.in[2]},
                         .out = {apply.out[0], product.out[0]},
                         .attr = {product.attr[0], activation}};
  f->maker[apply.out[0]] = maker;
  f->gone[at] = true;
}

static void fold_gelu(Fusion *f, int32_t at) { fold_activation(f, at, GW_EPILOGUE_GELU); }
static void fold_relu2(Fusion *f, int32_t at) { fold_activation(f, at, GW_EPILOGUE_RELU2); }

static void fold_slope(Fusion *f, int32_t at, GwEpilogue activation) {
  const GwOp slope = f->ops[at], *product = sole_source(f, at, slope.in[0], GW_OP_LINEAR_DX);
  if (!product || product->in[2] || product->in[3]) return;
  GwOp fused = *product;
  fused.in[2] = slope.in[1];
  fused.attr[1] = activation;
  fused.out[0] = slope.out[0];
  replace(f, at, product, fused);
}

static void fold_gelu_grad(Fusion *f, int32_t at) { fold_slope(f, at, GW_EPILOGUE_GELU); }
static void fold_relu2_grad(Fusion *f, int32_t at) { fold_slope(f, at, GW_EPILOGUE_RELU2); }

/* The whole stands where the losses were made: they are read before the gradient. */
static void fold_head(Fusion *f, int32_t at) {
  const GwOp grad = f->ops[at];
  GwOp *loss = sole_source(f, at, grad.in[3], GW_OP_HEAD_LOSS);
  int32_t add = f->reader[grad.out[1]];
  if (!loss || f->readers[grad.out[1]] != 1 || f->ops[add].code != GW_OP_ACCUMULATE) return;
  if (memcmp(loss->in, grad.in, 3 * sizeof *grad.in) != 0 || loss->attr[0] != grad.attr[0] ||
      loss->attr[1] != grad.attr[1])
    return;
  int32_t place = (int32_t)(loss - f->ops);
  if (!can_move(f, at, place) || !can_move(f, add, place)) return;
  const GwOp sum = f->ops[add];
  *loss =
      (GwOp){.code = GW_OP_HEAD_LOSS_SUM,
             .in = {grad.in[0], grad.in[1], grad.in[2], sum.in[1], sum.in[2], sum.in[3], sum.in[4]},
             .out = {loss->out[0], grad.out[0], grad.out[2]},
             .attr = {grad.attr[0], sum.attr[0], sum.attr[1], grad.attr[1]}};
  f->maker[grad.out[0]] = place;
  f->gone[at] = f->gone[add] = true;
}

static const struct {
  GwOpcode code;
  void (*fold)(Fusion *f, int32_t at);
} rules[] = {
    {GW_OP_ADD, fold_add},
    {GW_OP_GELU, fold_gelu},
    {GW_OP_RELU2, fold_relu2},
    {GW_OP_GELU_GRAD, fold_gelu_grad},
    {GW_OP_RELU2_GRAD, fold_relu2_grad},
    {GW_OP_HEAD_LOSS_GRAD, fold_head},
};

static void walk(Fusion *f) {
  for (int32_t i = 0; i < f->program->op_count; i++)
    for (size_t k = 0; k < GW_COUNT_OF(rules); k++) {
      if (f->gone[i] || f->ops[i].code != rules[k].code) continue;
      rules[k].fold(f, i);
      break;
    }
}

/* ---- building anew ---- */

static void emit_again(Fusion *f, GwProgram *p, const GwOp *op) {
  GwValueId in[GW_IN_MAX];
  for (int k = 0; k < GW_IN_MAX; k++) in[k] = f->renumbered[op->in[k]];
  GwValueId out = gw_emit(p, op->code, in, op->attr);
  for (int k = 0; p->status == GW_OK && k < GW_OUT_MAX && op->out[k]; k++) {
    memcpy(p->values[out + k].name, f->program->values[op->out[k]].name, GW_NAME_MAX);
    f->renumbered[op->out[k]] = out + k;
  }
}

/* Values that no op makes come first, in their old order, which lays their classes out as before.
 */
static void build_anew(Fusion *f, GwValueId *const *kept) {
  GwProgram p, *old = f->program;
  gw_program_init(&p, old->name);
  for (GwValueId id = 1; id < old->value_count; id++) {
    const GwValue *value = &old->values[id];
    if (value->class == GW_CLASS_ACTIVATION) continue;
    f->renumbered[id] = gw_value_add(&p, value->class, value->type, value->name);
  }
  for (int32_t i = 0; i < old->op_count; i++)
    if (!f->gone[i]) emit_again(f, &p, &f->ops[i]);
  for (; *kept; kept++) **kept = f->renumbered[**kept];
  gw_program_deinit(old);
  *old = p;
}

void gw_fuse(GwProgram *program, GwValueId *const *kept) {
  if (program->status != GW_OK) return;
  GW_ASSERT(!program->planned);
  size_t values = (size_t)program->value_count;
  int32_t *numbers = calloc(4 * values, sizeof *numbers);
  Fusion f = {.program = program, .ops = program->ops};
  f.gone = calloc((size_t)program->op_count + 1, sizeof *f.gone);
  if (!numbers || !f.gone) {
    gw_program_fail(program, gw_fail(GW_MEMORY, "no memory to fuse program '%s'", program->name));
    goto done;
  }
  f.maker = numbers;
  f.reader = numbers + values;
  f.readers = numbers + 2 * values;
  f.renumbered = numbers + 3 * values;
  find_readers(&f, kept);
  walk(&f);
  build_anew(&f, kept);
done:
  free(f.gone);
  free(numbers);
}
