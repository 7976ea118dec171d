/* oneDNN's C interface, version 2. Its threads are OpenMP's, of the library that it was built with;
 * that library's own function is looked up at run time, since a second OpenMP, the compiler's,
 * would know nothing of them. */
#include "onednn_peer.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

enum { OPERANDS = 3 };
static const int roles[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};

struct OnednnMatmul {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_t primitive;
  dnnl_memory_t memory[OPERANDS];
};

void onednn_threads(int threads) {
  void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  void (*set)(int);
  memcpy(&set, &symbol, sizeof set);
  if (symbol) set(threads);
}

bool onednn_sgemm(const OnednnProduct *p) {
  bool a_plain = p->a_column == 1, b_plain = p->b_column == 1;
  return dnnl_sgemm(a_plain ? 'N' : 'T', b_plain ? 'N' : 'T', p->rows, p->columns, p->depth, 1,
                    p->a, a_plain ? p->a_row : p->a_column, p->b, b_plain ? p->b_row : p->b_column,
                    0, p->c, p->columns) == dnnl_success;
}

static bool describe(dnnl_memory_desc_t *out, int64_t rows, int64_t columns, int64_t row,
                     int64_t column, bool bf16) {
  dnnl_dims_t dims = {rows, columns}, strides = {row, column};
  return dnnl_memory_desc_init_by_strides(out, 2, dims, bf16 ? dnnl_bf16 : dnnl_f32, strides) ==
         dnnl_success;
}

static bool prepare(OnednnMatmul *m, const OnednnProduct *p) {
  dnnl_memory_desc_t types[OPERANDS];
  dnnl_matmul_desc_t operation;
  dnnl_primitive_desc_t choice;
  void *at[OPERANDS] = {(void *)(uintptr_t)p->a, (void *)(uintptr_t)p->b, p->c};
  if (!describe(&types[0], p->rows, p->depth, p->a_row, p->a_column, p->bf16) ||
      !describe(&types[1], p->depth, p->columns, p->b_row, p->b_column, p->bf16) ||
      !describe(&types[2], p->rows, p->columns, p->columns, 1, false))
    return false;
  if (dnnl_engine_create(&m->engine, dnnl_cpu, 0) != dnnl_success ||
      dnnl_stream_create(&m->stream, m->engine, dnnl_stream_default_flags) != dnnl_success ||
      dnnl_matmul_desc_init(&operation, &types[0], &types[1], NULL, &types[2]) != dnnl_success ||
      dnnl_primitive_desc_create(&choice, &operation, NULL, m->engine, NULL) != dnnl_success)
    return false;
  bool made = dnnl_primitive_create(&m->primitive, choice) == dnnl_success;
  dnnl_primitive_desc_destroy(choice);
  for (int i = 0; i < OPERANDS && made; i++)
    made = dnnl_memory_create(&m->memory[i], &types[i], m->engine, at[i]) == dnnl_success;
  return made;
}

OnednnMatmul *onednn_matmul_create(const OnednnProduct *product) {
  OnednnMatmul *matmul = calloc(1, sizeof *matmul);
  if (matmul && prepare(matmul, product)) return matmul;
  onednn_matmul_destroy(matmul);
  return NULL;
}

void onednn_matmul_destroy(OnednnMatmul *m) {
  if (!m) return;
  for (int i = 0; i < OPERANDS; i++)
    if (m->memory[i]) dnnl_memory_destroy(m->memory[i]);
  if (m->primitive) dnnl_primitive_destroy(m->primitive);
  if (m->stream) dnnl_stream_destroy(m->stream);
  if (m->engine) dnnl_engine_destroy(m->engine);
  free(m);
}

bool onednn_matmul_run(OnednnMatmul *m) {
  dnnl_exec_arg_t arguments[OPERANDS];
  for (int i = 0; i < OPERANDS; i++) arguments[i] = (dnnl_exec_arg_t){roles[i], m->memory[i]};
  return dnnl_primitive_execute(m->primitive, m->stream, OPERANDS, arguments) == dnnl_success &&
         dnnl_stream_wait(m->stream) == dnnl_success;
}
