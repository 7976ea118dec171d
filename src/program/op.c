/* The table of op definitions and what follows from a definition alone. */
#include "program/op.h"

#include <string.h>

#define GW_OP(id, name) extern const GwOpDef gw_op_##name;
#include "program/op.def"
#undef GW_OP

static const GwOpDef *const defs[GW_OP_COUNT] = {
#define GW_OP(id, name) [GW_OP_##id] = &gw_op_##name,
#include "program/op.def"
#undef GW_OP
};

const GwOpDef *gw_op_def(GwOpcode code) {
  GW_ASSERT((unsigned)code < GW_OP_COUNT);
  return defs[code];
}

GwOpcode gw_op_code(const GwOpDef *def) {
  int code = 0;
  while (code < GW_OP_COUNT - 1 && defs[code] != def) code++;
  return (GwOpcode)code;
}

bool gw_op_from_name(const char *name, GwOpcode *out) {
  for (int i = 0; i < GW_OP_COUNT; i++) {
    if (strcmp(defs[i]->name, name) != 0) continue;
    *out = (GwOpcode)i;
    return true;
  }
  return false;
}

int gw_op_in_count(const GwOpDef *def) {
  int n = 0;
  while (n < GW_IN_MAX && def->in[n].name) n++;
  return n;
}

int gw_op_out_count(const GwOpDef *def) {
  int n = 0;
  while (n < GW_OUT_MAX && def->out[n].name) n++;
  return n;
}

int gw_op_attr_count(const GwOpDef *def) {
  int n = 0;
  while (n < GW_ATTR_MAX && def->attr[n]) n++;
  return n;
}

static GwStatus check_input(const GwProgram *program, const GwOpDef *def, const GwOp *op, int i) {
  const GwArg *arg = &def->in[i];
  GwValueId id = op->in[i];
  if (id == 0) {
    if (arg->flags & GW_ARG_OPTIONAL) return GW_OK;
    return gw_fail(GW_INVALID, "%s: argument '%s' is missing", def->name, arg->name);
  }
  if (id < 0 || id >= program->value_count)
    return gw_fail(GW_INVALID, "%s: argument '%s' is %%%d, which does not exist", def->name,
                   arg->name, id);
  const GwType *type = &program->values[id].type;
  if (type->dtype != arg->dtype)
    return gw_fail(GW_INVALID, "%s: argument '%s' must be %s, %%%d is %s", def->name, arg->name,
                   gw_dtype_name(arg->dtype), id, gw_dtype_name(type->dtype));
  return GW_OK;
}

GwStatus gw_op_shapes(const GwProgram *program, const GwOp *op, bool infer, GwShapes *out) {
  const GwOpDef *def = gw_op_def(op->code);
  *out = (GwShapes){0};
  memcpy(out->attr, op->attr, sizeof out->attr);
  int in_count = gw_op_in_count(def), out_count = gw_op_out_count(def);
  for (int i = 0; i < in_count; i++) {
    GW_TRY(check_input(program, def, op, i));
    out->has[i] = op->in[i] != 0;
    if (out->has[i]) out->in[i] = program->values[op->in[i]].type;
  }
  for (int i = in_count; i < GW_IN_MAX; i++)
    if (op->in[i] != 0) return gw_fail(GW_INVALID, "%s: too many arguments", def->name);
  if (infer) return def->shape(out);
  for (int i = 0; i < out_count; i++) out->out[i] = program->values[op->out[i]].type;
  return GW_OK;
}

int64_t gw_op_bytes(const GwOpDef *def, const GwShapes *shapes) {
  if (def->bytes) return def->bytes(shapes);
  int64_t bytes = 0;
  for (int i = 0; i < gw_op_in_count(def); i++) {
    if (!shapes->has[i]) continue;
    int64_t size = (int64_t)gw_type_size(&shapes->in[i]);
    bytes += def->in[i].flags & GW_ARG_INOUT ? 2 * size : size;
  }
  for (int i = 0; i < gw_op_out_count(def); i++)
    if (!(def->out[i].flags & GW_ARG_WORKSPACE)) bytes += (int64_t)gw_type_size(&shapes->out[i]);
  return bytes;
}
