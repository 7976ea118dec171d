/* The ledger and the lines of a run: what is recorded comes back, what differs is named, what a
 * crash or a full disk took away is noticed and leaves its place. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash_fs.h"
#include "train/jsonl.h"
#include "train/ledger.h"

enum { LANES = 3, RECORD_BYTES = 8 * (5 + LANES + 1), HEADER_BYTES = 64 };
static const char path[] = "ledger.bin";

/* The entry of a step, with `more` added to the signature of its last lane. */
static GwStatus put(GwLedger *ledger, int64_t step, uint64_t more) {
  const uint64_t lanes[LANES] = {(uint64_t)step * 3, (uint64_t)step * 5, (uint64_t)step * 7 + more};
  GwLedgerEntry entry = {step, 1000 - step, 64, (uint64_t)step * 15, (uint64_t)step * 99};
  return gw_ledger_put(ledger, &entry, lanes);
}

static GwLedger *reopen(GwFs *fs, GwLedger *ledger) {
  GwLedger *again = NULL;
  gw_ledger_close(ledger);
  assert_ok(gw_ledger_open(fs, path, LANES, &again));
  return again;
}

/* A ledger of `steps` steps on a disk in memory. */
static GwLedger *recorded(CrashFs *disk, int64_t steps) {
  GwLedger *ledger = NULL;
  assert_ok(gw_ledger_open(gw_crash_fs(disk), path, LANES, &ledger));
  for (int64_t step = 1; step <= steps; step++) assert_ok(put(ledger, step, 0));
  assert_int_equal(gw_ledger_steps(ledger), steps);
  return ledger;
}

static void a_step_made_again_must_be_the_same(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwLedger *ledger = reopen(gw_crash_fs(disk), recorded(disk, 5));
  assert_int_equal(gw_ledger_steps(ledger), 5);
  for (int64_t step = 3; step <= 7; step++) assert_ok(put(ledger, step, 0));
  assert_int_equal(gw_ledger_steps(ledger), 7);
  assert_fails(GW_NUMERIC, "step 4 computed again gives lane 2", put(ledger, 4, 1));
  const uint64_t lanes[LANES] = {12, 20, 28};
  GwLedgerEntry entry = {4, 996, 64, 60, 1};
  assert_fails(GW_NUMERIC, "another state hash", gw_ledger_put(ledger, &entry, lanes));
  gw_ledger_close(ledger);
  gw_crash_fs_destroy(disk);
}

static void a_torn_record_is_cut_off(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  for (uint64_t cut = 1; cut <= RECORD_BYTES; cut++) {
    GwFile *file = NULL;
    uint64_t size = 0;
    GwLedger *ledger = recorded(disk, 4);
    gw_ledger_close(ledger);
    assert_ok(fs->open(fs, path, GW_FILE_APPEND, &file));
    assert_ok(fs->size(fs, file, &size));
    assert_int_equal(size, HEADER_BYTES + 4 * RECORD_BYTES);
    assert_ok(fs->truncate(fs, file, size - cut));
    fs->close(fs, file);
    ledger = reopen(fs, NULL);
    assert_int_equal(gw_ledger_steps(ledger), 3);
    assert_ok(put(ledger, 4, 0));
    gw_ledger_close(ledger);
  }
  gw_crash_fs_destroy(disk);
}

static void a_damaged_record_is_named(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  gw_ledger_close(recorded(disk, 4));
  size_t size = 0;
  unsigned char *bytes = gw_crash_fs_bytes(disk, path, &size);
  for (int at = 0; at < RECORD_BYTES; at++) {
    bytes[HEADER_BYTES + RECORD_BYTES + at] ^= 4;
    GwLedger *ledger = reopen(fs, NULL);
    assert_int_equal(gw_ledger_steps(ledger), 4);
    assert_ok(put(ledger, 1, 0));
    assert_fails(GW_CORRUPT, "the record of step 2", put(ledger, 2, 0));
    gw_ledger_close(ledger);
    bytes[HEADER_BYTES + RECORD_BYTES + at] ^= 4;
  }
  GwLedger *other = NULL;
  assert_fails(GW_CORRUPT, "of a ledger of 4 lanes", gw_ledger_open(fs, path, 4, &other));
  gw_crash_fs_destroy(disk);
}

