/* The spans of a share are its pieces of the parameters, then of each moment. */
#include "train/rank_snapshot.h"

#include <stdlib.h>

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

/* ---- with partners ---- */

static int64_t share_bytes(const GwShares *shares, int32_t share) {
  int64_t elements = 0;
  for (int32_t p = shares->begin[share]; p < shares->begin[share + 1]; p++)
    elements += shares->pieces[p].count;
  return GW_STATE_GROUPS * elements * (int64_t)sizeof(float);
}

/* Who keeps whose: nodes are filled with ranks one after the other, all alike but the last. */
static GwStatus find_partners(GwRankSnapshots *s, const GwPlace *place, const GwShares *shares) {
  int32_t *node_of = calloc((size_t)place->ranks, sizeof *node_of), slots = 0;
  if (!node_of) return gw_fail(GW_MEMORY, "no memory for %d ranks", place->ranks);
  for (int32_t r = 0; r < place->ranks; r++) {
    node_of[r] = gw_world_node_of(s->world, r);
    slots += node_of[r] == node_of[0];
  }
  for (int32_t r = 0; r < place->ranks; r++) {
    s->second.to[r] = gw_snapshot_partner(node_of, place->ranks, slots, r);
    s->second.bytes[r] = share_bytes(shares, r);
  }
  free(node_of);
  return GW_OK;
}

static GwStatus create_second(GwRankSnapshots *s, const GwPlace *place, const GwShares *shares,
                              uint64_t run) {
  GwSecondCopies *second = &s->second;
  size_t ranks = (size_t)place->ranks;
  if (place->nodes == 1) return GW_OK;
  second->to = calloc(ranks, sizeof *second->to);
  second->bytes = calloc(ranks, sizeof *second->bytes);
  second->writer = calloc(ranks, sizeof *second->writer);
  second->payload = calloc(ranks, sizeof *second->payload);
  second->card = calloc(1 + ranks, sizeof *second->card);
  if (!second->to || !second->bytes || !second->writer || !second->payload || !second->card)
    return gw_fail(GW_MEMORY, "no memory for the snapshots of %d ranks", place->ranks);
  GW_TRY(find_partners(s, place, shares));
  for (int32_t r = 0; r < place->ranks; r++)
    if (second->to[r] == place->rank)
      GW_TRY(gw_snapshot_writer_create(run, r, place->ranks, 1, (size_t)second->bytes[r],
                                       &second->writer[r]));
  return GW_OK;
}

static void destroy_second(GwSecondCopies *second, int32_t ranks) {
  for (int32_t r = 0; second->writer && r < ranks; r++)
    gw_snapshot_writer_destroy(&second->writer[r]);
  free(second->to);
  free(second->bytes);
  free(second->writer);
  free(second->payload);
  free(second->card);
  *second = (GwSecondCopies){0};
}

/* A failure here must be one at all ranks, or some would wait for ever. */
static GwStatus agree(GwWorld *world, GwStatus status, const char *what) {
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
  return bad < 0 ? gathered : gw_fail(first, "rank %d could not %s", bad, what);
}

/* The share that was put last, to the rank that keeps its second copy. */
static GwStatus copy_to_partner(GwRankSnapshots *s) {
  GwSecondCopies *second = &s->second;
  const GwPlace *place = gw_world_place(s->world);
  GwSnapshotCard *cards = second->card + 1;
  void *mine;
  gw_snapshot_card(&s->writer, second->card, &mine);
  GW_TRY(gw_world_gather(s->world, second->card, sizeof *cards, cards));
  for (int32_t r = 0; r < place->ranks; r++)
    if (second->to[r] == place->rank) second->payload[r] = gw_snapshot_receive(&second->writer[r]);
  GW_TRY(gw_world_pass(s->world, second->to, second->bytes, mine, second->payload));
  GwStatus status = GW_OK;
  for (int32_t r = 0; r < place->ranks && status == GW_OK; r++)
    if (second->to[r] == place->rank) status = gw_snapshot_accept(&second->writer[r], &cards[r]);
  return agree(s->world, status, "keep a copy of a snapshot");
}

/* ---- there ---- */

GwStatus gw_rank_snapshots_create(const GwTrainer *trainer, GwWorld *world, uint64_t run,
                                  uint64_t epoch, GwRankSnapshots *out) {
  const GwPlace *place = gw_world_place(world);
  const GwShares *shares = &gw_trainer_plan(trainer)->shares;
  *out = (GwRankSnapshots){.trainer = trainer, .world = world};
  GwStatus status = make_spans(trainer, shares, place->rank, &out->spans, &out->span_count);
  if (status == GW_OK)
    status = gw_snapshot_writer_create(run, place->rank, place->ranks, 0,
                                       bytes_of(out->spans, out->span_count), &out->writer);
  if (status == GW_OK) status = create_second(out, place, shares, run);
  out->info = (GwSnapshotInfo){.run = run,
                               .epoch = epoch,
                               .share = place->rank,
                               .shares = place->ranks,
                               .layout = gw_snapshot_layout(out->spans, out->span_count)};
  if (status != GW_OK) gw_rank_snapshots_destroy(out);
  return status;
}

