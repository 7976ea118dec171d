/* What this machine can do at best, measured beside the thing that is judged by it: fused
 * multiply-adds and bf16 dot products that touch no memory, and reading of memory. Each is the best
 * of several short rounds, so that other work on the machine disturbs it little. */
#ifndef GW_PEAKS_H
#define GW_PEAKS_H

#include "base/pool.h"
#include "exec/cpu_features.h"

/* GFLOP/s of fp32 fused multiply-adds on all threads of the pool, two per multiply-add; 0 where no
 * loop is written for the instruction set. */
double gw_peak_fma(GwIsa isa, GwPool *pool);

/* GFLOP/s of the instruction vdpbf16ps, four per pair of products; 0 where it does not exist. */
double gw_peak_bf16(GwPool *pool);

/* GB/s of reading `bytes` of `memory` once, all threads together. To measure memory and not caches,
 * `memory` must be several times larger than these. */
double gw_peak_read(GwPool *pool, const void *memory, size_t bytes);

#endif
