/* Scratch sizes that ops declare and the CPU kernels hold to. */
#ifndef GW_SCRATCH_H
#define GW_SCRATCH_H

#include "base/base.h"

/* Bytes per thread in which a matrix product packs its operands (kernel/cpu/gemm.h). */
enum { GW_GEMM_SCRATCH = 1 << 20 };

#endif
