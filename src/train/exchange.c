/* Each exchange is one gather of a few words; sums and parameters move in bulk. */
#include "train/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "op/constants.h"
#include "os/clock.h"

enum { NOTES_MOST = 1024 };

/* Of the accum buffer: where the sum of element 0 stands, in elements. */
static int64_t sums_begin(const GwTrainingPlan *plan) {
  const GwProgram *total = &plan->steps.total;
  GwValueId first = gw_value_find(total, GW_CLASS_ACCUM, "tally") + 1;
  return total->values[first].offset / (int64_t)sizeof(int64_t);
}

/* Where piece `i` begins among the numbered elements; past the last one: where they end. */
static int64_t piece_number(const GwTrainingPlan *plan, int32_t i) {
  if (i == plan->shares.count) return plan->params.bytes / (int64_t)sizeof(float);
  const GwPiece *piece = &plan->shares.pieces[i];
  return plan->params.params[piece->tensor].offset / (int64_t)sizeof(float) + piece->first;
}

static int64_t piece_square(const GwTrainingPlan *plan, int32_t i) {
  if (i == plan->shares.count) return gw_square_blocks_before(&plan->params, plan->params.count);
  const GwPiece *piece = &plan->shares.pieces[i];
  return gw_square_blocks_before(&plan->params, piece->tensor) + piece->first / GW_SQUARE_BLOCK;
}

static void set_slices(GwExchange *x) {
  const GwShares *shares = &x->plan->shares;
  int64_t begin = sums_begin(x->plan);
  for (int32_t r = 0; r <= shares->shares; r++) {
    int64_t number = r == 0 ? 0 : piece_number(x->plan, shares->begin[r]);
    x->sum_first[r] = begin + number;
    x->param_first[r] = number * (int64_t)sizeof(float);
    x->square_first[r] = piece_square(x->plan, shares->begin[r]);
  }
}

static int64_t widest(const int64_t *first, int32_t ranks) {
  int64_t most = 0;
  for (int32_t r = 0; r < ranks; r++) most = gw_max_i64(most, first[r + 1] - first[r]);
  return most;
}

static GwStatus make_room(GwExchange *x, int32_t lanes) {
  int32_t ranks = gw_world_place(x->world)->ranks;
  int64_t words = gw_max_i64(4 + lanes, 1 + widest(x->square_first, ranks));
  words = gw_max_i64(words, gw_max_i64(ranks, GW_STATE_HASHES + 1 + NOTES_MOST / 8));
  x->room = calloc((size_t)((1 + ranks) * words), sizeof *x->room);
  x->share_hash = calloc((size_t)ranks, sizeof *x->share_hash);
  x->copy_hash = calloc((size_t)ranks, sizeof *x->copy_hash);
  return x->room && x->share_hash && x->copy_hash
             ? GW_OK
             : gw_fail(GW_MEMORY, "no memory for what ranks exchange");
}

static GwStatus share_buffers(GwExchange *x, GwExchangeBuffers *out) {
  const GwPlace *place = gw_world_place(x->world);
  size_t each = gw_align_up((size_t)x->plan->steps.total.class_bytes[GW_CLASS_ACCUM], 4096);
  char *sums;
  GW_TRY(gw_world_memory(x->world, (size_t)x->plan->params.bytes, &out->params));
  GW_TRY(gw_world_memory(x->world, (size_t)(2 * x->plan->params.bytes), &out->moments));
  GW_TRY(gw_world_memory(x->world, each * (size_t)place->node_ranks, (void **)&sums));
  for (int32_t i = 0; i < place->node_ranks; i++)
    x->sums[i] = (int64_t *)(void *)(sums + each * (size_t)i);
  out->sums = x->sums[place->node_rank];
  x->params = out->params;
  return GW_OK;
}

GwStatus gw_exchange_create(GwWorld *world, const GwTrainingPlan *plan, int32_t lanes,
                            GwExchange *out, GwExchangeBuffers *buffers) {
  const GwPlace *place = gw_world_place(world);
  size_t slices = (size_t)place->ranks + 1;
  GW_ASSERT(plan->shares.shares == place->ranks);
  *out = (GwExchange){.world = world, .plan = plan};
  out->sums = calloc((size_t)place->node_ranks, sizeof *out->sums);
  out->sum_first = calloc(3 * slices, sizeof *out->sum_first);
  GwStatus status = GW_OK;
  if (!out->sums || !out->sum_first) {
    status = gw_fail(GW_MEMORY, "no memory for the slices of %d ranks", place->ranks);
  } else {
    out->param_first = out->sum_first + slices;
    out->square_first = out->param_first + slices;
    set_slices(out);
    status = make_room(out, lanes);
  }
  if (status == GW_OK) status = share_buffers(out, buffers);
  if (status != GW_OK) gw_exchange_destroy(out);
  return status;
}

