/* What the CPU kernels share: their names per instruction set, and splitting work over the pool.
 *
 * Every file here is compiled once per instruction set. Kernel `name` is GW_KERNEL(name); it must
 * equal the reference of its op bit for bit for every shape, thread count and alignment. */
#ifndef GW_KERNEL_H
#define GW_KERNEL_H

#include "kernel/cpu/simd.h"
#include "op/shape.h"

#if defined(GW_ISA_AVX512)
#define GW_KERNEL(name) gw_cpu_avx512_##name
#elif defined(GW_ISA_AVX2)
#define GW_KERNEL(name) gw_cpu_avx2_##name
#else
#define GW_KERNEL(name) gw_cpu_generic_##name
#endif

typedef void GwKernel(const GwCall *call);

#define GW_OP(id, name) GwKernel GW_KERNEL(name);
#include "program/op.def"
#undef GW_OP

/* Splits [0, count) into ranges of at least `grain` (about 4 per thread) and calls work for each;
 * `thread` indexes call->scratch. */
typedef void GwRange(const GwCall *call, void *context, int64_t first, int64_t last, int thread);
void GW_KERNEL(split)(const GwCall *call, int64_t count, int64_t grain, GwRange *work,
                      void *context);

static inline void *gw_scratch(const GwCall *call, int thread) {
  return call->scratch + (size_t)thread * call->scratch_bytes;
}

#endif
