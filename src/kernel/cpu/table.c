/* The table of this instruction set's kernels, one per row of op.def: a missing one does not link.
 */
#include "kernel/cpu/kernel.h"

GwKernel *const GW_KERNEL(kernels)[GW_OP_COUNT] = {
#define GW_OP(id, name) [GW_OP_##id] = GW_KERNEL(name),
#include "program/op.def"
#undef GW_OP
};
