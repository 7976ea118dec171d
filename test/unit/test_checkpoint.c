/* Checkpoints: power lost at every operation of a save, a full disk at every byte, every byte of a
 * checkpoint damaged, every file cut at every length; and the plain behaviour. All on the disk in
 * memory, with a state small enough to try everything. */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "crash_fs.h"
#include "godwit/log.h"
#include "state/checkpoint.h"

static uint64_t seed;

enum { GROUPS = 2, PARAMS = 2, MOMENTS = 3, OLD = 1000, NEW = 2000 };

/* A state of 2 groups, made from a number. */
typedef struct {
  float w[3][5], b[7], m[3][5];
  uint64_t counter;
  GwTensor params[PARAMS], moments[MOMENTS];
  GwTensorGroup groups[GROUPS];
} State;

static void state_init(State *state, uint64_t number) {
  *state = (State){0};
  GwRng rng = gw_rng(number, 5);
  if (number) {
    for (int i = 0; i < 15; i++) state->w[i / 5][i % 5] = (float)gw_rng_normal(&rng);
    for (int i = 0; i < 7; i++) state->b[i] = (float)gw_rng_normal(&rng);
    for (int i = 0; i < 15; i++) state->m[i / 5][i % 5] = (float)gw_rng_normal(&rng);
    state->counter = gw_rng_u64(&rng);
  }
  state->params[0] = (GwTensor){"w", gw_type_2d(GW_F32, 3, 5), state->w};
  state->params[1] = (GwTensor){"b", gw_type_1d(GW_F32, 7), state->b};
  state->moments[0] = (GwTensor){"w", gw_type_2d(GW_F32, 3, 5), state->m};
  state->moments[1] = (GwTensor){"none", gw_type_1d(GW_F32, 0), NULL};
  state->moments[2] = (GwTensor){"counter", gw_type_0d(GW_U64), &state->counter};
  state->groups[0] = (GwTensorGroup){"params", state->params, PARAMS};
  state->groups[1] = (GwTensorGroup){"adam_m", state->moments, MOMENTS};
}

static bool state_equal(const State *a, const State *b) {
  return memcmp(a->w, b->w, sizeof a->w) == 0 && memcmp(a->b, b->b, sizeof a->b) == 0 &&
         memcmp(a->m, b->m, sizeof a->m) == 0 && a->counter == b->counter;
}

static GwCheckpointInfo info_of(const State *state, int64_t step, uint64_t identity) {
  return (GwCheckpointInfo){step, identity, gw_state_hash(state->groups, GROUPS, step)};
}

/* Saves the state that belongs to (step, identity). */
static GwStatus save(GwFs *fs, int64_t step, uint64_t identity, int keep) {
  State state;
  state_init(&state, (uint64_t)step * 16 + identity);
  GwCheckpointInfo info = info_of(&state, step, identity);
  return gw_checkpoint_save(fs, "run/ck", &info, state.groups, GROUPS, keep);
}

/* Loads the newest; when there is one, it must be exactly what was saved at its step. */
static GwStatus load(GwFs *fs, GwCheckpointInfo *info) {
  State state, expected;
  char path[256] = "";
  state_init(&state, 0);
  GW_TRY(gw_checkpoint_load_newest(fs, "run/ck", state.groups, GROUPS, info, path, sizeof path));
  state_init(&expected, (uint64_t)info->step * 16 + info->recipe_identity);
  assert_true(state_equal(&state, &expected));
  assert_true(info->state_hash == gw_state_hash(expected.groups, GROUPS, info->step));
  assert_true(strstr(path, "step-") != NULL);
  return GW_OK;
}

static void expect_newest(GwFs *fs, int64_t step) {
  GwCheckpointInfo info = {0};
  assert_ok(load(fs, &info));
  assert_int_equal(info.step, step);
}

static GwStatus join_names(void *context, const char *name, bool is_dir) {
  char *joined = context;
  size_t length = strlen(joined);
  snprintf(joined + length, 256 - length, "%s%s", length ? " " : "", name);
  return is_dir ? GW_OK : gw_fail(GW_INVALID, "%s is not a directory", name);
}

static void expect_names(GwFs *fs, const char *expected) {
  char joined[256] = "";
  assert_ok(fs->list(fs, "run/ck", join_names, joined));
  assert_string_equal(joined, expected);
}

