/* Scratch sizes that ops declare and the CPU kernels hold to. */
#ifndef GW_SCRATCH_H
#define GW_SCRATCH_H

#include "base/base.h"

/* Bytes per thread in which a matrix product packs its operands (kernel/cpu/gemm.h). */
enum { GW_GEMM_SCRATCH = 2 << 20 };

/* Floats from one row of logits to the next: whole vectors, and one more cache line so that the
 * rows of a power-of-two vocabulary fall in different cache sets. */
static inline int64_t gw_logits_row(int64_t vocab) { return (vocab + 15) / 16 * 16 + 16; }

#endif
