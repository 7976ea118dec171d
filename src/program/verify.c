/* The verifier: every rule of the program's form, checked between passes and after parsing.
 *
 * Values are checked alone, then ops in order (each may only read what was made before it), then
 * names, and last the memory plan: a sweep over the ops keeps the spans of the values alive sorted
 * by offset, so a new value has to be compared with its two neighbours only. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "program/op.h"
#include "program/words.h"

typedef struct {
  int64_t begin, end;
  GwValueId id;
} Span;

/* Disjoint spans sorted by offset. */
typedef struct {
  Span *spans;
  int32_t count;
} Live;

__attribute__((format(printf, 3, 4))) static GwStatus
fail_value(const GwProgram *program, GwValueId id, const char *format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  const char *name = program->values[id].name;
  return gw_fail(GW_INVALID, "program '%s': value %%%d%s%s %s", program->name, id, *name ? " " : "",
                 name, text);
}

__attribute__((format(printf, 3, 4))) static GwStatus
fail_op(const GwProgram *program, int32_t index, const char *format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  return gw_fail(GW_INVALID, "program '%s': op %d '%s': %s", program->name, index,
                 gw_op_def(program->ops[index].code)->name, text);
}

/* ---- values ---- */

static GwStatus check_offset(const GwProgram *program, GwValueId id) {
  const GwValue *value = &program->values[id];
  if (value->class == GW_CLASS_ACTIVATION && !program->planned) {
    if (value->offset == -1) return GW_OK;
    return fail_value(program, id, "has an offset, but the program is not planned");
  }
  int64_t offset = value->offset, size = (int64_t)gw_type_size(&value->type);
  int64_t room = program->class_bytes[value->class];
  if (offset < 0 || offset > room || size > room - offset)
    return fail_value(program, id, "at offset %lld does not fit into the %lld bytes of class %s",
                      (long long)offset, (long long)room, gw__class_name(value->class));
  if (offset % GW_ALIGN)
    return fail_value(program, id, "at offset %lld is not aligned to %d bytes", (long long)offset,
                      GW_ALIGN);
  return GW_OK;
}

static GwStatus check_value(const GwProgram *program, GwValueId id) {
  const GwValue *value = &program->values[id];
  bool named = value->name[0] != 0;
  if ((unsigned)value->class >= GW_CLASS_COUNT)
    return fail_value(program, id, "is of no known class: %d", (int)value->class);
  if (named ? !gw__name_valid(value->name) : value->class != GW_CLASS_ACTIVATION)
    return fail_value(program, id, "needs a name of letters, digits and _.-/:");
  if (!gw__type_valid(&value->type))
    return fail_value(program, id, "needs positive dimensions, at most 2^40 elements in all");
  return check_offset(program, id);
}

static GwStatus check_buffers(const GwProgram *program) {
  if (program->name[0] && !gw__name_valid(program->name))
    return gw_fail(GW_INVALID, "program '%.*s': the name may hold letters, digits and _.-/: only",
                   GW_NAME_MAX - 1, program->name);
  for (int i = 0; i < GW_CLASS_COUNT; i++)
    if (program->class_bytes[i] < 0 || program->class_bytes[i] > GW_PROGRAM_BYTES_MAX)
      return gw_fail(GW_INVALID, "program '%s': class %s has %lld bytes", program->name,
                     gw__class_name((GwClass)i), (long long)program->class_bytes[i]);
  int64_t unplanned = program->class_bytes[GW_CLASS_ACTIVATION] | program->scratch_bytes;
  if (program->scratch_bytes < 0 || program->scratch_bytes > GW_PROGRAM_BYTES_MAX ||
      (!program->planned && unplanned != 0))
    return gw_fail(GW_INVALID, "program '%s': scratch or activation bytes do not fit its plan",
                   program->name);
  return GW_OK;
}

/* ---- ops ---- */

/* Counts how often the op names `id` as an argument. */
static int uses(const GwOp *op, GwValueId id) {
  int count = 0;
  for (int k = 0; k < GW_IN_MAX; k++) count += op->in[k] == id;
  return count;
}

static GwStatus check_inout(const GwProgram *program, int32_t index, int k) {
  const GwOp *op = &program->ops[index];
  const GwValue *value = &program->values[op->in[k]];
  if (value->class == GW_CLASS_ACTIVATION || value->class == GW_CLASS_INPUT)
    return fail_op(program, index, "%%%d of class %s must not be updated in place", op->in[k],
                   gw__class_name(value->class));
  if (uses(op, op->in[k]) > 1)
    return fail_op(program, index, "%%%d is updated in place and passed twice", op->in[k]);
  return GW_OK;
}

