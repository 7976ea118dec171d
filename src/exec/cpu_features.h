/* The instruction sets that the CPU kernels are compiled for, and which of them this machine has.
 */
#ifndef GW_CPU_FEATURES_H
#define GW_CPU_FEATURES_H

#include "base/base.h"

/* In ascending order: each one's machines can run those before it. */
typedef enum { GW_ISA_ID_GENERIC, GW_ISA_ID_AVX2, GW_ISA_ID_AVX512, GW_ISA_ID_COUNT } GwIsa;

/* "generic", "avx2" (with FMA), "avx512" (F, VL, BW, DQ; with FMA). */
const char *gw_isa_name(GwIsa isa);
/* false when no instruction set has that name. */
bool gw_isa_from_name(const char *name, GwIsa *out);
/* Whether processor, kernel and this build can run it; generic always can. */
bool gw_isa_available(GwIsa isa);
/* The last available one. */
GwIsa gw_isa_best(void);

/* The features that matter to godwit, "avx2 fma avx512f ...", cut to `size`. */
void gw_cpu_features_text(char *out, size_t size);

#endif
