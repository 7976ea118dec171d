/* What benchmarks share: a clock for short runs, medians, and this machine's own limits, measured
 * with loops of nothing else, so that a figure can be printed as a share of what is possible here.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdint.h>

#include "base/pool.h"

/* Processor time of the calling thread, ns: what other programs take does not count. */
uint64_t bench_thread_ns(void);

/* The middle of `count` values, which get sorted. */
double bench_median(double *values, int count);

/* Operations per second of `threads` threads that do independent fused multiply-adds (2 operations
 * each) with the widest vectors; 0 where there is no such loop for the processor. */
double bench_peak_fma(int threads);
/* The same for products of bfloat16 pairs (4 operations per float of the result). */
double bench_peak_bf16(int threads);

/* Bytes per second between the processor and memory. */
typedef struct {
  double read;   /* of sums over an array */
  double write;  /* past the caches where there are such stores */
  double copy;   /* read and written bytes, from one array to another, past the caches likewise */
  double update; /* read and written bytes, of one array in place */
} BenchBandwidth;
/* `bytes` is the size of the data touched; make it several times the last cache to see memory. */
BenchBandwidth bench_bandwidth(int threads, int64_t bytes);

/* Bytes per second of reading `data` once, a part per thread: to be measured beside what is
 * compared with it, as a machine's bandwidth changes from second to second. */
double bench_read_once(GwPool *pool, const void *data, int64_t bytes);

#endif