void gw_exchange_destroy(GwExchange *x) {
  free(x->sums);
  free(x->sum_first);
  free(x->room);
  free(x->share_hash);
  free(x->copy_hash);
  *x = (GwExchange){0};
}

void gw_exchange_slice(const GwExchange *x, int64_t slice[2]) {
  int32_t rank = gw_world_place(x->world)->rank;
  for (int i = 0; i < 2; i++) slice[i] = x->sum_first[rank + i] - x->sum_first[0];
}

GwStatus gw_exchange_counts(GwExchange *x, int64_t tally[3], uint64_t *signatures, int32_t lanes,
                            uint64_t *sum) {
  size_t words = 4 + (size_t)lanes;
  uint64_t *mine = x->room, *all = x->room + words;
  memcpy(mine, tally, 3 * sizeof *tally);
  mine[3] = *sum;
  memcpy(mine + 4, signatures, (size_t)lanes * sizeof *signatures);
  GW_TRY(gw_world_gather(x->world, mine, words * sizeof *mine, all));
  memset(mine, 0, words * sizeof *mine);
  for (int32_t r = 0; r < gw_world_place(x->world)->ranks; r++)
    for (size_t i = 0; i < words; i++) mine[i] += all[(size_t)r * words + i];
  memcpy(tally, mine, 3 * sizeof *tally);
  *sum = mine[3];
  memcpy(signatures, mine + 4, (size_t)lanes * sizeof *signatures);
  return GW_OK;
}

void gw_exchange_sums_early(GwExchange *x) {
  gw_world_reduce_early(x->world, x->sums, x->sum_first);
}

GwStatus gw_exchange_sums_poll(GwExchange *x, int64_t final_from) {
  return gw_world_reduce_poll(x->world, final_from);
}

GwStatus gw_exchange_sums(GwExchange *x) {
  return gw_world_reduce(x->world, x->sums, x->sum_first);
}

GwStatus gw_exchange_squares(GwExchange *x, double *squares, uint64_t *signature) {
  const GwPlace *place = gw_world_place(x->world);
  size_t words = 1 + (size_t)widest(x->square_first, place->ranks);
  uint64_t *mine = x->room, *all = x->room + words;
  const int64_t *first = x->square_first;
  mine[0] = *signature;
  memcpy(mine + 1, squares + first[place->rank],
         (size_t)(first[place->rank + 1] - first[place->rank]) * sizeof *squares);
  GW_TRY(gw_world_gather(x->world, mine, words * sizeof *mine, all));
  *signature = 0;
  for (int32_t r = 0; r < place->ranks; r++) {
    const uint64_t *theirs = all + (size_t)r * words;
    *signature += theirs[0];
    memcpy(squares + first[r], theirs + 1, (size_t)(first[r + 1] - first[r]) * sizeof *squares);
  }
  return GW_OK;
}

/* Of our own sums in the slice of `rank`. */
static uint64_t slice_signature(const GwExchange *x, int32_t rank) {
  const GwShares *shares = &x->plan->shares;
  const int64_t *sums = x->sums[gw_world_place(x->world)->node_rank] + x->sum_first[0];
  uint64_t signature = 0;
  for (int32_t p = shares->begin[rank]; p < shares->begin[rank + 1]; p++) {
    int64_t number = piece_number(x->plan, p);
    for (int64_t i = number; i < number + shares->pieces[p].count; i++)
      signature += GW_SIGN_WEIGHT(i) * (uint64_t)sums[i];
  }
  return signature;
}

/* Rank r's part of its own slice is what its lanes claim less what it holds of the other slices; it
 * is also the slice's total less what the others hold of it. Where the two differ, r's sums have
 * changed, or r has totalled wrongly, or got something else than was sent. */
