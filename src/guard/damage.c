/* Elements are counted over the pieces of a share: the padding between tensors is nobody's. */
#include "guard/damage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const GwTrainingPlan *plan;
  int32_t first; /* of its pieces */
  int64_t count; /* of elements */
} Elements;

static Elements elements_of(const GwTrainingPlan *plan, int32_t first, int32_t end) {
  Elements e = {plan, first, 0};
  for (int32_t p = first; p < end; p++) e.count += plan->shares.pieces[p].count;
  return e;
}

static Elements share_of(const GwTrainer *trainer, int32_t rank) {
  const GwTrainingPlan *plan = gw_trainer_plan(trainer);
  return elements_of(plan, plan->shares.begin[rank], plan->shares.begin[rank + 1]);
}

/* Element n < count: its tensor and its place there. */
static int32_t find(const Elements *e, int64_t n, int64_t *place) {
  const GwPiece *piece = &e->plan->shares.pieces[e->first];
  for (; n >= piece->count; piece++) n -= piece->count;
  *place = piece->first + n;
  return piece->tensor;
}

static float *find_value(const GwDamage *d, const Elements *e, int32_t group, int64_t n) {
  int64_t place;
  int32_t tensor = find(e, n, &place);
  return (float *)gw_trainer_state(d->trainer)[group].tensors[tensor].data + place;
}

/* Its number in the sums. */
static int64_t find_sum(const Elements *e, int64_t n) {
  int64_t place;
  int32_t tensor = find(e, n, &place);
  return e->plan->params.params[tensor].offset / (int64_t)sizeof(float) + place;
}

static void flip(float *value, uint64_t bit) {
  uint32_t bits;
  memcpy(&bits, value, sizeof bits);
  bits ^= UINT32_C(1) << (bit & 31);
  memcpy(value, &bits, sizeof bits);
}

void gw_damage_state(const GwDamage *d, int32_t tensor, GwFlip how) {
  Elements share = share_of(d->trainer, d->rank);
  if (share.count == 0) return;
  int64_t apart = how == GW_FLIP_EVERY32 ? 32 : share.count;
  int64_t first = (int64_t)(d->element % (uint64_t)gw_min_i64(apart, share.count));
  for (int64_t n = first; n < share.count; n += apart)
    flip(find_value(d, &share, tensor, n), d->bit);
}

void gw_damage_weight(const GwDamage *d, bool infinite) {
  Elements share = share_of(d->trainer, d->rank);
  if (share.count == 0) return;
  *find_value(d, &share, 0, (int64_t)(d->element % (uint64_t)share.count)) =
      infinite ? __builtin_inff() : __builtin_nanf("");
}

static void flip_sum(const GwDamage *d, const Elements *e) {
  int64_t count, slice[2], *sums = gw_trainer_sums(d->trainer, &count, slice);
  if (e->count == 0) return;
  sums += find_sum(e, (int64_t)(d->element % (uint64_t)e->count));
  *sums = (int64_t)((uint64_t)*sums ^ UINT64_C(1) << (d->bit & 63));
}

void gw_damage_sums(const GwDamage *d) {
  const GwTrainingPlan *plan = gw_trainer_plan(d->trainer);
  Elements all = elements_of(plan, 0, plan->shares.count);
  flip_sum(d, &all);
}

/* A block that is not as the next one, so that what happens to them is a change; -1: there is
 * none. */
static int64_t find_block(const int64_t *from, int64_t length, int64_t block, uint64_t chance) {
  int64_t pairs = block > 0 ? length / block - 1 : 0;
  for (int64_t i = 0; i < pairs; i++) {
    int64_t at = (int64_t)((chance + (uint64_t)i) % (uint64_t)pairs) * block;
    if (memcmp(from + at, from + at + block, (size_t)block * sizeof *from) != 0) return at;
  }
  return -1;
}

