/* Recomputation: makes a program's activations fit into a limit. Instead of being kept until the
 * backward pass reads them, chosen values are computed again right before their first late reader.
 * Ops are pure, so no bit changes; only time is paid, and least is paid per byte first.
 *
 * The least is the least that the search finds, which need not be the least there is; but every
 * limit from it upwards is met, and a higher limit never takes more time than a lower one. */
#ifndef GW_RECOMPUTE_H
#define GW_RECOMPUTE_H

#include "program/op.h"

typedef struct {
  bool fits;            /* else the program is the one that needs least: what a limit must be */
  int64_t flops, bytes; /* of what is computed again; INT64_MAX when more */
  double share;         /* its estimated time over that of the program before */
  int32_t count;        /* ops that are computed again */
  int32_t by_op[GW_OP_COUNT];
} GwRecomputation;

/* Plans `program` (verified, planned or not) so that its activations take at most `limit` bytes.
 * Where that takes recomputation, the program is replaced: values get new numbers (their classes,
 * names and offsets outside the activations stay), ops that are computed again appear twice. */
GwStatus gw_recompute(GwProgram *program, int64_t limit, GwRecomputation *out);

#endif
