/* The check of one execution: a second call whose outputs and inout arguments are copies, given to
 * the reference kernel, then compared bit for bit. Outputs are poisoned first, so that an element
 * the reference does not write can never look right by chance. */
#include "exec/check.h"

#include <stdlib.h>
#include <string.h>

struct GwCheck {
  const GwOpDef *def;
  const GwCall *call;
  GwCall again; /* in/out point to copies where the op writes */
  bool copied[GW_IN_MAX];
};

void gw_check_abort(GwCheck *check) {
  if (!check) return;
  for (int i = 0; i < GW_IN_MAX; i++)
    if (check->copied[i]) gw_buffer_destroy(check->again.in[i]);
  for (int i = 0; i < GW_OUT_MAX; i++) gw_buffer_destroy(check->again.out[i]);
  free(check);
}

GwStatus gw_check_begin(const GwOpDef *def, const GwCall *call, GwCheck **out) {
  GwCheck *check = calloc(1, sizeof *check);
  if (!check) return gw_fail(GW_MEMORY, "%s: no memory to check it", def->name);
  check->def = def;
  check->call = call;
  check->again = *call;
  memset(check->again.out, 0, sizeof check->again.out);
  for (int i = 0; i < gw_op_in_count(def); i++) {
    if (!call->in[i] || !(def->in[i].flags & GW_ARG_INOUT)) continue;
    size_t size = gw_type_size(&call->shapes.in[i]);
    check->again.in[i] = gw_buffer_create(size);
    if (!check->again.in[i]) goto failed;
    check->copied[i] = true;
    memcpy(check->again.in[i], call->in[i], size);
  }
  for (int i = 0; i < gw_op_out_count(def); i++) {
    size_t size = gw_type_size(&call->shapes.out[i]);
    check->again.out[i] = gw_buffer_create(size);
    if (!check->again.out[i]) goto failed;
    memset(check->again.out[i], 0xfb, size);
  }
  *out = check;
  return GW_OK;
failed:
  gw_check_abort(check);
  return gw_fail(GW_MEMORY, "%s: no memory to check it", def->name);
}

/* One element in words, for the message. */
static void element_text(GwDtype dtype, const void *data, int64_t i, char *out, size_t size) {
  if (dtype == GW_F32)
    snprintf(out, size, "%.9g", (double)((const float *)data)[i]);
  else if (dtype == GW_F64)
    snprintf(out, size, "%.17g", ((const double *)data)[i]);
  else if (dtype == GW_I32)
    snprintf(out, size, "%d", ((const int32_t *)data)[i]);
  else
    snprintf(out, size, "%lld", (long long)((const int64_t *)data)[i]);
}

static GwStatus compare(const char *op, const GwArg *arg, const GwType *type, const void *got,
                        const void *wanted) {
  size_t element = gw_dtype_size(type->dtype);
  for (int64_t i = 0; i < gw_type_count(type); i++) {
    if (memcmp((const char *)got + (size_t)i * element, (const char *)wanted + (size_t)i * element,
               element) == 0)
      continue;
    char is[32], should[32];
    element_text(type->dtype, got, i, is, sizeof is);
    element_text(type->dtype, wanted, i, should, sizeof should);
    return gw_fail(GW_NUMERIC, "op %s: element %lld of '%s' is %s, its reference gives %s", op,
                   (long long)i, arg->name, is, should);
  }
  return GW_OK;
}

GwStatus gw_check_end(GwCheck *check) {
  const GwOpDef *def = check->def;
  const GwCall *call = check->call;
  GwStatus status = GW_OK;
  def->reference(&check->again, 0, def->units(&call->shapes));
  for (int i = 0; i < GW_IN_MAX && status == GW_OK; i++)
    if (check->copied[i])
      status =
          compare(def->name, &def->in[i], &call->shapes.in[i], call->in[i], check->again.in[i]);
  for (int i = 0; i < gw_op_out_count(def) && status == GW_OK; i++)
    if (!(def->out[i].flags & GW_ARG_WORKSPACE))
      status =
          compare(def->name, &def->out[i], &call->shapes.out[i], call->out[i], check->again.out[i]);
  gw_check_abort(check);
  return status;
}