GwStatus gw_exchange_blame(GwExchange *x, uint64_t claimed, uint64_t total, int32_t *rank) {
  const GwPlace *place = gw_world_place(x->world);
  size_t ranks = (size_t)place->ranks;
  uint64_t *mine = x->room, *all = x->room + ranks, others = 0;
  for (int32_t r = 0; r < place->ranks; r++)
    if (r != place->rank) others += mine[r] = slice_signature(x, r);
  mine[place->rank] = claimed - others - total;
  GW_TRY(gw_world_gather(x->world, mine, ranks * sizeof *mine, all));
  *rank = -1;
  for (size_t r = ranks; r-- > 0;) {
    uint64_t difference = 0; /* claimed - held elsewhere - (total - held by others) */
    for (size_t q = 0; q < ranks; q++) difference += all[q * ranks + r];
    if (difference != 0) *rank = (int32_t)r;
  }
  return GW_OK;
}

GwStatus gw_exchange_accuse(GwExchange *x, bool bad, int32_t *accused) {
  uint64_t mine = bad, *answers = x->room;
  GW_TRY(gw_world_gather(x->world, &mine, sizeof mine, answers));
  *accused = -1;
  for (int32_t r = gw_world_place(x->world)->ranks; r-- > 0;)
    if (answers[r] != 0) *accused = r;
  return GW_OK;
}

/* Of the parameters in a slice, as they stand on this node. */
static uint64_t slice_hash(const GwExchange *x, int32_t rank) {
  const GwShares *shares = &x->plan->shares;
  uint64_t hash = 0;
  for (int32_t p = shares->begin[rank]; p < shares->begin[rank + 1]; p++) {
    const GwPiece *piece = &shares->pieces[p];
    hash += gw_hash_blocks(x->params + piece_number(x->plan, p) * (int64_t)sizeof(float),
                           (size_t)piece->count * sizeof(float),
                           (uint64_t)piece->first * sizeof(float) / GW_HASH_BLOCK,
                           x->seeds[3 * piece->tensor]);
  }
  return hash;
}

/* The next rank of another node, after `rank`, whose parameters this rank receives and looks after;
 * -1 begins. false: there is none. */
static bool next_copy(const GwExchange *x, int32_t *rank) {
  const GwPlace *place = gw_world_place(x->world);
  *rank = *rank < 0 ? place->node_rank : *rank + place->node_ranks;
  while (*rank < place->ranks && gw_world_node_of(x->world, *rank) == place->node)
    *rank += place->node_ranks;
  return *rank < place->ranks;
}

void gw_exchange_filled(GwExchange *x) {
  for (int32_t r = -1; next_copy(x, &r);) x->copy_hash[r] = slice_hash(x, r);
}

bool gw_exchange_copies_hold(const GwExchange *x) {
  for (int32_t r = -1; next_copy(x, &r);)
    if (x->copy_hash[r] != slice_hash(x, r)) return false;
  return true;
}

/* Whether what came from other nodes is what their ranks wrote. `all`: every rank's row of `words`
 * words, whose first is the hash of its slice. */
static GwStatus agree(GwExchange *x, const uint64_t *all, size_t words, int32_t *accused) {
  for (int32_t r = -1; next_copy(x, &r);) x->copy_hash[r] = all[(size_t)r * words];
  return gw_exchange_accuse(x, !gw_exchange_copies_hold(x), accused);
}

GwStatus gw_exchange_params(GwExchange *x, const uint64_t hash[GW_STATE_HASHES], bool bad,
                            const GwNotes *notes, uint64_t *sum, int32_t *accused) {
  const GwPlace *place = gw_world_place(x->world);
  size_t bytes = notes ? notes->bytes : 0;
  size_t words = 3 + gw_align_up(bytes, sizeof(uint64_t)) / sizeof(uint64_t);
  uint64_t *mine = x->room, *all = x->room + words;
  GW_ASSERT(bytes <= NOTES_MOST);
  bad = bad || !gw_exchange_copies_hold(x); /* lanes have read them */
  uint64_t start = gw_clock_ns();
  GW_TRY(gw_world_spread(x->world, x->params, x->param_first));
  x->transfer_ns += gw_clock_ns() - start;
  mine[0] = hash[0];
  mine[1] = hash[1];
  mine[2] = bad;
  if (notes) memcpy(mine + 3, notes->mine, bytes);
  GW_TRY(gw_world_gather(x->world, mine, words * sizeof *mine, all));
  *sum = 0;
  *accused = -1;
  for (int32_t r = place->ranks; r-- > 0;) {
    const uint64_t *theirs = all + (size_t)r * words;
    *sum += x->share_hash[r] = theirs[0] + theirs[1];
    if (theirs[2] != 0) *accused = r;
    if (notes) memcpy((char *)notes->all + (size_t)r * bytes, theirs + 3, bytes);
  }
  return place->nodes > 1 && *accused < 0 ? agree(x, all, words, accused) : GW_OK;
}
