/* When gradients are final: their exchange with other nodes may begin before the lane ends. */
#ifndef GW_FINAL_SUMS_H
#define GW_FINAL_SUMS_H

#include "program/program.h"

/* from[i], i up to program->op_count: before op i runs (op_count: at the end), all sums from
 * element from[i] of the accum buffer on have been added to for the last time. Elements [begin,
 * end) are sums. The program must be planned: values have their offsets. */
void gw_final_sums(const GwProgram *program, int64_t begin, int64_t end, int64_t *from);

#endif
