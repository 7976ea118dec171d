/* Totals of a program: a walk over the ops' own costs. */
#include "program/summary.h"

#include <stdlib.h>

#include "program/words.h"

static void add(int64_t *sum, int64_t more) {
  if (!gw_add_i64(*sum, more, sum)) *sum = INT64_MAX;
}

GwProgramSummary gw_program_summarise(const GwProgram *program) {
  GwProgramSummary summary = {.values = program->value_count - 1,
                              .ops = program->op_count,
                              .scratch_bytes = program->scratch_bytes};
  for (int i = 0; i < GW_CLASS_COUNT; i++) summary.class_bytes[i] = program->class_bytes[i];
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].class == GW_CLASS_PARAM)
      add(&summary.params, gw_type_count(&program->values[id].type));
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOpDef *def = gw_op_def(program->ops[i].code);
    GwOpTotal *total = &summary.by_op[program->ops[i].code];
    GwShapes shapes;
    if (gw_op_shapes(program, &program->ops[i], false, &shapes) != GW_OK) continue;
    total->count++;
    add(&total->flops, def->flops(&shapes));
    add(&total->bytes, gw_op_bytes(def, &shapes));
  }
  for (int i = 0; i < GW_OP_COUNT; i++) {
    add(&summary.flops, summary.by_op[i].flops);
    add(&summary.bytes, summary.by_op[i].bytes);
  }
  return summary;
}

static int by_cost(const void *left, const void *right, void *context) {
  const GwOpTotal *totals = context;
  const GwOpTotal *a = &totals[*(const int *)left], *b = &totals[*(const int *)right];
  if (a->flops != b->flops) return a->flops < b->flops ? 1 : -1;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  return *(const int *)left - *(const int *)right;
}

static void print_row(const char *name, const GwOpTotal *total, int64_t all_flops, FILE *out) {
  char flops[GW_UNITS_MAX], bytes[GW_UNITS_MAX];
  double share = all_flops > 0 ? 100.0 * (double)total->flops / (double)all_flops : 0;
  fprintf(out, "  %-18s %6lld  %12s  %5.1f %%  %10s\n", name, (long long)total->count,
          gw__units(flops, (double)total->flops, "FLOP"), share,
          gw__units(bytes, (double)total->bytes, "B"));
}

static void print_ops(GwProgramSummary *summary, FILE *out) {
  int order[GW_OP_COUNT];
  for (int i = 0; i < GW_OP_COUNT; i++) order[i] = i;
  qsort_r(order, GW_OP_COUNT, sizeof *order, by_cost, summary->by_op);
  for (int i = 0; i < GW_OP_COUNT; i++)
    if (summary->by_op[order[i]].count > 0)
      print_row(gw_op_def((GwOpcode)order[i])->name, &summary->by_op[order[i]], summary->flops,
                out);
  print_row("all ops", &(GwOpTotal){summary->ops, summary->flops, summary->bytes}, summary->flops,
            out);
}

static void print_memory(const GwProgramSummary *summary, FILE *out) {
  static const char *const meanings[] = {
#define X(id, name, text) text,
      GW_CLASS_LIST(X)
#undef X
  };
  char bytes[GW_UNITS_MAX];
  int64_t all = 0;
  for (int i = 0; i < GW_CLASS_COUNT; i++) {
    add(&all, summary->class_bytes[i]);
    fprintf(out, "  %-18s %10s  %s\n", gw__class_name((GwClass)i),
            gw__units(bytes, (double)summary->class_bytes[i], "B"), meanings[i]);
  }
  fprintf(out, "  %-18s %10s  all classes\n", "memory", gw__units(bytes, (double)all, "B"));
  fprintf(out, "  %-18s %10s  per thread\n", "scratch",
          gw__units(bytes, (double)summary->scratch_bytes, "B"));
}

void gw_program_print_summary(const GwProgram *program, FILE *out) {
  GwProgramSummary summary = gw_program_summarise(program);
  char params[GW_UNITS_MAX];
  fprintf(out, "program %s: %s parameters, %lld ops, %lld values%s\n",
          program->name[0] ? program->name : "-", gw__units(params, (double)summary.params, ""),
          (long long)summary.ops, (long long)summary.values,
          program->planned ? "" : " (memory not planned)");
  print_ops(&summary, out);
  print_memory(&summary, out);
}
