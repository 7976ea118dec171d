/* What must hold in every world, whatever it is made of: random rounds of all that ranks exchange,
 * against a plain computation. Without cmocka, as MPI programs need it too. */
#ifndef GW_WORLD_CHECK_H
#define GW_WORLD_CHECK_H

#include "comm/world.h"

/* Collective, with the same numbers at all ranks. Arrays have up to `most` elements. GW_MISMATCH
 * says what is wrong. */
GwStatus gw_world_check(GwWorld *world, uint64_t seed, int32_t rounds, int64_t most);

#endif
