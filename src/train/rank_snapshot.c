/* The spans of a share are its pieces of the parameters, then of each moment. */
#include "train/rank_snapshot.h"

#include <stdlib.h>

typedef struct {
  const GwTrainer *trainer;
  uint64_t run;
  int64_t step;
  GwSnapshotInfo *found; /* [shares]; step -1: not found */
  int32_t shares;        /* 0: nothing found yet */
  GwStatus status;
} Search;

static GwStatus make_spans(const GwTrainer *trainer, const GwShares *shares, int32_t share,
                           GwSpan **out, int32_t *count) {
  int32_t first = shares->begin[share], pieces = shares->begin[share + 1] - first;
  GwSpan *spans = calloc((size_t)(GW_STATE_GROUPS * pieces + 1), sizeof *spans);
  if (!spans) return gw_fail(GW_MEMORY, "no memory for the spans of a snapshot");
  for (int g = 0; g < GW_STATE_GROUPS; g++)
    for (int32_t p = 0; p < pieces; p++) {
      const GwPiece *piece = &shares->pieces[first + p];
      float *data = gw_trainer_state(trainer)[g].tensors[piece->tensor].data;
      spans[g * pieces + p] = (GwSpan){data + piece->first, (size_t)piece->count * sizeof(float)};
    }
  *out = spans;
  *count = GW_STATE_GROUPS * pieces;
  return GW_OK;
}

static size_t bytes_of(const GwSpan *spans, int32_t count) {
  size_t bytes = 0;
  for (int32_t i = 0; i < count; i++) bytes += spans[i].bytes;
  return bytes;
}

GwStatus gw_rank_snapshots_create(const GwTrainer *trainer, const GwPlace *place, uint64_t run,
                                  uint64_t epoch, GwRankSnapshots *out) {
  *out = (GwRankSnapshots){.trainer = trainer};
  GwStatus status = make_spans(trainer, &gw_trainer_plan(trainer)->shares, place->rank, &out->spans,
                               &out->span_count);
  if (status == GW_OK)
    status = gw_snapshot_writer_create(run, place->rank, place->ranks, 0,
                                       bytes_of(out->spans, out->span_count), &out->writer);
  out->info = (GwSnapshotInfo){.run = run,
                               .epoch = epoch,
                               .share = place->rank,
                               .shares = place->ranks,
                               .layout = gw_snapshot_layout(out->spans, out->span_count)};
  if (status != GW_OK) gw_rank_snapshots_destroy(out);
  return status;
}

void gw_rank_snapshots_destroy(GwRankSnapshots *s) {
  gw_snapshot_writer_destroy(&s->writer);
  free(s->spans);
  *s = (GwRankSnapshots){0};
}

void gw_rank_snapshots_take(GwRankSnapshots *s, int64_t step, uint64_t state_hash) {
  s->info.step = step;
  s->info.state_hash = state_hash;
  gw_snapshot_put(&s->writer, &s->info, s->spans, s->span_count);
}

/* ---- back ---- */

/* Keeps those of the step that was asked for; of several divisions the first one seen. */
static GwStatus keep(void *context, const GwSnapshotInfo *info, uint64_t bytes) {
  (void)bytes;
  Search *search = context;
  if (info->step != search->step) return GW_OK;
  if (search->shares == 0) {
    search->found = calloc((size_t)info->shares, sizeof *search->found);
    if (!search->found) return gw_fail(GW_MEMORY, "no memory for %d shares", info->shares);
    search->shares = info->shares;
    for (int32_t i = 0; i < info->shares; i++) search->found[i].step = -1;
  }
  if (info->shares == search->shares) search->found[info->share] = *info;
  return GW_OK;
}

static GwStatus check_found(const Search *search) {
  if (search->shares == 0)
    return gw_fail(GW_NOT_FOUND, "this node has no snapshot of step %lld", (long long)search->step);
  for (int32_t i = 0; i < search->shares; i++)
    if (search->found[i].step < 0)
      return gw_fail(GW_NOT_FOUND, "this node does not have share %d of %d of step %lld", i,
                     search->shares, (long long)search->step);
  return GW_OK;
}

static GwStatus read_share(const Search *search, const GwShares *shares, int32_t share) {
  GwSpan *spans;
  int32_t count;
  GW_TRY(make_spans(search->trainer, shares, share, &spans, &count));
  GwStatus status = gw_snapshot_get(&search->found[share], spans, count);
  free(spans);
  return status;
}

/* The shares that fall to this one of the node's ranks. */
static GwStatus read_shares(const Search *search, const GwPlace *place) {
  const GwParamList *params = &gw_trainer_plan(search->trainer)->params;
  GwShares shares = {0};
  int64_t *elements = calloc((size_t)params->count, sizeof *elements);
  if (!elements) return gw_fail(GW_MEMORY, "no memory for the list of parameters");
  for (int i = 0; i < params->count; i++) elements[i] = gw_type_count(&params->params[i].type);
  GwStatus status = gw_shares_create(elements, params->count, search->shares, &shares);
  for (int32_t i = place->node_rank; i < search->shares && status == GW_OK; i += place->node_ranks)
    status = read_share(search, &shares, i);
  gw_shares_destroy(&shares);
  free(elements);
  return status;
}

/* A failure here must be one at all ranks, or some would wait for ever. */
static GwStatus agree(GwWorld *world, GwStatus status) {
  const GwPlace *place = gw_world_place(world);
  char message[256];
  snprintf(message, sizeof message, "%s", status == GW_OK ? "" : gw_error_message());
  int32_t mine = (int32_t)status, *all = calloc((size_t)place->ranks, sizeof *all);
  if (!all) return gw_fail(GW_MEMORY, "no memory for %d ranks", place->ranks);
  GwStatus gathered = gw_world_gather(world, &mine, sizeof mine, all);
  int32_t bad = -1;
  for (int32_t r = place->ranks; r-- > 0 && gathered == GW_OK;)
    if (all[r] != GW_OK) bad = r;
  GwStatus first = bad < 0 ? gathered : (GwStatus)all[bad];
  free(all);
  if (status != GW_OK) return gw_fail(status, "%s", message);
  return bad < 0 ? gathered : gw_fail(first, "rank %d could not read its part of a snapshot", bad);
}

GwStatus gw_rank_snapshots_restore(GwRankSnapshots *s, GwWorld *world, int64_t step) {
  Search search = {.trainer = s->trainer, .run = s->info.run, .step = step};
  GwStatus status = gw_snapshot_find(s->info.run, keep, &search);
  if (status == GW_OK) status = check_found(&search);
  if (status == GW_OK) status = read_shares(&search, gw_world_place(world));
  status = agree(world, status);
  if (status == GW_OK && gw_trainer_hash(s->trainer, step) != search.found[0].state_hash)
    status = gw_fail(GW_CORRUPT, "the snapshot of step %lld does not have its state's hash",
                     (long long)step);
  free(search.found);
  GW_TRY(status);
  gw_snapshot_cut(&s->writer, step);
  return GW_OK;
}
