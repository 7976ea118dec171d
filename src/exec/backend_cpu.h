/* The CPU backend: the vectorised kernels of one instruction set. */
#ifndef GW_BACKEND_CPU_H
#define GW_BACKEND_CPU_H

#include "exec/backend.h"
#include "exec/cpu_features.h"

/* NULL when this machine or build does not have it. */
const GwBackend *gw_backend_cpu(GwIsa isa);

/* The backend that options name: `backend` "cpu" or "reference", `isa` a name or NULL for the best.
 * GW_USAGE names what is to be had. */
GwStatus gw_backend_choose(const char *backend, const char *isa, const GwBackend **out);

#endif
