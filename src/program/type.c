/* Element types and shapes. */
#include "program/type.h"

#include <string.h>

static const struct {
  const char *name, *safetensors;
  size_t size;
} dtypes[] = {
#define X(id, name, st, size) {name, st, size},
    GW_DTYPE_LIST(X)
#undef X
};

const char *gw_dtype_name(GwDtype dtype) { return dtypes[dtype].name; }
const char *gw_dtype_safetensors_name(GwDtype dtype) { return dtypes[dtype].safetensors; }
size_t gw_dtype_size(GwDtype dtype) { return dtypes[dtype].size; }

bool gw_dtype_from_name(const char *name, GwDtype *out) {
  for (size_t i = 0; i < GW_COUNT_OF(dtypes); i++) {
    if (strcmp(dtypes[i].name, name) != 0) continue;
    *out = (GwDtype)i;
    return true;
  }
  return false;
}

bool gw_dtype_from_safetensors_name(const char *name, GwDtype *out) {
  for (size_t i = 0; i < GW_COUNT_OF(dtypes); i++) {
    if (strcmp(dtypes[i].safetensors, name) != 0) continue;
    *out = (GwDtype)i;
    return true;
  }
  return false;
}

int64_t gw_type_count(const GwType *type) {
  int64_t count = 1;
  for (int i = 0; i < type->rank; i++) count *= type->dim[i];
  return count;
}

size_t gw_type_size(const GwType *type) {
  return (size_t)gw_type_count(type) * gw_dtype_size(type->dtype);
}

bool gw_type_equal(const GwType *a, const GwType *b) {
  if (a->dtype != b->dtype || a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i]) return false;
  return true;
}

GwType gw_type_0d(GwDtype dtype) { return (GwType){.dtype = dtype}; }

GwType gw_type_1d(GwDtype dtype, int64_t n) {
  return (GwType){.dtype = dtype, .rank = 1, .dim = {n}};
}

GwType gw_type_2d(GwDtype dtype, int64_t rows, int64_t columns) {
  return (GwType){.dtype = dtype, .rank = 2, .dim = {rows, columns}};
}
