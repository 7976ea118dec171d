/* Building a program: growing arrays of values and ops, and the sticky first failure that lets
 * model code be written without a check after every line. */
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "program/op.h"

void gw_program_init(GwProgram *program, const char *name) {
  *program = (GwProgram){.value_count = 1}; /* value 0 stands for "none" */
  snprintf(program->name, sizeof program->name, "%s", name);
}

void gw_program_deinit(GwProgram *program) {
  free(program->values);
  free(program->ops);
  *program = (GwProgram){0};
}

void gw_program_fail(GwProgram *program, GwStatus status) {
  if (program->status == GW_OK) program->status = status;
}

/* Every class but the activations is laid out as declared. Alignment is 16 elements of the class's
 * usual type, so that element numbers agree between parameters, moments and gradient sums. */
static int64_t place(GwProgram *program, GwClass class, const GwType *type) {
  if (class == GW_CLASS_ACTIVATION) return -1;
  size_t alignment = class == GW_CLASS_ACCUM ? 2 * GW_ALIGN : GW_ALIGN;
  int64_t offset = program->class_bytes[class];
  program->class_bytes[class] += (int64_t)gw_align_up(gw_type_size(type), alignment);
  return offset;
}

GwValueId gw_value_add(GwProgram *program, GwClass class, GwType type, const char *name) {
  if (program->status != GW_OK) return 0;
  if (!GW_GROW(program->values, program->value_capacity, program->value_count + 1)) {
    gw_program_fail(program, gw_fail(GW_MEMORY, "no memory for program '%s'", program->name));
    return 0;
  }
  GwValue *value = &program->values[program->value_count];
  *value = (GwValue){.type = type, .class = class, .offset = place(program, class, &type)};
  snprintf(value->name, sizeof value->name, "%s", name ? name : "");
  return program->value_count++;
}

GwValueId gw_emit(GwProgram *program, GwOpcode code, const GwValueId *in, const double *attr) {
  if (program->status != GW_OK) return 0;
  const GwOpDef *def = gw_op_def(code);
  GwOp op = {.code = code};
  memcpy(op.in, in, sizeof op.in);
  memcpy(op.attr, attr, sizeof op.attr);
  GwShapes shapes;
  GwStatus status = gw_op_shapes(program, &op, true, &shapes);
  if (status == GW_OK && !GW_GROW(program->ops, program->op_capacity, program->op_count + 1))
    status = gw_fail(GW_MEMORY, "no memory for program '%s'", program->name);
  if (status != GW_OK) {
    gw_program_fail(program, status);
    return 0;
  }
  for (int i = 0; i < gw_op_out_count(def); i++)
    op.out[i] = gw_value_add(program, GW_CLASS_ACTIVATION, shapes.out[i], NULL);
  if (program->status != GW_OK) return 0;
  program->ops[program->op_count++] = op;
  return op.out[0];
}

GwValueId gw_value_find(const GwProgram *program, GwClass class, const char *name) {
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].class == class && strcmp(program->values[id].name, name) == 0)
      return id;
  return 0;
}

static bool value_equal(const GwValue *a, const GwValue *b) {
  return a->class == b->class && a->offset == b->offset && gw_type_equal(&a->type, &b->type) &&
         strcmp(a->name, b->name) == 0;
}

bool gw_program_equal(const GwProgram *a, const GwProgram *b) {
  if (strcmp(a->name, b->name) != 0 || a->value_count != b->value_count ||
      a->op_count != b->op_count || a->planned != b->planned ||
      a->scratch_bytes != b->scratch_bytes ||
      memcmp(a->class_bytes, b->class_bytes, sizeof a->class_bytes) != 0)
    return false;
  for (GwValueId id = 1; id < a->value_count; id++)
    if (!value_equal(&a->values[id], &b->values[id])) return false;
  for (int32_t i = 0; i < a->op_count; i++)
    if (memcmp(&a->ops[i], &b->ops[i], sizeof a->ops[i]) != 0) return false;
  return true;
}
