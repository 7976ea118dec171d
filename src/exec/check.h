/* The check: an execution of an op against the op's reference, element by element. On the CPU the
 * bits must be equal. It is how kernels are tested, and how a run can be audited op by op. */
#ifndef GW_CHECK_H
#define GW_CHECK_H

#include "exec/backend.h"

typedef struct GwCheck GwCheck;

/* Keeps what the op will overwrite (its inout arguments). Call before the op runs. */
GwStatus gw_check_begin(const GwOpDef *def, const GwCall *call, GwCheck **out);
/* Runs the reference on the kept arguments and compares every output and inout argument; GW_NUMERIC
 * names op, argument, element, what is there and what should be. Frees the check. */
GwStatus gw_check_end(GwCheck *check);
void gw_check_abort(GwCheck *check);

#endif
