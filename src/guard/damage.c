/* Elements are counted over the pieces of a share: the padding between tensors is nobody's. */
#include "guard/damage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Element `n` of pieces [first, end), n modulo their elements; false when they have none. */
static bool find(const GwTrainingPlan *plan, int32_t first, int32_t end, uint64_t n,
                 int32_t *tensor, int64_t *place) {
  int64_t count = 0;
  for (int32_t p = first; p < end; p++) count += plan->shares.pieces[p].count;
  if (count == 0) return false;
  int64_t left = (int64_t)(n % (uint64_t)count);
  for (; left >= plan->shares.pieces[first].count; first++)
    left -= plan->shares.pieces[first].count;
  *tensor = plan->shares.pieces[first].tensor;
  *place = plan->shares.pieces[first].first + left;
  return true;
}

static float *find_value(const GwDamage *d, int32_t group) {
  const GwTrainingPlan *plan = gw_trainer_plan(d->trainer);
  const int32_t *begin = plan->shares.begin + d->rank;
  int32_t tensor;
  int64_t place;
  if (!find(plan, begin[0], begin[1], d->element, &tensor, &place)) return NULL;
  return (float *)gw_trainer_state(d->trainer)[group].tensors[tensor].data + place;
}

void gw_damage_state(const GwDamage *d, int32_t tensor) {
  float *value = find_value(d, tensor);
  uint32_t bits;
  if (!value) return;
  memcpy(&bits, value, sizeof bits);
  bits ^= UINT32_C(1) << (d->bit & 31);
  memcpy(value, &bits, sizeof bits);
}

void gw_damage_weight(const GwDamage *d) {
  float *value = find_value(d, 0);
  if (value) *value = __builtin_nanf("");
}

void gw_damage_sums(const GwDamage *d, bool slice) {
  const GwTrainingPlan *plan = gw_trainer_plan(d->trainer);
  const GwShares *shares = &plan->shares;
  int32_t first = slice ? shares->begin[d->rank] : 0;
  int32_t end = slice ? shares->begin[d->rank + 1] : shares->count, tensor;
  int64_t place, count, of[2], *sums = gw_trainer_sums(d->trainer, &count, of);
  if (!find(plan, first, end, d->element, &tensor, &place)) return;
  sums += plan->params.params[tensor].offset / (int64_t)sizeof(float) + place;
  *sums = (int64_t)((uint64_t)*sums ^ UINT64_C(1) << (d->bit & 63));
}

int64_t *gw_damage_keep(const GwTrainer *trainer) {
  int64_t count, slice[2];
  const int64_t *sums = gw_trainer_sums(trainer, &count, slice);
  size_t bytes = (size_t)(slice[1] - slice[0]) * sizeof *sums;
  int64_t *kept = malloc(bytes + 1);
  if (kept) memcpy(kept, sums + slice[0], bytes);
  return kept;
}

void gw_damage_total(const GwDamage *d, const int64_t *kept) {
  int64_t count, slice[2];
  int64_t *sums = gw_trainer_sums(d->trainer, &count, slice);
  for (int64_t i = slice[0]; i < slice[1]; i++)
    sums[i] = (int64_t)((uint64_t)sums[i] - (uint64_t)kept[i - slice[0]]);
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
