/* What injected faults do to numbers in memory and to files. */
#ifndef GW_DAMAGE_H
#define GW_DAMAGE_H

#include "train/trainer.h"

typedef struct {
  GwTrainer *trainer;
  int32_t rank;
  uint64_t element, bit; /* modulo what there is */
} GwDamage;

/* A bit of the rank's share of weights (0), m (1) or v (2). */
void gw_damage_state(const GwDamage *damage, int32_t tensor);
/* A weight of the share becomes NaN. */
void gw_damage_weight(const GwDamage *damage);
/* A bit of the rank's sums: of any, or of the slice that it totals. */
void gw_damage_sums(const GwDamage *damage, bool slice);
/* What the rank has of its own slice before it is totalled: malloc'd, NULL without memory. */
int64_t *gw_damage_keep(const GwTrainer *trainer);
/* ... is taken out of the total. */
void gw_damage_total(const GwDamage *damage, const int64_t *kept);

/* The checkpoint of `step` loses half of a file (`torn`), or one of its bytes changes. */
GwStatus gw_damage_checkpoint(const char *run_dir, int64_t step, bool torn, uint64_t chance);

#endif
