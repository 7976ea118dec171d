/* The program: a flat list of ops over typed values. A model is code that emits one; the same
 * object is run, checked, printed, priced and planned.
 *
 * Values are numbered from 1 (0 means "none"); a value belongs to a class that says which buffer it
 * lives in, and after planning has an offset there. Ops are executed in order. An op reads its
 * inputs and creates its outputs (numbered consecutively); arguments marked INOUT are updated in
 * place and may only be of the classes accum and state. What an op means stands in src/op/<op>.c.
 */
#ifndef GW_PROGRAM_H
#define GW_PROGRAM_H

#include <stdio.h>

#include "program/type.h"

enum { GW_IN_MAX = 8, GW_OUT_MAX = 3, GW_ATTR_MAX = 6, GW_NAME_MAX = 64 };

typedef enum {
#define GW_OP(id, name) GW_OP_##id,
#include "program/op.def"
#undef GW_OP
  GW_OP_COUNT
} GwOpcode;

#define GW_CLASS_LIST(X) /* id, name, what lives there */                                          \
  X(PARAM, "param", "parameters")                                                                  \
  X(STATE, "state", "optimizer state, key/value caches")                                           \
  X(ACCUM, "accum", "fixed-point gradient sums, signatures, counters")                             \
  X(INPUT, "input", "what the driver fills in before a run")                                       \
  X(ACTIVATION, "activation", "everything that lives only inside a run")

typedef enum {
#define X(id, name, text) GW_CLASS_##id,
  GW_CLASS_LIST(X)
#undef X
      GW_CLASS_COUNT
} GwClass;

typedef int32_t GwValueId;

typedef struct {
  char name[GW_NAME_MAX]; /* may be empty for activations */
  GwType type;
  GwClass class;
  int64_t offset; /* bytes from the start of its class's buffer; activations: -1 until planned */
} GwValue;

typedef struct {
  GwOpcode code;
  GwValueId in[GW_IN_MAX];
  GwValueId out[GW_OUT_MAX];
  double attr[GW_ATTR_MAX];
} GwOp;

typedef struct {
  char name[GW_NAME_MAX];
  GwValue *values; /* values[0] is unused */
  int32_t value_count;
  GwOp *ops;
  int32_t op_count;
  size_t value_capacity, op_capacity;
  int64_t class_bytes[GW_CLASS_COUNT]; /* activations: after planning */
  int64_t scratch_bytes;               /* per thread, after planning */
  bool planned;
  GwStatus status; /* the first failure while building; emits after it do nothing */
} GwProgram;

void gw_program_init(GwProgram *program, const char *name);
void gw_program_deinit(GwProgram *program);

/* Declares a value; 0 when the program has already failed. The name may be NULL. */
GwValueId gw_value_add(GwProgram *program, GwClass class, GwType type, const char *name);

/* Appends an op: infers the outputs' types, creates the outputs, returns the first output's id (0
 * when the op has no outputs or the program has failed). `in` holds GW_IN_MAX ids, `attr`
 * GW_ATTR_MAX numbers. */
GwValueId gw_emit(GwProgram *program, GwOpcode code, const GwValueId *in, const double *attr);
#define GW_IN(...) ((const GwValueId[GW_IN_MAX]){__VA_ARGS__})
#define GW_ATTR(...) ((const double[GW_ATTR_MAX]){__VA_ARGS__})

/* Marks the program as failed (unless it already is) with gw_fail's latest message. */
void gw_program_fail(GwProgram *program, GwStatus status);

GwValueId gw_value_find(const GwProgram *program, GwClass class, const char *name);

/* Checks every rule of the form: ids in range, defined before use, written once, classes of inout
 * arguments, types equal to what the ops' shape rules say, offsets in range and, for planned
 * programs, no overlap of values that live at the same time. The message names op and value. */
GwStatus gw_program_verify(const GwProgram *program);

/* First and last op index at which each value is alive (activations: from the op that makes it to
 * its last reader; others: the whole program). Arrays of value_count entries. */
void gw_program_lifetimes(const GwProgram *program, int32_t *first, int32_t *last);

/* The text form. One line per value that no op makes, one line per op; behind ';' stand FLOPs and
 * bytes, which the parser skips. Parsing gives back an equal program. */
void gw_program_print(const GwProgram *program, FILE *out);
GwStatus gw_program_parse(const char *name, const char *text, size_t size, GwProgram *out);
bool gw_program_equal(const GwProgram *a, const GwProgram *b);

#endif
