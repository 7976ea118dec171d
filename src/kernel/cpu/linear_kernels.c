/* linear, linear_dx and linear_dw as matrix products; what follows a product (activation, residual,
 * fixed-point sum) is applied to each finished block while it is in cache. column_sum. */
#include "kernel/cpu/activation_vector.h"
#include "kernel/cpu/fixed_block.h"
#include "kernel/cpu/gemm.h"
#include "op/epilogue.h"

/* A row-major matrix of `columns` columns, and its transpose. */
static GwMatrix plain(const void *at, int64_t columns) { return (GwMatrix){at, columns, 1}; }
static GwMatrix transposed(const void *at, int64_t columns) { return (GwMatrix){at, 1, columns}; }

/* ---- what follows a product ---- */

/* All matrices have C's shape; NULL where absent. */
typedef struct {
  int64_t columns;
  GwEpilogue activation;
  const float *pre;      /* C is multiplied by the activation's slope here, */
  const float *residual; /* then this is added, */
  float *y;              /* then the activation of C goes here */
} Finish;

#define INLINE static inline __attribute__((always_inline))

/* `count` vectors of C from number i on, of n elements each; n < GW_VL: one vector. */
INLINE void finish_some(const Finish *f, GwEpilogue activation, float *c, int64_t i, int64_t n,
                        int count) {
  bool gelu = activation == GW_EPILOGUE_GELU;
  gw_vf v[GW_EXPS], pre[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) v[k] = gw_v_get(c + k * GW_VL, n);
  if (f->y) {
    if (gelu)
      gw_v_gelu_all(v, count);
    else
      GW_UNROLL for (int k = 0; k < count; k++) v[k] = gw_v_relu2(v[k]);
    GW_UNROLL for (int k = 0; k < count; k++) gw_v_put(f->y + i + k * GW_VL, v[k], n);
    return;
  }
  if (activation != GW_EPILOGUE_NONE) {
    GW_UNROLL for (int k = 0; k < count; k++) pre[k] = gw_v_get(f->pre + i + k * GW_VL, n);
    if (gelu)
      gw_v_gelu_grad_all(v, pre, count);
    else
      GW_UNROLL for (int k = 0; k < count; k++) v[k] = gw_v_relu2_grad(v[k], pre[k]);
  }
  GW_UNROLL for (int k = 0; k < count; k++) {
    if (f->residual) v[k] = gw_v_add(v[k], gw_v_get(f->residual + i + k * GW_VL, n));
    gw_v_put(c + k * GW_VL, v[k], n);
  }
}

/* n elements of C from number `first`. */
INLINE void finish_row(const Finish *f, GwEpilogue activation, float *c, int64_t first, int64_t n) {
  int64_t i = 0;
  for (; i + GW_EXPS * GW_VL <= n; i += GW_EXPS * GW_VL)
    finish_some(f, activation, c + i, first + i, GW_VL, GW_EXPS);
  for (; i + GW_VL <= n; i += GW_VL) finish_some(f, activation, c + i, first + i, GW_VL, 1);
  if (i < n) finish_some(f, activation, c + i, first + i, n - i, 1);
}

static void finish_block(void *context, float *c, int64_t c_row, int64_t row, int64_t rows,
                         int64_t column, int64_t columns, int thread) {
  (void)thread;
  const Finish *f = context;
  for (int64_t i = 0; i < rows; i++, c += c_row) {
    int64_t first = (row + i) * f->columns + column;
    if (f->activation == GW_EPILOGUE_GELU)
      finish_row(f, GW_EPILOGUE_GELU, c, first, columns);
    else if (f->activation == GW_EPILOGUE_RELU2)
      finish_row(f, GW_EPILOGUE_RELU2, c, first, columns);
    else
      finish_row(f, GW_EPILOGUE_NONE, c, first, columns);
  }
}

/* Lets f follow the product. */
static void follow(GwGemm *gemm, Finish *f) {
  gemm->finish = finish_block;
  gemm->context = f;
  gemm->beside = (GwBeside){f->pre ? f->pre : f->residual, f->columns * 4, 4};
}

/* ---- x Wᵀ and dy W ---- */