static CrashFs *disk_with(int64_t step) {
  CrashFs *disk = gw_crash_fs_create();
  if (step > 0) assert_ok(save(gw_crash_fs(disk), step, 1, 2));
  return disk;
}

/* ---- plain behaviour ---- */

static void saves_come_back_and_old_ones_go(void **state) {
  (void)state;
  CrashFs *disk = disk_with(0);
  GwFs *fs = gw_crash_fs(disk);
  GwCheckpointInfo info = {0};
  assert_fails(GW_NOT_FOUND, "run/ck", load(fs, &info));
  for (int64_t step = 1; step <= 6; step++) {
    assert_ok(save(fs, step, 1, 3));
    expect_newest(fs, step);
  }
  expect_names(fs, "step-00000004 step-00000005 step-00000006");
  assert_ok(gw_checkpoint_info(fs, "run/ck/step-00000005", &info));
  assert_int_equal(info.step, 5);
  assert_int_equal(info.recipe_identity, 1);
  assert_ok(gw_checkpoint_verify(fs, "run/ck/step-00000004", &info));
  assert_ok(save(fs, 2, 1, 1)); /* the one just saved stays, whatever its step */
  expect_names(fs, "step-00000002 step-00000006");
  assert_ok(save(fs, 123456789012, 1, 1));
  expect_newest(fs, 123456789012);
  expect_names(fs, "step-123456789012");
  gw_crash_fs_destroy(disk);
}

static void same_step_is_kept_if_equal_and_replaced_if_not(void **state) {
  (void)state;
  CrashFs *disk = disk_with(NEW);
  GwFs *fs = gw_crash_fs(disk);
  GwCheckpointInfo info = {0};
  size_t size = 0;
  uint64_t written = gw_crash_fs_written(disk);
  assert_ok(save(fs, NEW, 1, 2));
  assert_int_equal(gw_crash_fs_written(disk), written);
  assert_ok(save(fs, NEW, 2, 2));
  assert_ok(load(fs, &info));
  assert_int_equal(info.recipe_identity, 2);
  gw_crash_fs_bytes(disk, "run/ck/step-00002000/manifest.json", &size)[9] ^= 1;
  assert_ok(save(fs, NEW, 2, 2));
  expect_newest(fs, NEW);
  expect_names(fs, "step-00002000");
  gw_crash_fs_destroy(disk);
}

static void memory_that_changed_is_not_saved(void **state) {
  (void)state;
  CrashFs *disk = disk_with(OLD);
  GwFs *fs = gw_crash_fs(disk);
  State now;
  state_init(&now, 3);
  GwCheckpointInfo info = info_of(&now, NEW, 1);
  now.w[1][1] += 1.0f;
  assert_fails(GW_CORRUPT, "step 2000 is not saved",
               gw_checkpoint_save(fs, "run/ck", &info, now.groups, GROUPS, 2));
  expect_names(fs, "step-00001000");
  gw_crash_fs_destroy(disk);
}

static void expect_mismatch(GwFs *fs, const State *wanted, int groups, const char *part) {
  GwCheckpointInfo info = {0};
  char path[256];
  assert_fails(
      GW_MISMATCH, part,
      gw_checkpoint_load_newest(fs, "run/ck", wanted->groups, groups, &info, path, sizeof path));
  expect_names(fs, "step-00001000"); /* nothing is set aside */
}

static void another_model_is_a_mismatch(void **state) {
  (void)state;
  CrashFs *disk = disk_with(OLD);
  GwFs *fs = gw_crash_fs(disk);
  State other;
  state_init(&other, 0);
  other.params[1].name = "c";
  expect_mismatch(fs, &other, GROUPS, "no tensor 'c'");
  state_init(&other, 0);
  other.params[0].type = gw_type_2d(GW_F32, 5, 3);
  expect_mismatch(fs, &other, GROUPS, "'w' is f32[3,5], but f32[5,3] is wanted");
  state_init(&other, 0);
  other.params[0].type.dtype = GW_I32;
  expect_mismatch(fs, &other, GROUPS, "i32[3,5] is wanted");
  state_init(&other, 0);
  other.groups[0].count = 1;
  expect_mismatch(fs, &other, GROUPS, "tensor 'b' that is not wanted");
  expect_mismatch(fs, &other, 1, "adam_m.safetensors");
  other.groups[1].name = "adam_v";
  expect_mismatch(fs, &other, GROUPS, "'adam_v'");
  gw_crash_fs_destroy(disk);
}

