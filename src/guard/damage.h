/* What injected faults do to numbers in memory and to files. */
#ifndef GW_DAMAGE_H
#define GW_DAMAGE_H

#include "train/trainer.h"

typedef struct {
  GwTrainer *trainer;
  int32_t rank;
  uint64_t element, bit; /* modulo what there is */
} GwDamage;

/* The enums are in the order of the words in GW_INJECT_LIST. */

/* A bit of the rank's share of weights (0), m (1) or v (2): of one element or of every 32nd. */
typedef enum { GW_FLIP_ONE, GW_FLIP_EVERY32 } GwFlip;
void gw_damage_state(const GwDamage *damage, int32_t tensor, GwFlip how);
/* A weight of the share becomes NaN, or infinite. */
void gw_damage_weight(const GwDamage *damage, bool infinite);
/* A bit of the rank's sums. */
void gw_damage_sums(const GwDamage *damage);
/* The slice of them that it totals, as if it had come like this: with another bit, without two
 * blocks, with one in the place of the next, with the two exchanged, or not to its end. */
typedef enum {
  GW_PAYLOAD_BIT,
  GW_PAYLOAD_LOST,
  GW_PAYLOAD_TWICE,
  GW_PAYLOAD_SWAPPED,
  GW_PAYLOAD_CUT
} GwPayload;
void gw_damage_payload(const GwDamage *damage, GwPayload how);
/* What the rank has of its own slice before it is totalled: malloc'd, NULL without memory. */
int64_t *gw_damage_keep(const GwTrainer *trainer);
/* ... is not in the total, is there twice, is all of it, is all of its last 8 elements; or half of
 * the total is gone. */
typedef enum {
  GW_TOTAL_MISSING,
  GW_TOTAL_TWICE,
  GW_TOTAL_ALONE,
  GW_TOTAL_TAIL,
  GW_TOTAL_HALF
} GwWrongTotal;
void gw_damage_total(const GwDamage *damage, const int64_t *kept, GwWrongTotal how);

/* The checkpoint of `step` loses half of a file (`torn`), or one of its bytes changes. */
GwStatus gw_damage_checkpoint(const char *run_dir, int64_t step, bool torn, uint64_t chance);

#endif