/* The product x Wᵀ + b, into C. */
static GwGemm forward_product(const GwCall *call, float *c) {
  int64_t in = gw_columns(&call->shapes.in[0]), out = gw_rows(&call->shapes.in[1]);
  GwGemm gemm = {.rows = gw_rows(&call->shapes.in[0]), .columns = out, .depth = in};
  gemm.a = plain(call->in[0], in);
  gemm.b = transposed(call->in[1], in);
  gemm.operands = (GwOperands)call->shapes.attr[0];
  gemm.c = c;
  gemm.c_row = out;
  gemm.bias = call->in[2];
  gemm.abft = call->abft;
  gemm.kept = call->kept ? &call->kept[GW_KEPT_Y] : NULL;
  return gemm;
}

void GW_KERNEL(linear)(const GwCall *call) {
  GwGemm gemm = forward_product(call, call->out[0]);
  Finish finish = {.columns = gemm.columns, .residual = call->in[3]};
  if (finish.residual) follow(&gemm, &finish);
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

void GW_KERNEL(linear_activation)(const GwCall *call) {
  GwGemm gemm = forward_product(call, call->out[1]);
  Finish finish = {
      .columns = gemm.columns, .activation = (GwEpilogue)call->shapes.attr[1], .y = call->out[0]};
  follow(&gemm, &finish);
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

void GW_KERNEL(linear_dx)(const GwCall *call) {
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  Finish finish = {.columns = in,
                   .activation = (GwEpilogue)call->shapes.attr[1],
                   .pre = call->in[2],
                   .residual = call->in[3]};
  GwGemm gemm = {.rows = gw_rows(&call->shapes.in[0]), .columns = in, .depth = out};
  gemm.a = plain(call->in[0], out);
  gemm.b = plain(call->in[1], in);
  gemm.operands = (GwOperands)call->shapes.attr[0];
  gemm.c = call->out[0];
  gemm.c_row = in;
  gemm.abft = call->abft;
  gemm.kept = call->kept ? &call->kept[GW_KEPT_DX] : NULL;
  if (finish.pre || finish.residual) follow(&gemm, &finish);
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

/* ---- dyᵀ x ---- */

static GwGemm weight_product(const GwCall *call, double operands) {
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  GwGemm gemm = {.rows = out, .columns = in, .depth = gw_rows(&call->shapes.in[0])};
  gemm.a = transposed(call->in[0], out);
  gemm.b = plain(call->in[1], in);
  gemm.operands = (GwOperands)operands;
  gemm.abft = call->abft;
  return gemm;
}

void GW_KERNEL(linear_dw)(const GwCall *call) {
  GwGemm gemm = weight_product(call, call->shapes.attr[0]);
  gemm.c = call->out[0];
  gemm.c_row = gemm.columns;
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

void GW_KERNEL(linear_sum)(const GwCall *call) {
  GwGemm gemm = weight_product(call, call->shapes.attr[2]);
  GwFixedBlock to = {.sum = call->in[2],
                     .columns = gemm.columns,
                     .number = (int64_t)call->shapes.attr[0],
                     .limit = call->shapes.attr[1],
                     .fresh = call->in[5],
                     .elements = gemm.rows * gemm.columns,
                     .signature = call->in[3],
                     .guard = call->in[4]};
  gemm.finish = gw_add_block;
  gemm.context = &to;
  gemm.beside = gw_sum_beside(&to);
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

/* Row after row is added to the sums, which stay in L1. Four rows per pass save half the traffic;
 * their order is kept. */
static void sum_columns(const GwCall *call, void *context, int64_t first, int64_t last,
                        int thread) {
  (void)context, (void)thread;
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  float *sums = call->out[0];
  memset(sums + first, 0, (size_t)(last - first) * sizeof *sums);
  for (int64_t n = 0; n < rows; n += 4) {
    const float *row = (const float *)call->in[0] + n * width;
    int64_t count = gw_min_i64(rows - n, 4);
    int64_t c = first;
    for (; c + GW_VL <= last; c += GW_VL) {
      gw_vf sum = gw_v_load(sums + c);
      for (int64_t i = 0; i < count; i++) sum = gw_v_add(sum, gw_v_load(row + i * width + c));
      gw_v_store(sums + c, sum);
    }
    for (; c < last; c++)
      for (int64_t i = 0; i < count; i++) sums[c] += row[i * width + c];
  }
}

void GW_KERNEL(column_sum)(const GwCall *call) {
  GW_KERNEL(split)(call, gw_columns(&call->shapes.in[0]), 64, sum_columns, NULL);
}