static void state_hash_sees_everything(void **state) {
  (void)state;
  State a, b;
  state_init(&a, 1);
  uint64_t hash = gw_state_hash(a.groups, GROUPS, 7);
  state_init(&b, 1);
  assert_true(hash == gw_state_hash(b.groups, GROUPS, 7));
  assert_true(hash != gw_state_hash(b.groups, GROUPS, 8));
  unsigned char *bytes = (unsigned char *)b.w;
  for (size_t bit = 0; bit < 8 * sizeof b.w; bit++) {
    unsigned char whole = bytes[bit / 8];
    bytes[bit / 8] = (unsigned char)(whole ^ (1 << bit % 8));
    assert_true(hash != gw_state_hash(b.groups, GROUPS, 7));
    bytes[bit / 8] = whole;
  }
  b.params[0].data = b.m;
  b.moments[0].data = b.w;
  assert_true(hash != gw_state_hash(b.groups, GROUPS, 7));
  state_init(&b, 1);
  b.params[0].name = "v";
  assert_true(hash != gw_state_hash(b.groups, GROUPS, 7));
  state_init(&b, 1);
  b.moments[1].name = "no data, but a name"; /* an empty tensor counts, too */
  assert_true(hash != gw_state_hash(b.groups, GROUPS, 7));
  state_init(&b, 1);
  b.params[0].type = gw_type_2d(GW_F32, 5, 3);
  assert_true(hash != gw_state_hash(b.groups, GROUPS, 7));
  state_init(&b, 1);
  b.groups[0].name = "adam_m";
  b.groups[1].name = "params";
  assert_true(hash != gw_state_hash(b.groups, GROUPS, 7));
}

/* ---- power ---- */

/* After the crash the newest is `before` or `after` (0: none), the latter for sure if saved. A new
 * save must then find its way and clear up. */
static void check_after_crash(GwFs *fs, int64_t before, bool saved) {
  GwCheckpointInfo info = {0};
  GwStatus status = load(fs, &info);
  if (status == GW_OK)
    assert_true(info.step == NEW || (info.step == before && !saved));
  else if (before || saved || status != GW_NOT_FOUND)
    fail_msg("%s", gw_error_message());
  assert_ok(save(fs, NEW + 1, 1, 1));
  expect_newest(fs, NEW + 1);
  expect_names(fs, "step-00002001");
}

static void crash_saves(int64_t before, uint64_t identity, int keep) {
  GwRng rng = gw_rng(seed, (uint64_t)(before + keep) + identity);
  bool whole = false; /* once the save is over before power is lost */
  for (int n = 0; !whole; n++)
    for (int round = 0; round < 2 + 2 * 6; round++) {
      CrashFs *disk = disk_with(before);
      GwFs *fs = gw_crash_fs(disk);
      int first = gw_crash_fs_operations(disk);
      gw_crash_fs_lose_power_at(disk, n);
      GwStatus status = save(fs, NEW, identity, keep);
      whole = gw_crash_fs_operations(disk) - first <= n;
      if (whole) assert_int_equal(status, GW_OK);
      if (status != GW_OK) assert_int_equal(status, GW_IO);
      gw_crash_fs_reboot(disk, (GwCrashMode)(round < 2 ? round : 2 + round % 2), &rng);
      check_after_crash(fs, before, status == GW_OK);
      gw_crash_fs_destroy(disk);
    }
}

static void power_loss_leaves_the_old_or_the_new(void **state) {
  (void)state;
  crash_saves(OLD, 1, 2);
}

static void power_loss_while_old_ones_go(void **state) {
  (void)state;
  crash_saves(OLD, 1, 1);
}

static void power_loss_in_the_first_save(void **state) {
  (void)state;
  crash_saves(0, 1, 2);
}

static void power_loss_while_one_is_replaced(void **state) {
  (void)state;
  crash_saves(NEW, 2, 2);
}