static void lost_records_leave_their_places(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  GwLedger *ledger = recorded(disk, 3);
  gw_crash_fs_limit_space(disk, RECORD_BYTES / 2);
  for (int64_t step = 4; step <= 6; step++) assert_ok(put(ledger, step, 0)); /* only warnings */
  gw_crash_fs_limit_space(disk, UINT64_MAX);
  assert_ok(put(ledger, 7, 0)); /* its place cannot be filled now */
  assert_int_equal(gw_ledger_steps(ledger), 3);
  ledger = reopen(fs, ledger);
  assert_int_equal(gw_ledger_steps(ledger), 3);
  gw_ledger_reach(ledger, 7);
  assert_ok(put(ledger, 8, 0));
  ledger = reopen(fs, ledger);
  assert_int_equal(gw_ledger_steps(ledger), 8);
  assert_fails(GW_NUMERIC, "step 8", put(ledger, 8, 1));
  assert_ok(put(ledger, 5, 1)); /* not recorded: nothing to compare with */
  assert_fails(GW_NUMERIC, "step 3", put(ledger, 3, 1));
  gw_ledger_reach(ledger, 2); /* nothing to do */
  assert_int_equal(gw_ledger_steps(ledger), 8);
  gw_ledger_close(ledger);
  gw_crash_fs_destroy(disk);
}

static void synced_records_survive(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  GwLedger *ledger = recorded(disk, 3);
  assert_ok(fs->sync_dir(fs, "."));
  assert_ok(gw_ledger_sync(ledger));
  assert_ok(put(ledger, 4, 0));
  gw_ledger_close(ledger);
  GwRng rng = gw_rng(1, 1);
  gw_crash_fs_reboot(disk, GW_CRASH_DROP, &rng);
  ledger = reopen(fs, NULL);
  assert_int_equal(gw_ledger_steps(ledger), 3);
  gw_ledger_close(ledger);
  gw_crash_fs_destroy(disk);
}

static void lines_are_whole_and_cut_by_step(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  GwJsonl lines = {0};
  assert_ok(gw_jsonl_open(fs, "m.jsonl", &lines));
  for (int step = 1; step <= 4; step++) gw_jsonl_add(&lines, json_pack("{s:i}", "step", step));
  assert_ok(fs->write(fs, lines.file, "{\"st", 4));
  gw_jsonl_close(&lines);
  assert_ok(gw_jsonl_open(fs, "m.jsonl", &lines));
  assert_ok(gw_jsonl_cut(&lines, "step", 2));
  gw_jsonl_add(&lines, json_pack("{s:i}", "step", 3));
  gw_jsonl_close(&lines);
  char *text = NULL;
  size_t size = 0;
  assert_ok(gw_fs_read_all(fs, "m.jsonl", 1000, &text, &size));
  int steps[4] = {0};
  assert_int_equal(sscanf(text, "{\"step\":%d}\n{\"step\":%d}\n{\"step\":%d}\n%d", &steps[0],
                          &steps[1], &steps[2], &steps[3]),
                   3);
  assert_true(steps[0] == 1 && steps[1] == 2 && steps[2] == 3);
  free(text);
  gw_crash_fs_destroy(disk);
}

/* Lines of a file that is longer than what is looked at first, and a few that have no step. */
static void a_long_file_is_cut_anywhere(void **state) {
  (void)state;
  enum { STEPS = 5000, LINE = 70, NOTE = 10 };
  static const int64_t cuts[] = {STEPS + 1, STEPS, STEPS - 1, 4999, 3000, 1001, 1000, 999, 1, 0, 0};
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  GwJsonl lines = {0};
  assert_ok(gw_jsonl_open(fs, "m.jsonl", &lines));
  for (int step = 1; step <= STEPS; step++) {
    char line[LINE + 1];
    snprintf(line, sizeof line, "{\"step\":%8d,\"text\":\"%042d\"}\n", step, step);
    assert_int_equal(strlen(line), LINE);
    assert_ok(fs->write(fs, lines.file, line, LINE));
    if (step % 1000 == 0) assert_ok(fs->write(fs, lines.file, "{\"no\": 1}\n", NOTE));
  }
  for (size_t i = 0; i < GW_COUNT_OF(cuts); i++) {
    int64_t whole = cuts[i] < STEPS ? cuts[i] : STEPS;
    uint64_t bytes = 0;
    if (i % 2 == 1) { /* found torn */
      assert_ok(fs->write(fs, lines.file, "{\"step\"", 7));
      gw_jsonl_close(&lines);
      assert_ok(gw_jsonl_open(fs, "m.jsonl", &lines));
    }
    assert_ok(gw_jsonl_cut(&lines, "step", cuts[i]));
    assert_ok(fs->size(fs, lines.file, &bytes));
    assert_int_equal(bytes, whole * LINE + whole / 1000 * NOTE);
  }
  gw_jsonl_close(&lines);
  gw_crash_fs_destroy(disk);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_made_again_must_be_the_same),
                                     cmocka_unit_test(a_torn_record_is_cut_off),
                                     cmocka_unit_test(a_damaged_record_is_named),
                                     cmocka_unit_test(lost_records_leave_their_places),
                                     cmocka_unit_test(synced_records_survive),
                                     cmocka_unit_test(lines_are_whole_and_cut_by_step),
                                     cmocka_unit_test(a_long_file_is_cut_anywhere)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
