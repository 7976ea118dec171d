/* linear, linear_dx and linear_dw as matrix products; column_sum. */
#include "kernel/cpu/gemm.h"

/* A row-major matrix of `columns` columns, and its transpose. */
static GwMatrix plain(const void *at, int64_t columns) { return (GwMatrix){at, columns, 1}; }
static GwMatrix transposed(const void *at, int64_t columns) { return (GwMatrix){at, 1, columns}; }

void GW_KERNEL(linear)(const GwCall *call) {
  int64_t in = gw_columns(&call->shapes.in[0]), out = gw_rows(&call->shapes.in[1]);
  GwGemm gemm = {.rows = gw_rows(&call->shapes.in[0]), .columns = out, .depth = in};
  gemm.a = plain(call->in[0], in);
  gemm.b = transposed(call->in[1], in);
  gemm.c = call->out[0];
  gemm.c_row = out;
  gemm.bias = call->in[2];
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

void GW_KERNEL(linear_dx)(const GwCall *call) {
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  GwGemm gemm = {.rows = gw_rows(&call->shapes.in[0]), .columns = in, .depth = out};
  gemm.a = plain(call->in[0], out);
  gemm.b = plain(call->in[1], in);
  gemm.c = call->out[0];
  gemm.c_row = in;
  GW_KERNEL(gemm)(call->pool, &gemm, call->scratch);
}

void GW_KERNEL(linear_dw)(const GwCall *call) {
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  GwGemm gemm = {.rows = out, .columns = in, .depth = gw_rows(&call->shapes.in[0])};
  gemm.a = transposed(call->in[0], out);
  gemm.b = plain(call->in[1], in);
  gemm.c = call->out[0];
  gemm.c_row = in;
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
