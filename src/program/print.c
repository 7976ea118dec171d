/* The printer. One line per value that no op makes and one per op, in the order of the ids:
 *
 *   program lane
 *   param %1 embed.weight f32[1024,192] @0
 *   %3 f32[2048,192] @0 = embedding %2 %1 {attribute=1} ; 1.20 MFLOP, 3.10 MB
 *   accumulate %9 %4 %5 %6 {first=0, limit=524288} ; …
 *   total param 786432
 *
 * A value reads: id, name (left out when it has none), type, offset ("@-" before planning). An
 * absent argument is "_". A planned program ends with the scratch bytes. What stands behind ';' is
 * for people. parse.c reads it back. */
#include <stdlib.h>

#include "program/op.h"
#include "program/words.h"

static void print_value(const GwProgram *program, GwValueId id, FILE *out) {
  const GwValue *value = &program->values[id];
  fprintf(out, "%%%d %s%s%s[", id, value->name, value->name[0] ? " " : "",
          gw_dtype_name(value->type.dtype));
  for (int i = 0; i < value->type.rank; i++)
    fprintf(out, "%s%lld", i ? "," : "", (long long)value->type.dim[i]);
  if (value->offset < 0)
    fputs("] @-", out);
  else
    fprintf(out, "] @%lld", (long long)value->offset);
}

static void print_declarations(const GwProgram *program, GwValueId from, GwValueId to, FILE *out) {
  for (GwValueId id = from; id < to; id++) {
    fprintf(out, "%s ", gw__class_name(program->values[id].class));
    print_value(program, id, out);
    fputc('\n', out);
  }
}

/* Whole numbers in full, others with the fewest digits that read back as the same number. */
static void print_real(double number, FILE *out) {
  char text[40];
  if (number > -1e15 && number < 1e15 && (double)(int64_t)number == number) {
    fprintf(out, "%.0f", number);
    return;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  fputs(text, out);
}

static void print_cost(const GwProgram *program, const GwOp *op, FILE *out) {
  const GwOpDef *def = gw_op_def(op->code);
  GwShapes shapes;
  if (gw_op_shapes(program, op, false, &shapes) != GW_OK) return;
  char flops[GW_UNITS_MAX], bytes[GW_UNITS_MAX];
  fprintf(out, " ; %s, %s", gw__units(flops, (double)def->flops(&shapes), "FLOP"),
          gw__units(bytes, (double)gw_op_bytes(def, &shapes), "B"));
}

static void print_op(const GwProgram *program, const GwOp *op, FILE *out) {
  const GwOpDef *def = gw_op_def(op->code);
  int in_count = gw_op_in_count(def), out_count = gw_op_out_count(def);
  int attr_count = gw_op_attr_count(def);
  for (int i = 0; i < out_count; i++) {
    print_value(program, op->out[i], out);
    fputs(i + 1 < out_count ? ", " : " = ", out);
  }
  fputs(def->name, out);
  for (int i = 0; i < in_count; i++) {
    if (op->in[i])
      fprintf(out, " %%%d", op->in[i]);
    else
      fputs(" _", out);
  }
  for (int i = 0; i < attr_count; i++) {
    fprintf(out, "%s%s=", i ? ", " : " {", def->attr[i]);
    print_real(op->attr[i], out);
  }
  if (attr_count > 0) fputc('}', out);
  print_cost(program, op, out);
  fputc('\n', out);
}

static void print_total(const char *what, int64_t bytes, FILE *out) {
  char text[GW_UNITS_MAX];
  fprintf(out, "total %s %lld ; %s\n", what, (long long)bytes, gw__units(text, (double)bytes, "B"));
}

/* Before an op stand the values with lower ids than its outputs (without outputs: than its
 * arguments) that no op makes. */
static GwValueId declared_before(const GwOp *op) {
  if (op->out[0]) return op->out[0];
  GwValueId highest = 0;
  for (int i = 0; i < GW_IN_MAX; i++)
    if (op->in[i] > highest) highest = op->in[i];
  return highest + 1;
}

void gw_program_print(const GwProgram *program, FILE *out) {
  fprintf(out, "program %s\n", program->name[0] ? program->name : "-");
  GwValueId next = 1;
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    GwValueId until = declared_before(op);
    print_declarations(program, next, until, out);
    if (next < until) next = until;
    print_op(program, op, out);
    if (op->out[0]) next += gw_op_out_count(gw_op_def(op->code));
  }
  print_declarations(program, next, program->value_count, out);
  for (int i = 0; i < GW_CLASS_COUNT; i++)
    print_total(gw__class_name((GwClass)i), program->class_bytes[i], out);
  if (program->planned) print_total("scratch", program->scratch_bytes, out);
}
