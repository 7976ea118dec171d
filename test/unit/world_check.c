/* Every value is a function of (seed, round, rank, element), so each rank knows what all have. */
#include "world_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { GATHER_MAX = 9000 }; /* bytes: more than go at once */

typedef struct {
  GwWorld *world;
  const GwPlace *place;
  int64_t most;
  int64_t **sums; /* [node_ranks] */
  unsigned char *data, *mine, *all;
  int64_t *first;         /* [ranks + 1] */
  unsigned char **passed; /* [2 ranks]: what ranks give, then what this one gets */
} Check;

static uint64_t value(uint64_t seed, int64_t rank, int64_t element) {
  uint64_t mixed = seed + (uint64_t)rank * UINT64_C(0x9e3779b97f4a7c15) +
                   (uint64_t)element * UINT64_C(0xd1342543de82ef95);
  mixed = (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
  return mixed ^ mixed >> 32;
}

/* Uneven slices of [0, count), about a quarter of them empty. */
static void cut(Check *check, GwRng *rng, int64_t count) {
  check->first[0] = 0;
  for (int32_t i = 1; i < check->place->ranks; i++) {
    int64_t left = count - check->first[i - 1];
    bool empty = gw_rng_below(rng, 4) == 0;
    check->first[i] =
        check->first[i - 1] + (empty ? 0 : (int64_t)gw_rng_below(rng, (uint64_t)left + 1));
  }
  check->first[check->place->ranks] = count;
}

static GwStatus check_gather(Check *check, GwRng *rng, uint64_t seed) {
  static const size_t sizes[] = {0, 1, 8, 4095, 4096, 4097};
  size_t pick = (size_t)gw_rng_below(rng, 8);
  size_t bytes = pick < GW_COUNT_OF(sizes) ? sizes[pick] : (size_t)gw_rng_below(rng, GATHER_MAX);
  for (size_t i = 0; i < bytes; i++)
    check->mine[i] = (unsigned char)value(seed, check->place->rank, (int64_t)i);
  GW_TRY(gw_world_gather(check->world, check->mine, bytes, check->all));
  for (int32_t rank = 0; rank < check->place->ranks; rank++)
    for (size_t i = 0; i < bytes; i++)
      if (check->all[(size_t)rank * bytes + i] != (unsigned char)value(seed, rank, (int64_t)i))
        return gw_fail(GW_MISMATCH, "gather of %zu bytes: byte %zu of rank %d", bytes, i, rank);
  return GW_OK;
}

/* Reduces what the ranks have filled in. */
static GwStatus check_totals(Check *check, int64_t count, uint64_t seed) {
  const GwPlace *place = check->place;
  const int64_t *own = check->sums[place->node_rank];
  GW_TRY(gw_world_reduce(check->world, check->sums, check->first));
  for (int64_t i = 0; i < count; i++) {
    uint64_t total = value(seed, place->rank, i);
    bool mine = check->first[place->rank] <= i && i < check->first[place->rank + 1];
    for (int32_t rank = 0; rank < place->ranks && mine; rank++)
      if (rank != place->rank) total += value(seed, rank, i);
    if ((uint64_t)own[i] != total)
      return gw_fail(GW_MISMATCH, "reduce of %lld: element %lld, %s", (long long)count,
                     (long long)i, mine ? "a total" : "not to be touched");
  }
  return gw_world_barrier(check->world);
}

static GwStatus check_reduce(Check *check, GwRng *rng, uint64_t seed) {
  const GwPlace *place = check->place;
  int64_t count = (int64_t)gw_rng_below(rng, (uint64_t)check->most + 1);
  int64_t *own = check->sums[place->node_rank];
  cut(check, rng, count);
  for (int64_t i = 0; i < count; i++) own[i] = (int64_t)value(seed, place->rank, i);
  GW_TRY(gw_world_barrier(check->world));
  return check_totals(check, count, seed);
}

/* The same, begun while ranks still fill in their arrays from the end; some do not begin early. */
static GwStatus check_early(Check *check, GwRng *rng, uint64_t seed) {
  const GwPlace *place = check->place;
  int64_t count = (int64_t)gw_rng_below(rng, (uint64_t)check->most + 1), done = count;
  int64_t *own = check->sums[place->node_rank];
  uint64_t pace = 1 + value(seed, place->rank, -1) % (uint64_t)(count / 4 + 1);
  cut(check, rng, count);
  for (int64_t i = 0; i < count; i++) own[i] = -7; /* not to be taken for a sum */
  if (value(seed, place->rank, -2) % 4 != 0)
    gw_world_reduce_early(check->world, check->sums, check->first);
  while (done > 0) {
    int64_t end = done;
    done = gw_max_i64(0, done - (int64_t)pace);
    for (int64_t i = done; i < end; i++) own[i] = (int64_t)value(seed, place->rank, i);
    for (int tries = 0; tries < 3; tries++) GW_TRY(gw_world_reduce_poll(check->world, done));
  }
  GW_TRY(gw_world_barrier(check->world));
  return check_totals(check, count, seed);
}

static GwStatus check_spread(Check *check, GwRng *rng, uint64_t seed) {
  const GwPlace *place = check->place;
  int64_t count = (int64_t)gw_rng_below(rng, (uint64_t)check->most * sizeof(int64_t) + 1);
  cut(check, rng, count);
  for (int64_t i = check->first[place->rank]; i < check->first[place->rank + 1]; i++)
    check->data[i] = (unsigned char)value(seed, place->rank, i);
  GW_TRY(gw_world_spread(check->world, check->data, check->first));
  GW_TRY(gw_world_barrier(check->world));
  for (int32_t rank = 0; rank < place->ranks; rank++)
    for (int64_t i = check->first[rank]; i < check->first[rank + 1]; i++)
      if (check->data[i] != (unsigned char)value(seed, rank, i))
        return gw_fail(GW_MISMATCH, "spread of %lld bytes: byte %lld of rank %d", (long long)count,
                       (long long)i, rank);
  return gw_world_barrier(check->world);
}

/* A rank of another node than that of `rank`, which there is. */
static int32_t rank_elsewhere(const Check *check, GwRng *rng, int32_t rank) {
  int32_t node = gw_world_node_of(check->world, rank), other;
  do other = (int32_t)gw_rng_below(rng, (uint64_t)check->place->ranks);
  while (gw_world_node_of(check->world, other) == node);
  return other;
}

static GwStatus pass(Check *check, const int32_t *to, const int64_t *bytes, void **theirs,
                     uint64_t seed) {
  const GwPlace *place = check->place;
  for (int64_t i = 0; i < bytes[place->rank]; i++)
    check->passed[place->rank][i] = (unsigned char)value(seed, place->rank, i);
  for (int32_t r = 0; r < place->ranks; r++) theirs[r] = check->passed[place->ranks + r];
  GW_TRY(gw_world_pass(check->world, to, bytes, check->passed[place->rank], theirs));
  for (int32_t r = 0; r < place->ranks; r++)
    for (int64_t i = 0; to[r] == place->rank && i < bytes[r]; i++)
      if (check->passed[place->ranks + r][i] != (unsigned char)value(seed, r, i))
        return gw_fail(GW_MISMATCH, "pass of %lld bytes: byte %lld of rank %d", (long long)bytes[r],
                       (long long)i, r);
  return GW_OK;
}

static GwStatus check_pass(Check *check, GwRng *rng, uint64_t seed) {
  size_t ranks = (size_t)check->place->ranks;
  if (check->place->nodes == 1) return GW_OK;
  int32_t *to = calloc(ranks, sizeof *to);
  int64_t *bytes = calloc(ranks, sizeof *bytes);
  void **theirs = calloc(ranks, sizeof *theirs);
  check->passed = calloc(2 * ranks, sizeof *check->passed);
  bool there = to && bytes && theirs && check->passed;
  for (int32_t r = 0; there && r < check->place->ranks; r++) {
    to[r] = rank_elsewhere(check, rng, r);
    bytes[r] = (int64_t)gw_rng_below(rng, (uint64_t)check->most * sizeof(int64_t) + 1);
    for (size_t i = (size_t)r; i < 2 * ranks; i += ranks)
      there = there && (check->passed[i] = malloc((size_t)bytes[r] + 1));
  }
  GwStatus status =
      there ? pass(check, to, bytes, theirs, seed) : gw_fail(GW_MEMORY, "no memory for a test");
  for (size_t i = 0; check->passed && i < 2 * ranks; i++) free(check->passed[i]);
  free(check->passed);
  free(theirs);
  free(bytes);
  free(to);
  return status;
}

static GwStatus check_init(Check *check) {
  size_t ranks = (size_t)check->place->ranks, bytes = (size_t)check->most * sizeof(int64_t);
  check->sums = calloc(ranks, sizeof *check->sums);
  check->first = calloc(ranks + 1, sizeof *check->first);
  check->mine = malloc(GATHER_MAX);
  check->all = malloc(GATHER_MAX * ranks);
  if (!check->sums || !check->first || !check->mine || !check->all)
    return gw_fail(GW_MEMORY, "no memory for a test");
  for (int32_t i = 0; i < check->place->ranks; i++) {
    void *array; /* collective: nodes of fewer ranks make as many */
    GW_TRY(gw_world_memory(check->world, bytes, &array));
    if ((size_t)array % 4096 != 0) return gw_fail(GW_MISMATCH, "memory that is not page-aligned");
    for (size_t at = 0; at < bytes; at += 512)
      if (((char *)array)[at] != 0) return gw_fail(GW_MISMATCH, "memory that is not zeroed");
    check->sums[i] = array;
    GW_TRY(gw_world_barrier(check->world));
  }
  void *data;
  GW_TRY(gw_world_memory(check->world, bytes, &data));
  check->data = data;
  return GW_OK;
}

GwStatus gw_world_check(GwWorld *world, uint64_t seed, int32_t rounds, int64_t most) {
  Check check = {.world = world, .place = gw_world_place(world), .most = most};
  GwRng rng = gw_rng(seed, 0); /* the same choices at all ranks */
  GwStatus status = check_init(&check);
  for (int32_t round = 0; round < rounds && status == GW_OK; round++) {
    uint64_t round_seed = value(seed, round, 0);
    switch (gw_rng_below(&rng, 6)) {
    case 0: status = gw_world_barrier(world); break;
    case 1: status = check_gather(&check, &rng, round_seed); break;
    case 2: status = check_reduce(&check, &rng, round_seed); break;
    case 3: status = check_pass(&check, &rng, round_seed); break;
    case 4: status = check_early(&check, &rng, round_seed); break;
    default: status = check_spread(&check, &rng, round_seed); break;
    }
  }
  free(check.sums);
  free(check.first);
  free(check.mine);
  free(check.all);
  return status;
}