void gw_damage_payload(const GwDamage *d, GwPayload how) {
  enum { BLOCK = 512 }; /* 4 KiB */
  int64_t count, slice[2], held[BLOCK], *sums = gw_trainer_sums(d->trainer, &count, slice);
  int64_t length = slice[1] - slice[0], block = gw_min_i64(BLOCK, length / 2);
  if (how == GW_PAYLOAD_BIT) {
    Elements share = share_of(d->trainer, d->rank);
    flip_sum(d, &share);
    return;
  }
  int64_t at = find_block(sums + slice[0], length, block, d->element);
  if (at < 0) return;
  int64_t *this = sums + slice[0] + at, *next = this + block;
  size_t bytes = (size_t)block * sizeof *sums;
  memcpy(held, next, bytes);
  switch (how) {
  case GW_PAYLOAD_LOST: memset(this, 0, 2 * bytes); break;
  case GW_PAYLOAD_CUT: memset(this, 0, (size_t)(length - at) * sizeof *sums); break;
  case GW_PAYLOAD_SWAPPED:
    memcpy(next, this, bytes);
    memcpy(this, held, bytes);
    break;
  default: memcpy(next, this, bytes); break;
  }
}

int64_t *gw_damage_keep(const GwTrainer *trainer) {
  int64_t count, slice[2];
  const int64_t *sums = gw_trainer_sums(trainer, &count, slice);
  size_t bytes = (size_t)(slice[1] - slice[0]) * sizeof *sums;
  int64_t *kept = malloc(bytes + 1);
  if (kept) memcpy(kept, sums + slice[0], bytes);
  return kept;
}

static void leave_out_tail(const GwDamage *d, int64_t *sums, const int64_t *kept, int64_t first) {
  Elements share = share_of(d->trainer, d->rank);
  for (int64_t n = gw_max_i64(share.count - 8, 0); n < share.count; n++) {
    int64_t i = find_sum(&share, n);
    sums[i] = kept[i - first];
  }
}

void gw_damage_total(const GwDamage *d, const int64_t *kept, GwWrongTotal how) {
  int64_t count, slice[2], *sums = gw_trainer_sums(d->trainer, &count, slice);
  if (how == GW_TOTAL_TAIL) leave_out_tail(d, sums, kept, slice[0]);
  for (int64_t i = slice[0]; i < slice[1]; i++) {
    uint64_t total = (uint64_t)sums[i], own = (uint64_t)kept[i - slice[0]];
    switch (how) {
    case GW_TOTAL_MISSING: total -= own; break;
    case GW_TOTAL_TWICE: total += own; break;
    case GW_TOTAL_ALONE: total = own; break;
    case GW_TOTAL_HALF: total = (uint64_t)(sums[i] / 2); break;
    case GW_TOTAL_TAIL: break;
    }
    sums[i] = (int64_t)total;
  }
}

/* ---- files ---- */

/* Writes the file again, as it is not to be. */
static GwStatus spoil(GwFs *fs, const char *path, bool torn, uint64_t chance) {
  char *data;
  size_t size;
  GwFile *file;
  GW_TRY(gw_fs_read_all(fs, path, (size_t)1 << 40, &data, &size));
  if (torn)
    size /= 2;
  else if (size > 0)
    data[chance % size] ^= 0x10;
  GwStatus status = fs->open(fs, path, GW_FILE_CREATE, &file);
  if (status == GW_OK) {
    status = fs->write(fs, file, data, size);
    if (status == GW_OK) status = fs->sync_file(fs, file);
    fs->close(fs, file);
  }
  free(data);
  return status;
}

GwStatus gw_damage_checkpoint(const char *run_dir, int64_t step, bool torn, uint64_t chance) {
  static const char *const files[] = {"params.safetensors", "adam_m.safetensors",
                                      "adam_v.safetensors", "manifest.json"};
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/checkpoints/step-%08" PRId64 "/%s", run_dir, step,
                    files[chance % GW_COUNT_OF(files)]));
  return spoil(gw_fs_disk(), path, torn, chance / GW_COUNT_OF(files));
}
