/* What an op is: one GwOpDef per row of op.def, defined in src/op/<op>.c.
 *
 * The same source files are compiled a second time in double precision (GW_REAL_IS_DOUBLE) as the
 * oracle for gradient tests: there every f32 value is an array of doubles. */
#ifndef GW_OP_H
#define GW_OP_H

#include "base/pool.h"
#include "base/rng.h"
#include "program/program.h"

typedef enum {
  GW_ARG_OPTIONAL = 1, /* may be absent (id 0) */
  GW_ARG_INOUT = 2,    /* updated in place; class accum or state (optimizer ops: also param) */
  GW_ARG_CONSTANT = 4, /* no gradient flows into it */
  GW_ARG_WORKSPACE = 8 /* an output that is only room to work in: its contents mean nothing */
} GwArgFlags;

typedef struct {
  const char *name;
  GwDtype dtype;
  int flags;
} GwArg;

/* The types and attributes of one op, which decide its outputs, cost and scratch. */
typedef struct {
  GwType in[GW_IN_MAX];
  bool has[GW_IN_MAX];
  GwType out[GW_OUT_MAX];
  double attr[GW_ATTR_MAX];
} GwShapes;

/* Names the randomness of a lane: dropout is a pure function of it and the op's site number. */
typedef struct {
  uint64_t seed;
  int64_t step;
  int32_t lane;
} GwLaneKey;

/* What products write down when they are asked to verify themselves (op/abft.h). */
typedef struct GwAbft GwAbft;

/* Packed weights that outlive the call (op/kept.h). */
typedef struct GwKept GwKept;

/* One execution of one op. */
typedef struct {
  GwShapes shapes;
  void *in[GW_IN_MAX]; /* NULL when absent; only INOUT arguments may be written through it */
  void *out[GW_OUT_MAX];
  GwLaneKey key;
  GwPool *pool;
  char *scratch; /* scratch_bytes for each thread of the pool, 64-byte aligned */
  size_t scratch_bytes;
  GwAbft *abft; /* NULL: nobody asked; of the fast kernels only */
  GwKept *kept; /* the weight's, [GW_KEPT_COUNT]; NULL: packed anew each time */
} GwCall;

typedef struct GwGradient GwGradient;
typedef struct GwExample GwExample;

typedef struct {
  const char *name;
  const char *formula; /* one line for people */
  GwArg in[GW_IN_MAX];
  GwArg out[GW_OUT_MAX];
  const char *attr[GW_ATTR_MAX];
  bool is_loss; /* its gradient rule runs without an incoming gradient */

  /* The shape rule: checks in/attr, sets out; the message says what is wrong. */
  GwStatus (*shape)(GwShapes *shapes);
  /* The gradient rule: emits ops; NULL where the op has none. */
  void (*gradient)(GwGradient *gradient, const GwOp *op);
  /* Arithmetic operations (a fused multiply-add counts 2, any other operation or function 1); may
   * read small inputs of `call` when it depends on data (then an upper bound with call NULL). */
  int64_t (*flops)(const GwShapes *shapes);
  /* Least bytes an execution must move, where that is not each value once: lookups touch a part. */
  int64_t (*bytes)(const GwShapes *shapes);
  /* Scratch that the fast kernels need, bytes per thread; NULL for none. */
  int64_t (*scratch)(const GwShapes *shapes);
  /* Independent units of the result: any subset can be computed alone. */
  int64_t (*units)(const GwShapes *shapes);
  /* The reference kernel: computes units [first, last) and nothing else. */
  void (*reference)(const GwCall *call, int64_t first, int64_t last);
  /* Fills in one random instance for the property test: shapes, attributes, ranges of inputs. */
  void (*example)(GwExample *example);
  /* Largest relative error allowed to a kernel that is not bit-equal (CUDA), scaled by the output's
   * largest magnitude. */
  double bound;
} GwOpDef;

const GwOpDef *gw_op_def(GwOpcode code);
GwOpcode gw_op_code(const GwOpDef *def); /* of one of the table's own */
bool gw_op_from_name(const char *name, GwOpcode *out);
int gw_op_in_count(const GwOpDef *def);
int gw_op_out_count(const GwOpDef *def);
int gw_op_attr_count(const GwOpDef *def);

/* Collects the types and attributes of `op`; runs the shape rule when `infer`. */
GwStatus gw_op_shapes(const GwProgram *program, const GwOp *op, bool infer, GwShapes *out);

/* Least bytes an execution must move: what the op's own rule says, or each value read once and
 * written once, no workspace. */
int64_t gw_op_bytes(const GwOpDef *def, const GwShapes *shapes);

/* The op files define their GwOpDef under this name, once per real type. */
#ifdef GW_REAL_IS_DOUBLE
#define GW_OP_DEF(name) gw_op_##name##_f64
#else
#define GW_OP_DEF(name) gw_op_##name
#endif

/* ---- gradient rules (implemented in gradient.c, driven by pass/autodiff.c) ---- */

/* The program that the gradient ops are emitted into. */
GwProgram *gw_gradient_program(GwGradient *gradient);
/* dL/d(output i of op): its value, or 0 when the loss does not depend on it. */
GwValueId gw_gradient_out(const GwGradient *gradient, const GwOp *op, int i);
/* Whether anybody wants dL/d(value): parameters and what depends on them. */
bool gw_gradient_wanted(const GwGradient *gradient, GwValueId value);
/* Adds `d` to dL/d(value); for a parameter it goes to its fixed-point sum at once. */
void gw_gradient_add(GwGradient *gradient, GwValueId value, GwValueId d);
/* The fixed-point sum of a parameter, for rules that add to it directly: each call is for one op
 * that does. */
typedef struct {
  GwValueId sum, signature, guard;
  GwValueId fresh;     /* for the program's first addition to this sum; 0 for later ones */
  double first, limit; /* attributes of accumulating ops */
} GwAccumulator;
GwAccumulator gw_gradient_accumulator(GwGradient *gradient, GwValueId param);

/* ---- examples (implemented by the property test) ---- */

typedef enum {
  GW_FILL_NORMAL,    /* standard normal times `scale` */
  GW_FILL_POSITIVE,  /* uniform in (0.1, 1.1) times scale */
  GW_FILL_BELOW,     /* integers in [low, high) */
  GW_FILL_POSITIONS, /* look-back distances: row n may see at most low + n mod high rows back */
  GW_FILL_SLOTS      /* rows in slots of high rows, the last slot first: low + slot high */
} GwFill;

enum {
  GW_EXAMPLE_LONG = 4097,
  GW_EXAMPLE_LARGE = 4 /* as long_size: where large arrays go another way, large ones */
};

struct GwExample {
  GwRng rng;
  GwShapes shapes; /* in and attr to be filled; has[] set where present */
  int sizes;       /* how many were drawn */
  int long_size;   /* the one of them, from 1 on, that is to be very long; 0 for none */
  struct {
    GwFill fill;
    double scale;
    int64_t low, high;
    bool param; /* the gradient is wanted through its accumulator */
  } in[GW_IN_MAX];
};

#endif