/* `made` values are those below it that an op has made or that need no op. */
static GwStatus check_inputs(const GwProgram *program, int32_t index, const bool *made) {
  const GwOp *op = &program->ops[index];
  const GwOpDef *def = gw_op_def(op->code);
  for (int k = 0; k < GW_IN_MAX; k++) {
    GwValueId id = op->in[k];
    if (id == 0) continue;
    if (id < 0 || id >= program->value_count)
      return fail_op(program, index, "%%%d does not exist", id);
    if (k >= gw_op_in_count(def)) return fail_op(program, index, "too many arguments");
    if (program->values[id].class == GW_CLASS_ACTIVATION && !made[id])
      return fail_op(program, index, "%%%d is read before it is made", id);
    if (def->in[k].flags & GW_ARG_INOUT) GW_TRY(check_inout(program, index, k));
  }
  return GW_OK;
}

/* Outputs are numbered consecutively, in the order of the ops; `next` is the lowest id allowed. */
static GwStatus check_outputs(const GwProgram *program, int32_t index, bool *made,
                              GwValueId *next) {
  const GwOp *op = &program->ops[index];
  int count = gw_op_out_count(gw_op_def(op->code));
  for (int k = 0; k < GW_OUT_MAX; k++) {
    GwValueId id = op->out[k];
    if (k >= count && id != 0) return fail_op(program, index, "too many outputs");
    if (k >= count) continue;
    if (id < 1 || id >= program->value_count)
      return fail_op(program, index, "output %%%d does not exist", id);
    if (made[id]) return fail_op(program, index, "output %%%d is made a second time", id);
    if (program->values[id].class != GW_CLASS_ACTIVATION)
      return fail_op(program, index, "output %%%d is not an activation", id);
    if (id != op->out[0] + k)
      return fail_op(program, index, "output %%%d does not follow %%%d", id, op->out[0] + k - 1);
    if (id < *next)
      return fail_op(program, index, "output %%%d is numbered below earlier outputs", id);
    made[id] = true;
    *next = id + 1;
  }
  return GW_OK;
}

static GwStatus check_attributes(const GwProgram *program, int32_t index) {
  const GwOp *op = &program->ops[index];
  const GwOpDef *def = gw_op_def(op->code);
  for (int k = 0; k < GW_ATTR_MAX; k++) {
    if (!gw_is_finite(op->attr[k])) return fail_op(program, index, "attribute %d is not finite", k);
    if (k >= gw_op_attr_count(def) && op->attr[k] != 0)
      return fail_op(program, index, "too many attributes");
  }
  return GW_OK;
}

static GwStatus check_shapes(const GwProgram *program, int32_t index) {
  const GwOp *op = &program->ops[index];
  const GwOpDef *def = gw_op_def(op->code);
  GwShapes shapes;
  if (gw_op_shapes(program, op, true, &shapes) != GW_OK)
    return fail_op(program, index, "%s", gw_error_message());
  for (int k = 0; k < gw_op_out_count(def); k++)
    if (!gw_type_equal(&shapes.out[k], &program->values[op->out[k]].type))
      return fail_op(program, index, "output %%%d does not have the type that its inputs imply",
                     op->out[k]);
  if (program->planned && def->scratch && def->scratch(&shapes) > program->scratch_bytes)
    return fail_op(program, index, "needs %lld bytes of scratch, the program has %lld",
                   (long long)def->scratch(&shapes), (long long)program->scratch_bytes);
  return GW_OK;
}

static GwStatus check_ops(const GwProgram *program, bool *made) {
  GwValueId next = 1;
  for (int32_t i = 0; i < program->op_count; i++) {
    if ((unsigned)program->ops[i].code >= GW_OP_COUNT)
      return gw_fail(GW_INVALID, "program '%s': op %d has no such opcode: %d", program->name, i,
                     (int)program->ops[i].code);
    GW_TRY(check_inputs(program, i, made));
    GW_TRY(check_outputs(program, i, made, &next));
    GW_TRY(check_attributes(program, i));
    GW_TRY(check_shapes(program, i));
  }
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].class == GW_CLASS_ACTIVATION && !made[id])
      return fail_value(program, id, "is an activation that no op makes");
  return GW_OK;
}

/* ---- names ---- */

