/* What a fault to be injected is, and how it is written: CLASS:key=value,... */
#ifndef GW_INJECTION_H
#define GW_INJECTION_H

#include "base/base.h"
#include "godwit/faults.h"

typedef struct {
  GwInjectClass class;
  int32_t rank;        /* -1: the class has none */
  int64_t step;        /* from 1; of damage to a checkpoint: that of this step or the next one */
  int32_t op;          /* of the lane program; -1: as the step begins */
  int32_t tensor, bit; /* 0: weights, 1: m, 2: v; bit -1: any */
  int32_t how;         /* which of the class's words, from 0 */
  double factor;       /* >= 1 */
  int64_t steps;
} GwInjection;

typedef struct {
  const char *name, *keys, *does, *event; /* see GW_INJECT_LIST */
  bool blames;
  int weight;
} GwInjectInfo;
const GwInjectInfo *gw_inject_info(GwInjectClass class);
bool gw_inject_has_key(GwInjectClass class, const char *key);
/* One of the words that a key takes, the n-th from 0 and round again; returns its length. 0: the
 * class does not have the key, or it takes numbers. */
size_t gw_inject_word(GwInjectClass class, const char *key, int n, const char **out);

/* GW_USAGE says what is wrong and what there is. */
GwStatus gw_injection_parse(const char *text, GwInjection *out);
/* All of them, for a run of so many ranks: [count], malloc'd; NULL when there are none. */
GwStatus gw_injections_parse(const char *const *texts, int32_t count, int32_t ranks,
                             GwInjection **out);

#endif
