/* Fusion: rewrites a program so that what follows a matrix product is applied to its result while
 * that is in cache. The same values, bit for bit, in fewer ops that move fewer bytes. */
#ifndef GW_FUSE_H
#define GW_FUSE_H

#include "program/op.h"

/* For programs whose gradients, if wanted, already stand in them, and that are not planned yet.
 * Values get new numbers: `kept` (its end is NULL) points to those that the caller reads or writes
 * itself; they stay, and are renumbered. All others must be read by ops only. Failure is the
 * program's status. */
void gw_fuse(GwProgram *program, GwValueId *const *kept);

#endif
