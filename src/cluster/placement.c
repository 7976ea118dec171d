/* Hosts are filled in order of their numbers, so that the same hosts give the same placement. */
#include "cluster/placement.h"

#include <stdlib.h>

#include "state/snapshot.h"

static bool usable(const GwHost *host) { return !host->lost && !host->banned; }

GwStatus gw_placement_create(int32_t hosts, int32_t slots, int32_t ranks, GwPlacement *out) {
  *out = (GwPlacement){.host_count = hosts, .slots = slots};
  out->hosts = calloc((size_t)hosts, sizeof *out->hosts);
  out->host_of = calloc((size_t)ranks, sizeof *out->host_of);
  if (out->hosts && out->host_of) return GW_OK;
  gw_placement_destroy(out);
  return gw_fail(GW_MEMORY, "no memory for %d ranks on %d hosts", ranks, hosts);
}

void gw_placement_destroy(GwPlacement *placement) {
  free(placement->hosts);
  free(placement->host_of);
  *placement = (GwPlacement){0};
}

int64_t gw_placement_room(const GwPlacement *placement) {
  int64_t room = 0;
  for (int32_t h = 0; h < placement->host_count; h++)
    room += usable(&placement->hosts[h]) ? placement->slots : 0;
  return room;
}

void gw_placement_fill(GwPlacement *placement, int32_t ranks) {
  int32_t rank = 0;
  for (int32_t h = 0; h < placement->host_count; h++)
    for (int32_t slot = 0; usable(&placement->hosts[h]) && slot < placement->slots; slot++)
      if (rank < ranks) placement->host_of[rank++] = h;
  GW_ASSERT(rank == ranks);
  placement->rank_count = ranks;
}

int32_t gw_placement_partner(const GwPlacement *placement, int32_t rank) {
  return gw_snapshot_partner(placement->host_of, placement->rank_count, placement->slots, rank);
}

/* ---- the last snapshots ---- */

GwStatus gw_snapshots_create(int32_t ranks, GwSnapshots *out) {
  *out = (GwSnapshots){.capacity = ranks};
  for (int k = 0; k < 2; k++) {
    out->map[k].step = -1;
    out->map[k].copies = calloc((size_t)ranks, sizeof *out->map[k].copies);
    if (out->map[k].copies) continue;
    gw_snapshots_destroy(out);
    return gw_fail(GW_MEMORY, "no memory for the snapshots of %d ranks", ranks);
  }
  return GW_OK;
}

void gw_snapshots_destroy(GwSnapshots *snapshots) {
  for (int k = 0; k < 2; k++) free(snapshots->map[k].copies);
  *snapshots = (GwSnapshots){0};
}

/* The older one's place becomes the newer one's. */
static GwSnapshotMap *push(GwSnapshots *snapshots) {
  GwSnapshotMap older = snapshots->map[0];
  snapshots->map[0] = snapshots->map[1];
  snapshots->map[1] = older;
  return &snapshots->map[0];
}

static GwCopy copy_on(const GwPlacement *placement, int32_t host) {
  return (GwCopy){host, placement->hosts[host].lives};
}

void gw_snapshots_taken(GwSnapshots *snapshots, const GwPlacement *placement, uint64_t epoch,
                        int64_t step) {
  GwSnapshotMap *map = push(snapshots);
  bool placed = map->step >= 0 && map->epoch == epoch;
  map->step = step;
  if (placed) return; /* the hosts are those of the epoch's others */
  map->epoch = epoch;
  map->shares = placement->rank_count;
  for (int32_t r = 0; r < map->shares; r++) {
    int32_t partner = gw_placement_partner(placement, r);
    map->copies[r][0] = copy_on(placement, placement->host_of[r]);
    map->copies[r][1] = copy_on(placement, placement->host_of[partner]);
  }
}

/* The map of `step`, made if it is among the newest two. */
static GwSnapshotMap *map_of(GwSnapshots *snapshots, int64_t step, int32_t shares) {
  GwSnapshotMap *map = snapshots->map;
  for (int k = 0; k < 2; k++)
    if (map[k].step == step) return map[k].shares == shares ? &map[k] : NULL;
  if (step < map[1].step) return NULL;
  map = step > map[0].step ? push(snapshots) : &map[1];
  map->step = step;
  map->epoch = 0;
  map->shares = shares;
  for (int32_t r = 0; r < shares; r++) map->copies[r][0].host = map->copies[r][1].host = -1;
  return map;
}

void gw_snapshots_found(GwSnapshots *snapshots, const GwPlacement *placement, int64_t step,
                        int32_t share, int32_t shares, int32_t host) {
  if (step < 0 || shares < 1 || shares > snapshots->capacity || share < 0 || share >= shares)
    return;
  GwSnapshotMap *map = map_of(snapshots, step, shares);
  if (!map) return;
  GwCopy *copies = map->copies[share];
  int known = copies[0].host == host ? 0 : copies[1].host == host ? 1 : -1; /* before it was lost */
  copies[known >= 0 ? known : copies[0].host < 0 ? 0 : 1] = copy_on(placement, host);
}

bool gw_snapshots_bad(GwSnapshots *snapshots, int64_t step, int32_t host) {
  bool some = false;
  for (int k = 0; k < 2; k++) {
    GwSnapshotMap *map = &snapshots->map[k];
    if (map->step != step || step < 0) continue;
    for (int32_t r = 0; r < map->shares; r++)
      for (int i = 0; i < 2; i++) {
        GwCopy *copy = &map->copies[r][i];
        if (copy->host < 0 || (host >= 0 && copy->host != host)) continue;
        copy->host = -1;
        some = true;
      }
  }
  return some;
}

static bool lives(const GwPlacement *placement, const GwCopy *copy) {
  if (copy->host < 0) return false;
  const GwHost *host = &placement->hosts[copy->host];
  return !host->lost && host->lives == copy->lives;
}

static bool whole(const GwSnapshotMap *map, const GwPlacement *placement) {
  for (int32_t r = 0; map->step >= 0 && r < map->shares; r++)
    if (!lives(placement, &map->copies[r][0]) && !lives(placement, &map->copies[r][1]))
      return false;
  return map->step >= 0;
}

int64_t gw_snapshots_newest(const GwSnapshots *snapshots, const GwPlacement *placement) {
  for (int k = 0; k < 2; k++)
    if (whole(&snapshots->map[k], placement)) return snapshots->map[k].step;
  return -1;
}

void gw_snapshots_cut(GwSnapshots *snapshots, int64_t step) {
  for (int k = 0; k < 2; k++)
    if (snapshots->map[k].step > step) snapshots->map[k].step = -1;
  if (snapshots->map[0].step < snapshots->map[1].step) push(snapshots);
}