/* A process that was killed between the rename and the sync of the folder saves again. */
static void saving_again_makes_it_durable(void **state) {
  (void)state;
  CrashFs *disk = disk_with(NEW);
  GwFs *fs = gw_crash_fs(disk);
  GwRng rng = gw_rng(seed, 6);
  assert_ok(fs->rename(fs, "run/ck/step-00002000", "run/ck/.step-00002000.tmp"));
  assert_ok(fs->sync_dir(fs, "run/ck"));
  assert_ok(fs->rename(fs, "run/ck/.step-00002000.tmp", "run/ck/step-00002000"));
  assert_ok(save(fs, NEW, 1, 2));
  gw_crash_fs_reboot(disk, GW_CRASH_DROP, &rng);
  expect_newest(fs, NEW);
  gw_crash_fs_destroy(disk);
}

static void failing_reads_are_not_corruption(void **state) {
  (void)state;
  CrashFs *disk = disk_with(OLD);
  GwFs *fs = gw_crash_fs(disk);
  GwCheckpointInfo info = {0};
  GwRng rng = gw_rng(seed, 3);
  assert_ok(save(fs, NEW, 1, 2));
  int first = gw_crash_fs_operations(disk);
  expect_newest(fs, NEW);
  int operations = gw_crash_fs_operations(disk) - first;
  for (int n = 0; n < operations; n++) {
    gw_crash_fs_lose_power_at(disk, n);
    assert_fails(GW_IO, "run/ck", load(fs, &info));
    gw_crash_fs_reboot(disk, GW_CRASH_KEEP, &rng);
    expect_names(fs, "step-00001000 step-00002000");
  }
  gw_crash_fs_destroy(disk);
}

/* ---- a full disk ---- */

static void full_disk_leaves_the_older_one(void **state) {
  (void)state;
  CrashFs *disk = disk_with(OLD);
  GwFs *fs = gw_crash_fs(disk);
  uint64_t needed = gw_crash_fs_written(disk);
  for (uint64_t space = 0; space < needed; space++) {
    gw_crash_fs_limit_space(disk, space);
    assert_fails(GW_NO_SPACE, "run/ck/.step-00002000.tmp/", save(fs, NEW, 1, 1));
    expect_names(fs, "step-00001000");
    if (space % 16 == 0) expect_newest(fs, OLD);
    assert_ok(fs->sync_dir(fs, "run/ck"));
  }
  gw_crash_fs_limit_space(disk, needed);
  assert_ok(save(fs, NEW, 1, 1));
  expect_names(fs, "step-00002000");
  gw_crash_fs_destroy(disk);
}

/* ---- damage ---- */

static const char *const files[] = {"run/ck/step-00002000/manifest.json",
                                    "run/ck/step-00002000/params.safetensors",
                                    "run/ck/step-00002000/adam_m.safetensors"};

static CrashFs *disk_with_two(void) {
  CrashFs *disk = disk_with(OLD);
  assert_ok(save(gw_crash_fs(disk), NEW, 1, 2));
  return disk;
}

/* The damaged newest is named, set aside, and the one before it is used; then it comes back. */
static void expect_damage_found(GwFs *fs, const char *file) {
  GwCheckpointInfo info = {0};
  assert_fails(GW_CORRUPT, file, gw_checkpoint_verify(fs, "run/ck/step-00002000", &info));
  expect_newest(fs, OLD);
  expect_names(fs, "bad-step-00002000 step-00001000");
  assert_ok(fs->rename(fs, "run/ck/bad-step-00002000", "run/ck/step-00002000"));
  assert_ok(fs->sync_dir(fs, "run/ck"));
}

/* Every single bit of the manifest and every value of each byte of its seal; elsewhere one random
 * change per byte. */
static bool is_tried(size_t f, size_t i, size_t size, int change, int random) {
  if (f > 0) return change == random;
  return (change & (change - 1)) == 0 || i + 48 >= size;
}

static void every_damaged_byte_is_found(void **state) {
  (void)state;
  CrashFs *disk = disk_with_two();
  GwFs *fs = gw_crash_fs(disk);
  GwRng rng = gw_rng(seed, 4);
  for (size_t f = 0; f < GW_COUNT_OF(files); f++) {
    size_t size = 0;
    unsigned char *bytes = gw_crash_fs_bytes(disk, files[f], &size);
    for (size_t i = 0; i < size; i++) {
      unsigned char whole = bytes[i];
      int random = 1 + (int)gw_rng_below(&rng, 255);
      for (int change = 1; change < 256; change++) {
        if (!is_tried(f, i, size, change, random)) continue;
        bytes[i] = (unsigned char)(whole ^ change);
        expect_damage_found(fs, files[f]);
      }
      bytes[i] = whole;
    }
  }
  expect_newest(fs, NEW);
  gw_crash_fs_destroy(disk);
}

