/* Element types and shapes, shared by programs and by tensors on disk. */
#ifndef GW_TYPE_H
#define GW_TYPE_H

#include "base/base.h"

#define GW_DTYPE_LIST(X) /* id, name in text, name in safetensors, bytes */                        \
  X(F32, "f32", "F32", 4)                                                                          \
  X(F64, "f64", "F64", 8)                                                                          \
  X(F16, "f16", "F16", 2)    /* of files only */                                                   \
  X(BF16, "bf16", "BF16", 2) /* likewise */                                                        \
  X(I32, "i32", "I32", 4)                                                                          \
  X(I64, "i64", "I64", 8)                                                                          \
  X(U64, "u64", "U64", 8)

typedef enum {
#define X(id, name, st, size) GW_##id,
  GW_DTYPE_LIST(X)
#undef X
      GW_DTYPE_COUNT
} GwDtype;

enum { GW_RANK_MAX = 4 };

typedef struct {
  GwDtype dtype;
  int32_t rank; /* 0: a scalar */
  int64_t dim[GW_RANK_MAX];
} GwType;

const char *gw_dtype_name(GwDtype dtype);
const char *gw_dtype_safetensors_name(GwDtype dtype);
/* false when no type has that name */
bool gw_dtype_from_name(const char *name, GwDtype *out);
bool gw_dtype_from_safetensors_name(const char *name, GwDtype *out);
size_t gw_dtype_size(GwDtype dtype);

int64_t gw_type_count(const GwType *type); /* elements */
size_t gw_type_size(const GwType *type);   /* bytes */
bool gw_type_equal(const GwType *a, const GwType *b);
GwType gw_type_0d(GwDtype dtype);
GwType gw_type_1d(GwDtype dtype, int64_t n);
GwType gw_type_2d(GwDtype dtype, int64_t rows, int64_t columns);

/* A named array in memory, for example a parameter or its Adam moment. */
typedef struct {
  const char *name; /* borrowed */
  GwType type;
  void *data; /* borrowed; little-endian, row-major */
} GwTensor;

#endif
