/* Matrix products that verify themselves on request (algorithm-based fault tolerance: Huang and
 * Abraham, 1984). How, and what it can see: kernel/cpu/gemm_check.h. */
#ifndef GW_ABFT_H
#define GW_ABFT_H

#include "op/shape.h"

/* Of one program that runs: every op whose call has it works in its room and reports here. */
struct GwAbft {
  double *room; /* borrowed */
  int64_t room_count;
  int64_t faults; /* rows of products that are wrong; the rest is about the first that was found */
  int64_t row;
  double expected, found; /* its sum */
  double allowed;         /* the largest difference that is none */
  /* of the product under way */
  double bias_sum, bias_magnitude;
  int64_t recomputed; /* rows */
};

/* Doubles that a product op's check needs: its products are between the sides of its factors, which
 * are its first two inputs. */
static inline int64_t gw_abft_room(const GwShapes *shapes) {
  int64_t longest = 0;
  for (int i = 0; i < 2; i++)
    for (int d = 0; d < shapes->in[i].rank; d++)
      longest = gw_max_i64(longest, shapes->in[i].dim[d]);
  return 4 * longest;
}

#endif