static void rewrite(GwFs *fs, const char *path, const unsigned char *bytes, size_t size) {
  GwFile *file = NULL;
  assert_ok(fs->open(fs, path, GW_FILE_CREATE, &file));
  assert_ok(fs->write(fs, file, bytes, size));
  fs->close(fs, file);
}

static void every_truncation_is_found(void **state) {
  (void)state;
  CrashFs *disk = disk_with_two();
  GwFs *fs = gw_crash_fs(disk);
  for (size_t f = 0; f < GW_COUNT_OF(files); f++) {
    size_t size = 0;
    const unsigned char *bytes = gw_crash_fs_bytes(disk, files[f], &size);
    unsigned char *whole = malloc(size + 1);
    memcpy(whole, bytes, size);
    whole[size] = '\n';
    for (size_t cut = 0; cut <= size + 1; cut++) {
      if (cut == size) continue;
      rewrite(fs, files[f], whole, cut);
      expect_damage_found(fs, files[f]);
    }
    assert_ok(fs->remove(fs, files[f]));
    expect_damage_found(fs, files[f]);
    rewrite(fs, files[f], whole, size);
    assert_ok(fs->sync_dir(fs, "run/ck/step-00002000"));
    free(whole);
  }
  expect_newest(fs, NEW);
  gw_crash_fs_destroy(disk);
}

static void exchanged_files_are_found(void **state) {
  (void)state;
  CrashFs *disk = disk_with_two();
  GwFs *fs = gw_crash_fs(disk);
  size_t size = 0, other_size = 0;
  unsigned char *bytes = gw_crash_fs_bytes(disk, files[1], &size);
  const unsigned char *other =
      gw_crash_fs_bytes(disk, "run/ck/step-00001000/params.safetensors", &other_size);
  assert_int_equal(size, other_size);
  memcpy(bytes, other, size);
  expect_damage_found(fs, files[1]);
  gw_crash_fs_destroy(disk);

  disk = disk_with(OLD); /* a whole checkpoint under another's name */
  fs = gw_crash_fs(disk);
  GwCheckpointInfo info = {0};
  assert_ok(fs->rename(fs, "run/ck/step-00001000", "run/ck/step-00003000"));
  assert_fails(GW_CORRUPT, "all 1 checkpoints", load(fs, &info));
  expect_names(fs, "bad-step-00003000");
  gw_crash_fs_destroy(disk);
}

/* One that only looks fills some groups, trusts none that does not verify in full, and leaves the
 * folder as it is. */
static void viewing_takes_some_groups_and_changes_nothing(void **state) {
  (void)state;
  CrashFs *disk = disk_with_two();
  GwFs *fs = gw_crash_fs(disk);
  State seen, expected;
  GwCheckpointInfo info = {0};
  char path[256];
  size_t size = 0;
  unsigned char *bytes = gw_crash_fs_bytes(disk, "run/ck/step-00002000/adam_m.safetensors", &size);
  for (int damaged = 0; damaged < 2; damaged++) {
    int64_t step = damaged ? OLD : NEW;
    bytes[size - 1] ^= (unsigned char)damaged; /* of the group that is not viewed */
    state_init(&seen, 0);
    assert_ok(gw_checkpoint_view_newest(fs, "run/ck", seen.groups, 1, &info, path, sizeof path));
    assert_int_equal(info.step, step);
    state_init(&expected, (uint64_t)step * 16 + 1);
    assert_memory_equal(seen.w, expected.w, sizeof seen.w);
    assert_memory_equal(seen.b, expected.b, sizeof seen.b);
    assert_int_equal(seen.counter, 0);
    expect_names(fs, "step-00001000 step-00002000");
  }
  assert_fails(GW_CORRUPT, "adam_m",
               gw_checkpoint_view(fs, "run/ck/step-00002000", seen.groups, 1, &info));
  seen.groups[0].count = 1;
  assert_fails(GW_MISMATCH, "'b' that is not wanted",
               gw_checkpoint_view(fs, "run/ck/step-00001000", seen.groups, 1, &info));
  gw_crash_fs_destroy(disk);
}

