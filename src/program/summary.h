/* What a program costs: totals over its ops and its memory, for people and for planning. */
#ifndef GW_SUMMARY_H
#define GW_SUMMARY_H

#include "program/op.h"

typedef struct {
  int64_t count, flops, bytes;
} GwOpTotal;

typedef struct {
  int64_t params;                      /* elements of class param */
  int64_t values, ops;                 /* how many */
  int64_t flops;                       /* of one run */
  int64_t bytes;                       /* least memory traffic of one run */
  int64_t class_bytes[GW_CLASS_COUNT]; /* activations: 0 until planned */
  int64_t scratch_bytes;               /* per thread; 0 until planned */
  GwOpTotal by_op[GW_OP_COUNT];
} GwProgramSummary;

/* Sums saturate at INT64_MAX. The program must be one that gw_program_verify accepts. */
GwProgramSummary gw_program_summarise(const GwProgram *program);

/* A table of op kinds by FLOPs, then memory by class; one line per fact, human units. */
void gw_program_print_summary(const GwProgram *program, FILE *out);

#endif
