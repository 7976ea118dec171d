/* Which host each rank runs on, and which hosts hold the shares of the last snapshots. Hosts are
 * numbers; a host that was lost and came back has forgotten everything it held. */
#ifndef GW_PLACEMENT_H
#define GW_PLACEMENT_H

#include "base/base.h"
#include "godwit/status.h"

typedef struct {
  bool lost;
  bool banned;     /* it computed wrongly too often */
  int32_t strikes; /* wrong computations */
  int32_t lives;   /* how often it was lost */
} GwHost;

typedef struct {
  GwHost *hosts;
  int32_t host_count, slots; /* slots: ranks that a host takes */
  int32_t *host_of;          /* [ranks]; the first `rank_count` are placed */
  int32_t rank_count;
} GwPlacement;

GwStatus gw_placement_create(int32_t hosts, int32_t slots, int32_t ranks, GwPlacement *out);
void gw_placement_destroy(GwPlacement *placement); /* a zeroed one is fine */

/* Ranks that the usable hosts can take. */
int64_t gw_placement_room(const GwPlacement *placement);
/* Puts `ranks` ranks on the usable hosts, in order; they must fit. */
void gw_placement_fill(GwPlacement *placement, int32_t ranks);
/* The rank whose host holds a second copy of `rank`'s share: on another host where there is one. */
int32_t gw_placement_partner(const GwPlacement *placement, int32_t rank);

/* ---- the last snapshots ---- */

/* Where a copy of a share lies: valid as long as the host lives on. */
typedef struct {
  int32_t host, lives; /* host -1: there is none */
} GwCopy;

typedef struct {
  int64_t step;   /* -1: none */
  uint64_t epoch; /* whose ranks hold it, placed as they are; 0: as they were found */
  int32_t shares;
  GwCopy (*copies)[2];
} GwSnapshotMap;

/* Hosts keep the last two: while a new one is taken the one before is still whole. */
typedef struct {
  GwSnapshotMap map[2]; /* the newer first */
  int32_t capacity;     /* shares */
} GwSnapshots;

GwStatus gw_snapshots_create(int32_t ranks, GwSnapshots *out);
void gw_snapshots_destroy(GwSnapshots *snapshots); /* a zeroed one is fine */

/* Every rank of `epoch`, placed so, has a copy of its share of `step` on its host and one on its
 * partner's. */
void gw_snapshots_taken(GwSnapshots *snapshots, const GwPlacement *placement, uint64_t epoch,
                        int64_t step);
/* A host says that it holds share `share` of `shares` of the state after `step`. */
void gw_snapshots_found(GwSnapshots *snapshots, const GwPlacement *placement, int64_t step,
                        int32_t share, int32_t shares, int32_t host);
/* What `host`, or -1: anybody, holds of `step` counts no longer; whether it held anything. */
bool gw_snapshots_bad(GwSnapshots *snapshots, int64_t step, int32_t host);
/* The newest step of which every share has a copy on a host that lives; -1: there is none. */
int64_t gw_snapshots_newest(const GwSnapshots *snapshots, const GwPlacement *placement);
/* The run goes on from `step`: what is beyond it counts no longer. */
void gw_snapshots_cut(GwSnapshots *snapshots, int64_t step);

#endif