static void newer_format_is_refused_not_set_aside(void **state) {
  (void)state;
  CrashFs *disk = disk_with(OLD);
  GwFs *fs = gw_crash_fs(disk);
  const char *path = "run/ck/step-00001000/manifest.json";
  char text[2048];
  size_t size = 0;
  const unsigned char *bytes = gw_crash_fs_bytes(disk, path, &size);
  assert_true(size < sizeof text);
  memcpy(text, bytes, size);
  text[size] = 0;
  strstr(text, "\"version\": 1")[11] = '2';
  *strstr(text, "  \"manifest_hash\"") = 0;
  size_t length = strlen(text);
  uint64_t hash = gw_hash_bytes(text, length, 0);
  snprintf(text + length, sizeof text - length, "  \"manifest_hash\": \"0x%016" PRIx64 "\"\n}\n",
           hash);
  rewrite(fs, path, (unsigned char *)text, strlen(text));
  GwCheckpointInfo info = {0};
  assert_fails(GW_UNSUPPORTED, "version 2", load(fs, &info));
  expect_names(fs, "step-00001000");
  gw_crash_fs_destroy(disk);
}

/* ---- the real disk, and tensors of several blocks ---- */

static void large_state_on_the_real_disk(void **state) {
  (void)state;
  enum { SIZE = 1300000 };
  GwFs *fs = gw_fs_disk();
  char dir[600], path[GW_PATH_MAX];
  snprintf(dir, sizeof dir, "%s/ck", gw_test_folder("checkpoint"));
  float *data = malloc(SIZE * sizeof(float)), *back = malloc(SIZE * sizeof(float));
  for (int i = 0; i < SIZE; i++) data[i] = (float)i * 0.5f;
  const GwTensor saved = {"t", gw_type_1d(GW_F32, SIZE), data};
  const GwTensor loaded = {"t", gw_type_1d(GW_F32, SIZE), back};
  const GwTensorGroup from = {"params", &saved, 1}, to = {"params", &loaded, 1};
  GwCheckpointInfo info = {1, 9, gw_state_hash(&from, 1, 1)}, got = {0};
  assert_ok(gw_checkpoint_save(fs, dir, &info, &from, 1, 2));
  info = (GwCheckpointInfo){2, 9, gw_state_hash(&from, 1, 2)};
  assert_ok(gw_checkpoint_save(fs, dir, &info, &from, 1, 1));
  assert_ok(gw_checkpoint_load_newest(fs, dir, &to, 1, &got, path, sizeof path));
  assert_int_equal(got.step, 2);
  assert_memory_equal(data, back, SIZE * sizeof(float));
  assert_ok(gw_checkpoint_verify(fs, path, &got));
  assert_true(got.state_hash == info.state_hash);
  assert_ok(gw_fs_remove_tree(fs, dir));
  free(data);
  free(back);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  gw_log_configure(GW_LOG_ERROR, false); /* thousands of expected warnings */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(saves_come_back_and_old_ones_go),
      cmocka_unit_test(same_step_is_kept_if_equal_and_replaced_if_not),
      cmocka_unit_test(memory_that_changed_is_not_saved),
      cmocka_unit_test(another_model_is_a_mismatch),
      cmocka_unit_test(state_hash_sees_everything),
      cmocka_unit_test(power_loss_leaves_the_old_or_the_new),
      cmocka_unit_test(power_loss_while_old_ones_go),
      cmocka_unit_test(power_loss_in_the_first_save),
      cmocka_unit_test(power_loss_while_one_is_replaced),
      cmocka_unit_test(saving_again_makes_it_durable),
      cmocka_unit_test(failing_reads_are_not_corruption),
      cmocka_unit_test(full_disk_leaves_the_older_one),
      cmocka_unit_test(every_damaged_byte_is_found),
      cmocka_unit_test(every_truncation_is_found),
      cmocka_unit_test(exchanged_files_are_found),
      cmocka_unit_test(viewing_takes_some_groups_and_changes_nothing),
      cmocka_unit_test(newer_format_is_refused_not_set_aside),
      cmocka_unit_test(large_state_on_the_real_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