void gw_rank_snapshots_destroy(GwRankSnapshots *s) {
  if (s->world) destroy_second(&s->second, gw_world_place(s->world)->ranks);
  gw_snapshot_writer_destroy(&s->writer);
  free(s->spans);
  *s = (GwRankSnapshots){0};
}

GwStatus gw_rank_snapshots_take(GwRankSnapshots *s, int64_t step, uint64_t state_hash) {
  s->info.step = step;
  s->info.state_hash = state_hash;
  if (++s->taken == 2 && gw_world_place(s->world)->node_rank == 0)
    GW_TRY(gw_snapshot_remove_others(s->info.run, s->info.shares));
  gw_snapshot_put(&s->writer, &s->info, s->spans, s->span_count);
  return s->second.to ? copy_to_partner(s) : GW_OK;
}

/* ---- back ---- */

/* What this node holds of the snapshot that is looked for. */
typedef struct {
  const GwTrainer *trainer;
  GwWorld *world;
  uint64_t run;
  int64_t step;
  uint64_t epoch;        /* the newest whose ranks took one of that step; 0: none yet */
  int32_t shares;        /* that those divided the state into */
  GwSnapshotInfo *found; /* [shares]; step -1: not here */
  int32_t *holder;       /* [shares]: the rank that reads it */
} Search;

static GwStatus newest(void *context, const GwSnapshotInfo *info, uint64_t bytes) {
  (void)bytes;
  Search *search = context;
  if (info->step != search->step || info->epoch < search->epoch) return GW_OK;
  search->epoch = info->epoch;
  search->shares = info->shares;
  return GW_OK;
}

static GwStatus keep(void *context, const GwSnapshotInfo *info, uint64_t bytes) {
  (void)bytes;
  Search *search = context;
  bool wanted = info->step == search->step && info->epoch == search->epoch;
  if (wanted && info->shares == search->shares) search->found[info->share] = *info;
  return GW_OK;
}

/* Of several divisions that of the newest epoch on any node. */
static GwStatus agree_on_epoch(Search *search) {
  int32_t ranks = gw_world_place(search->world)->ranks;
  uint64_t mine[2], *all = calloc((size_t)ranks, sizeof mine);
  if (!all) return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  GwStatus status = gw_snapshot_find(search->run, newest, search);
  mine[0] = search->epoch;
  mine[1] = (uint64_t)search->shares;
  status = agree(search->world, status, "look for a snapshot");
  if (status == GW_OK) status = gw_world_gather(search->world, mine, sizeof mine, all);
  for (int32_t r = 0; r < ranks && status == GW_OK; r++)
    if (all[2 * r] > search->epoch) {
      search->epoch = all[2 * r];
      search->shares = (int32_t)all[2 * r + 1];
    }
  free(all);
  if (status == GW_OK && search->shares == 0)
    status = gw_fail(GW_NOT_FOUND, "nobody has a snapshot of step %lld", (long long)search->step);
  return status;
}

/* A share is read on the first node that has it; the node's ranks take turns. */
static GwStatus choose_holders(Search *search) {
  const GwPlace *place = gw_world_place(search->world);
  size_t shares = (size_t)search->shares;
  char *mine = calloc((size_t)place->ranks + 1, shares), *all = mine + shares;
  if (!mine) return gw_fail(GW_MEMORY, "no memory for %d shares", search->shares);
  for (int32_t i = place->node_rank; i < search->shares; i += place->node_ranks)
    mine[i] = search->found[i].step >= 0;
  GwStatus status = gw_world_gather(search->world, mine, shares, all);
  for (size_t i = 0; i < shares && status == GW_OK; i++) {
    int32_t *holder = &search->holder[i];
    for (*holder = 0; *holder < place->ranks && !all[(size_t)*holder * shares + i]; ++*holder) {
    }
    if (*holder == place->ranks)
      status = gw_fail(GW_NOT_FOUND, "nobody has share %zu of %zu of the snapshot of step %lld", i,
                       shares, (long long)search->step);
  }
  free(mine);
  return status;
}