static int by_class_and_name(const void *left, const void *right, void *context) {
  const GwProgram *program = context;
  const GwValue *a = &program->values[*(const GwValueId *)left];
  const GwValue *b = &program->values[*(const GwValueId *)right];
  if (a->class != b->class) return a->class < b->class ? -1 : 1;
  return strcmp(a->name, b->name);
}

/* Values are found by class and name, so no two may share both. */
static GwStatus check_names(const GwProgram *program, GwValueId *ids) {
  size_t count = 0;
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].name[0]) ids[count++] = id;
  qsort_r(ids, count, sizeof *ids, by_class_and_name, (void *)program);
  for (size_t i = 1; i < count; i++)
    if (by_class_and_name(&ids[i - 1], &ids[i], (void *)program) == 0)
      return fail_value(program, ids[i], "has the same class and name as %%%d", ids[i - 1]);
  return GW_OK;
}

/* ---- memory ---- */

/* Index of the first span that begins at or after `offset`. */
static int32_t live_find(const Live *live, int64_t offset) {
  int32_t low = 0, high = live->count;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (live->spans[middle].begin < offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static GwStatus live_insert(Live *live, const GwProgram *program, GwValueId id) {
  const GwValue *value = &program->values[id];
  Span span = {value->offset, value->offset + (int64_t)gw_type_size(&value->type), id};
  int32_t at = live_find(live, span.begin);
  if (at > 0 && live->spans[at - 1].end > span.begin)
    return fail_value(program, id, "overlaps %%%d in memory", live->spans[at - 1].id);
  if (at < live->count && live->spans[at].begin < span.end)
    return fail_value(program, id, "overlaps %%%d in memory", live->spans[at].id);
  memmove(&live->spans[at + 1], &live->spans[at], (size_t)(live->count - at) * sizeof span);
  live->spans[at] = span;
  live->count++;
  return GW_OK;
}

/* Nothing to do when the value has gone already (an argument passed twice). */
static void live_remove(Live *live, const GwProgram *program, GwValueId id) {
  int32_t at = live_find(live, program->values[id].offset);
  if (at == live->count || live->spans[at].id != id) return;
  live->count--;
  memmove(&live->spans[at], &live->spans[at + 1], (size_t)(live->count - at) * sizeof(Span));
}

static GwStatus check_fixed_class(const GwProgram *program, GwClass class, Live *live) {
  live->count = 0;
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].class == class) GW_TRY(live_insert(live, program, id));
  return GW_OK;
}

static GwStatus check_activations(const GwProgram *program, const int32_t *last, Live *live) {
  live->count = 0;
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    for (int k = 0; k < GW_OUT_MAX; k++)
      if (op->out[k]) GW_TRY(live_insert(live, program, op->out[k]));
    for (int k = 0; k < GW_OUT_MAX; k++)
      if (op->out[k] && last[op->out[k]] == i) live_remove(live, program, op->out[k]);
    for (int k = 0; k < GW_IN_MAX; k++)
      if (op->in[k] && last[op->in[k]] == i) live_remove(live, program, op->in[k]);
  }
  return GW_OK;
}

static GwStatus check_memory(const GwProgram *program, const int32_t *last, Live *live) {
  for (int i = 0; i < GW_CLASS_COUNT; i++)
    if (i != GW_CLASS_ACTIVATION) GW_TRY(check_fixed_class(program, (GwClass)i, live));
  return program->planned ? check_activations(program, last, live) : GW_OK;
}

GwStatus gw_program_verify(const GwProgram *program) {
  if (program->status != GW_OK) return program->status;
  GW_TRY(check_buffers(program));
  for (GwValueId id = 1; id < program->value_count; id++) GW_TRY(check_value(program, id));

  GwStatus status = GW_OK;
  size_t count = (size_t)program->value_count;
  bool *made = calloc(count, sizeof *made);
  int32_t *first = calloc(2 * count, sizeof *first);
  Live live = {.spans = calloc(count, sizeof *live.spans)};
  if (!made || !first || !live.spans) {
    status = gw_fail(GW_MEMORY, "no memory to verify program '%s'", program->name);
    goto done;
  }
  GW_TRY_GOTO(status, check_ops(program, made), done);
  GW_TRY_GOTO(status, check_names(program, first), done);
  gw_program_lifetimes(program, first, first + count);
  GW_TRY_GOTO(status, check_memory(program, first + count, &live), done);
done:
  free(live.spans);
  free(first);
  free(made);
  return status;
}
