/* Greedy by size: the largest value first, each at the lowest offset where it fits between the
 * values already placed that live at the same time. Deterministic: ties go to the lower id. */
#include "pass/memory_plan.h"

#include <stdlib.h>

typedef struct {
  GwValueId id;
  int64_t size;
  int32_t first, last;
} Interval;

static int by_size(const void *left, const void *right) {
  const Interval *a = left, *b = right;
  if (a->size != b->size) return a->size < b->size ? 1 : -1;
  return a->id < b->id ? -1 : 1;
}

static int by_offset(const void *left, const void *right, void *context) {
  const GwProgram *program = context;
  const Interval *a = left, *b = right;
  int64_t x = program->values[a->id].offset, y = program->values[b->id].offset;
  return (x > y) - (x < y);
}

static bool overlap(const Interval *a, const Interval *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* The lowest gap of `value->size` bytes among the `busy_count` busy intervals, sorted by offset. */
static int64_t lowest_gap(const GwProgram *program, const Interval *value, const Interval *busy,
                          int32_t busy_count) {
  int64_t offset = 0;
  for (int32_t i = 0; i < busy_count; i++) {
    int64_t start = program->values[busy[i].id].offset;
    if (offset + value->size <= start) break;
    offset = gw_max_i64(offset, start + busy[i].size);
  }
  return offset;
}

static void place_all(GwProgram *program, Interval *values, int32_t count, Interval *busy) {
  for (int32_t i = 0; i < count; i++) {
    int32_t busy_count = 0;
    for (int32_t k = 0; k < i; k++)
      if (overlap(&values[i], &values[k])) busy[busy_count++] = values[k];
    qsort_r(busy, (size_t)busy_count, sizeof *busy, by_offset, program);
    int64_t offset = lowest_gap(program, &values[i], busy, busy_count);
    program->values[values[i].id].offset = offset;
    program->class_bytes[GW_CLASS_ACTIVATION] =
        gw_max_i64(program->class_bytes[GW_CLASS_ACTIVATION], offset + values[i].size);
  }
}

static GwStatus plan_scratch(GwProgram *program) {
  program->scratch_bytes = 0;
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOpDef *def = gw_op_def(program->ops[i].code);
    if (!def->scratch) continue;
    GwShapes shapes;
    GW_TRY(gw_op_shapes(program, &program->ops[i], false, &shapes));
    program->scratch_bytes = gw_max_i64(program->scratch_bytes, def->scratch(&shapes));
  }
  program->scratch_bytes = (int64_t)gw_align_up((size_t)program->scratch_bytes, GW_ALIGN);
  return GW_OK;
}

GwStatus gw_plan_memory(GwProgram *program) {
  if (program->status != GW_OK) return program->status;
  size_t count = (size_t)program->value_count;
  Interval *values = calloc(2 * count, sizeof *values);
  int32_t *first = calloc(2 * count, sizeof *first), *last = first + count;
  GwStatus status = GW_OK;
  if (!values || !first) {
    status = gw_fail(GW_MEMORY, "no memory to plan program '%s'", program->name);
    goto done;
  }
  gw_program_lifetimes(program, first, last);
  int32_t activations = 0;
  for (GwValueId id = 1; id < program->value_count; id++) {
    const GwValue *value = &program->values[id];
    if (value->class != GW_CLASS_ACTIVATION) continue;
    int64_t size = (int64_t)gw_align_up(gw_type_size(&value->type), GW_ALIGN);
    values[activations++] = (Interval){id, size, first[id], last[id]};
  }
  qsort(values, (size_t)activations, sizeof *values, by_size);
  program->class_bytes[GW_CLASS_ACTIVATION] = 0;
  place_all(program, values, activations, values + count);
  GW_TRY_GOTO(status, plan_scratch(program), done);
  program->planned = true;
done:
  free(first);
  free(values);
  return status;
}
