/* A backend runs one op at a time. `reference` runs the reference kernels of src/op, any unit on
 * any thread; `cpu` runs the vectorised kernels of one instruction set. Both give the same bits. */
#ifndef GW_BACKEND_H
#define GW_BACKEND_H

#include "base/arena.h"
#include "program/op.h"

typedef struct GwBackend GwBackend;
struct GwBackend {
  const char *name;
  void (*run)(const GwBackend *backend, GwOpcode code, const GwCall *call);
  void (*const *kernels)(const GwCall *call); /* by opcode; NULL for the reference */
};

const GwBackend *gw_backend_reference(void);

#endif
