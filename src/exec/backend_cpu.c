/* One table of kernels per instruction set, each made by kernel/cpu/table.c. */
#include "exec/backend_cpu.h"

#include <string.h>

typedef void Kernel(const GwCall *call);
extern Kernel *const gw_cpu_generic_kernels[GW_OP_COUNT];
#if defined(__x86_64__)
extern Kernel *const gw_cpu_avx2_kernels[GW_OP_COUNT];
extern Kernel *const gw_cpu_avx512_kernels[GW_OP_COUNT];
#endif

static void run_kernel(const GwBackend *backend, GwOpcode code, const GwCall *call) {
  backend->kernels[code](call);
}

const GwBackend *gw_backend_cpu(GwIsa isa) {
  static const GwBackend backends[GW_ISA_ID_COUNT] = {
    [GW_ISA_ID_GENERIC] = {"generic", run_kernel, gw_cpu_generic_kernels},
#if defined(__x86_64__)
    [GW_ISA_ID_AVX2] = {"avx2", run_kernel, gw_cpu_avx2_kernels},
    [GW_ISA_ID_AVX512] = {"avx512", run_kernel, gw_cpu_avx512_kernels},
#endif
  };
  return backends[isa].run && gw_isa_available(isa) ? &backends[isa] : NULL;
}

GwStatus gw_backend_choose(const char *backend, const char *isa, const GwBackend **out) {
  if (backend && strcmp(backend, "reference") == 0) {
    *out = gw_backend_reference();
    return GW_OK;
  }
  if (backend && strcmp(backend, "cpu") != 0)
    return gw_fail(GW_USAGE, "backend '%s' is not known: use cpu or reference", backend);
  GwIsa wanted = gw_isa_best();
  if (isa && !gw_isa_from_name(isa, &wanted))
    return gw_fail(GW_USAGE, "instruction set '%s' is not known: use generic, avx2 or avx512", isa);
  const GwBackend *found = gw_backend_cpu(wanted);
  if (!found)
    return gw_fail(GW_USAGE, "this processor has no %s: the best it has is %s", isa,
                   gw_isa_name(gw_isa_best()));
  *out = found;
  return GW_OK;
}
