/* Asks the compiler's run-time support, which also checks that the operating system saves the wide
 * registers. */
#include "exec/cpu_features.h"

#include <stdio.h>
#include <string.h>

static const char *const isa_names[GW_ISA_ID_COUNT] = {"generic", "avx2", "avx512"};

const char *gw_isa_name(GwIsa isa) {
  GW_ASSERT((unsigned)isa < GW_ISA_ID_COUNT);
  return isa_names[isa];
}

bool gw_isa_from_name(const char *name, GwIsa *out) {
  for (int i = 0; i < GW_ISA_ID_COUNT; i++) {
    if (strcmp(name, isa_names[i]) != 0) continue;
    *out = (GwIsa)i;
    return true;
  }
  return false;
}

GwIsa gw_isa_best(void) {
  int best = GW_ISA_ID_COUNT - 1;
  while (!gw_isa_available((GwIsa)best)) best--;
  return (GwIsa)best;
}

#if defined(__x86_64__)

/* The builtin takes literals only. */
#define FEATURE_LIST(X)                                                                            \
  X("avx2") X("fma") X("avx512f") X("avx512vl") X("avx512bw") X("avx512dq") X("avx512bf16")

static bool has(const char *feature) {
#define X(name)                                                                                    \
  if (strcmp(feature, name) == 0) return __builtin_cpu_supports(name) != 0;
  FEATURE_LIST(X)
#undef X
  return false;
}

bool gw_isa_available(GwIsa isa) {
  bool avx2 = has("avx2") && has("fma");
  switch (isa) {
  case GW_ISA_ID_GENERIC: return true;
  case GW_ISA_ID_AVX2: return avx2;
  case GW_ISA_ID_AVX512:
    return avx2 && has("avx512f") && has("avx512vl") && has("avx512bw") && has("avx512dq");
  case GW_ISA_ID_COUNT: break;
  }
  return false;
}

void gw_cpu_features_text(char *out, size_t size) {
  static const char *const features[] = {
#define X(name) name,
      FEATURE_LIST(X)
#undef X
  };
  size_t used = 0;
  out[0] = 0;
  for (size_t i = 0; i < GW_COUNT_OF(features); i++) {
    if (!has(features[i]) || used + strlen(features[i]) + 2 > size) continue;
    used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", features[i]);
  }
}

#else

bool gw_isa_available(GwIsa isa) { return isa == GW_ISA_ID_GENERIC; }

void gw_cpu_features_text(char *out, size_t size) { snprintf(out, size, "none that godwit uses"); }

#endif