static GwStatus find_shares(Search *search) {
  GW_TRY(agree_on_epoch(search));
  GwStatus status = GW_OK;
  search->found = calloc((size_t)search->shares, sizeof *search->found);
  search->holder = calloc((size_t)search->shares, sizeof *search->holder);
  if (!search->found || !search->holder)
    status = gw_fail(GW_MEMORY, "no memory for %d shares", search->shares);
  for (int32_t i = 0; i < search->shares && status == GW_OK; i++) search->found[i].step = -1;
  if (status == GW_OK) status = gw_snapshot_find(search->run, keep, search);
  GW_TRY(agree(search->world, status, "look for its part of a snapshot"));
  return choose_holders(search);
}

static GwStatus read_share(const Search *search, const GwShares *shares, int32_t share) {
  GwSpan *spans;
  int32_t count;
  GW_TRY(make_spans(search->trainer, shares, share, &spans, &count));
  GwStatus status = gw_snapshot_get(&search->found[share], spans, count);
  free(spans);
  return status;
}

/* From its holder to the nodes that do not have it. The pieces of a share follow each other. */
static GwStatus spread_share(const Search *search, const GwShares *shares, int32_t share,
                             int64_t *first) {
  int32_t ranks = gw_world_place(search->world)->ranks;
  int32_t begin = shares->begin[share], end = shares->begin[share + 1];
  if (begin == end) return GW_OK;
  const GwPiece *head = &shares->pieces[begin], *tail = &shares->pieces[end - 1];
  for (int g = 0; g < GW_STATE_GROUPS; g++) {
    const GwTensorGroup *group = &gw_trainer_state(search->trainer)[g];
    float *data = group->tensors[0].data, *from = group->tensors[head->tensor].data;
    float *to = group->tensors[tail->tensor].data;
    int64_t low = (from + head->first - data) * (int64_t)sizeof *data;
    int64_t high = (to + tail->first + tail->count - data) * (int64_t)sizeof *data;
    for (int32_t r = 0; r <= ranks; r++) first[r] = r <= search->holder[share] ? low : high;
    GW_TRY(gw_world_spread(search->world, data, first));
  }
  return GW_OK;
}

static GwStatus read_all(const Search *search, const GwShares *shares) {
  const GwPlace *place = gw_world_place(search->world);
  int64_t *first = calloc((size_t)place->ranks + 1, sizeof *first);
  GwStatus status = first ? GW_OK : gw_fail(GW_MEMORY, "no memory for %d ranks", place->ranks);
  for (int32_t i = 0; i < search->shares && status == GW_OK; i++)
    if (search->holder[i] == place->rank) status = read_share(search, shares, i);
  status = agree(search->world, status, "read its part of a snapshot");
  for (int32_t i = 0; i < search->shares && status == GW_OK; i++)
    status = spread_share(search, shares, i, first);
  free(first);
  GW_TRY(status);
  return gw_world_barrier(search->world);
}

/* As those divided the state who took the snapshot. */
static GwStatus read_shares(const Search *search) {
  const GwParamList *params = &gw_trainer_plan(search->trainer)->params;
  GwShares shares = {0};
  int64_t *elements = calloc((size_t)params->count, sizeof *elements);
  if (!elements) return gw_fail(GW_MEMORY, "no memory for the list of parameters");
  for (int i = 0; i < params->count; i++) elements[i] = gw_type_count(&params->params[i].type);
  GwStatus status = gw_shares_create(elements, params->count, search->shares, &shares);
  if (status == GW_OK) status = read_all(search, &shares);
  gw_shares_destroy(&shares);
  free(elements);
  return status;
}

/* The hash of the state is in every share's header; this node may have none. */
static GwStatus verify(const Search *search) {
  uint64_t hash = gw_trainer_hash(search->trainer, search->step);
  GwStatus status = GW_OK;
  for (int32_t i = 0; i < search->shares; i++)
    if (search->found[i].step >= 0 && search->found[i].state_hash != hash) status = GW_CORRUPT;
  if (status != GW_OK)
    status = gw_fail(GW_CORRUPT, "the snapshot of step %lld does not have its state's hash",
                     (long long)search->step);
  return agree(search->world, status, "verify the state of a snapshot");
}

GwStatus gw_rank_snapshots_restore(GwRankSnapshots *s, int64_t step) {
  Search search = {.trainer = s->trainer, .world = s->world, .run = s->info.run, .step = step};
  GwStatus status = find_shares(&search);
  if (status == GW_OK) status = read_shares(&search);
  if (status == GW_OK) status = verify(&search);
  free(search.found);
  free(search.holder);
  GW_TRY(status);
  gw_snapshot_cut(&s->writer, step);
  int32_t ranks = gw_world_place(s->world)->ranks;
  for (int32_t r = 0; s->second.to && r < ranks; r++)
    if (s->second.writer[r].slot[0].data) gw_snapshot_cut(&s->second.writer[r], step);
  return GW_OK;
}
