/* Fixed-size records, so that step k stands at a known offset. */
#include "train/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "godwit/log.h"

enum { HEADER_BYTES = 64, FIXED_WORDS = 5, VERSION = 1 };

struct GwLedger {
  GwFs *fs;
  GwFile *file;
  char path[GW_PATH_MAX];
  int32_t lanes;
  size_t record_bytes;
  int64_t steps;
  uint64_t *record, *recorded;
  bool lost; /* entries have been lost: nothing can be appended any more */
};

int64_t gw_ledger_steps(const GwLedger *ledger) { return ledger->steps; }

static void make_header(int32_t lanes, unsigned char header[HEADER_BYTES]) {
  const uint32_t words[2] = {VERSION, (uint32_t)lanes};
  memset(header, 0, HEADER_BYTES);
  memcpy(header, "GWLEDGER", 8);
  memcpy(header + 8, words, sizeof words);
}

static uint64_t seal(const GwLedger *ledger, const uint64_t *record) {
  return gw_hash_bytes(record, ledger->record_bytes - sizeof *record, VERSION);
}

typedef enum { WHOLE, BLANK, DAMAGED } Condition;

/* Reads the record of a step. */
static Condition read_record(GwLedger *ledger, int64_t step, uint64_t *record) {
  size_t got = 0, words = ledger->record_bytes / sizeof *record;
  uint64_t offset = HEADER_BYTES + (uint64_t)(step - 1) * ledger->record_bytes, bits = 0;
  GwStatus status =
      ledger->fs->read_at(ledger->fs, ledger->file, offset, record, ledger->record_bytes, &got);
  if (status != GW_OK || got != ledger->record_bytes) return DAMAGED;
  for (size_t i = 0; i < words; i++) bits |= record[i];
  if (bits == 0) return BLANK;
  bool sealed = record[words - 1] == seal(ledger, record) && (int64_t)record[0] == step;
  return sealed ? WHOLE : DAMAGED;
}

static GwStatus check_header(GwLedger *ledger, uint64_t *size) {
  unsigned char wanted[HEADER_BYTES], found[HEADER_BYTES];
  make_header(ledger->lanes, wanted);
  GW_TRY(ledger->fs->size(ledger->fs, ledger->file, size));
  if (*size < HEADER_BYTES) {
    GW_TRY(ledger->fs->truncate(ledger->fs, ledger->file, 0));
    *size = HEADER_BYTES;
    return ledger->fs->write(ledger->fs, ledger->file, wanted, sizeof wanted);
  }
  size_t got = 0;
  GW_TRY(ledger->fs->read_at(ledger->fs, ledger->file, 0, found, sizeof found, &got));
  if (got != sizeof found || memcmp(found, wanted, sizeof wanted) != 0)
    return gw_fail(GW_CORRUPT,
                   "%s: its header is not that of a ledger of %d lanes; move it away to go "
                   "on without its record",
                   ledger->path, ledger->lanes);
  return GW_OK;
}

GwStatus gw_ledger_open(GwFs *fs, const char *path, int32_t lanes, GwLedger **out) {
  GwLedger *ledger = calloc(1, sizeof *ledger);
  if (!ledger) return gw_fail(GW_MEMORY, "no memory for the ledger");
  ledger->fs = fs;
  ledger->lanes = lanes;
  ledger->record_bytes = sizeof(uint64_t) * (size_t)(FIXED_WORDS + lanes + 1);
  GwStatus status = GW_OK;
  uint64_t size = 0;
  ledger->record = calloc(2, ledger->record_bytes);
  if (!ledger->record) {
    status = gw_fail(GW_MEMORY, "no memory for the ledger");
    goto failed;
  }
  ledger->recorded = ledger->record + ledger->record_bytes / sizeof(uint64_t);
  GW_TRY_GOTO(status, gw_fs_path(ledger->path, "%s", path), failed);
  GW_TRY_GOTO(status, fs->open(fs, path, GW_FILE_APPEND, &ledger->file), failed);
  GW_TRY_GOTO(status, check_header(ledger, &size), failed);
  ledger->steps = (int64_t)((size - HEADER_BYTES) / ledger->record_bytes);
  while (ledger->steps > 0 && read_record(ledger, ledger->steps, ledger->record) != WHOLE)
    ledger->steps--;
  uint64_t whole = HEADER_BYTES + (uint64_t)ledger->steps * ledger->record_bytes;
  if (whole < size) GW_TRY_GOTO(status, fs->truncate(fs, ledger->file, whole), failed);
  *out = ledger;
  return GW_OK;
failed:
  gw_ledger_close(ledger);
  return status;
}

void gw_ledger_close(GwLedger *ledger) {
  if (!ledger) return;
  if (ledger->file) ledger->fs->close(ledger->fs, ledger->file);
  free(ledger->record);
  free(ledger);
}

static GwStatus compare(const GwLedger *ledger, int64_t step) {
  static const char *const names[FIXED_WORDS] = {"step", "loss", "token count",
                                                 "gradient signature", "state hash"};
  for (int32_t i = 0; i < ledger->lanes; i++)
    if (ledger->record[FIXED_WORDS + i] != ledger->recorded[FIXED_WORDS + i])
      return gw_fail(GW_NUMERIC,
                     "step %lld computed again gives lane %d another signature than %s recorded: a "
                     "machine, a library or the data has changed",
                     (long long)step, i, ledger->path);
  for (int i = 0; i < FIXED_WORDS; i++)
    if (ledger->record[i] != ledger->recorded[i])
      return gw_fail(GW_NUMERIC,
                     "step %lld computed again gives another %s than %s recorded: a machine, a "
                     "library or the data has changed",
                     (long long)step, names[i], ledger->path);
  return GW_OK;
}

/* Appends ledger->record, unless an earlier one was lost: its place would be wrong. */
static void append(GwLedger *ledger) {
  if (ledger->lost) return;
  GwStatus status =
      ledger->fs->write(ledger->fs, ledger->file, ledger->record, ledger->record_bytes);
  if (status == GW_OK) {
    ledger->steps++;
    return;
  }
  ledger->lost = true;
  gw_log(GW_LOG_WARNING, "the ledger ends at step %lld: %s", (long long)ledger->steps,
         gw_error_message());
}

GwStatus gw_ledger_put(GwLedger *ledger, const GwLedgerEntry *entry, const uint64_t *lanes) {
  const uint64_t fixed[FIXED_WORDS] = {(uint64_t)entry->step, (uint64_t)entry->loss_sum,
                                       (uint64_t)entry->tokens, entry->total_signature,
                                       entry->state_hash};
  memcpy(ledger->record, fixed, sizeof fixed);
  memcpy(ledger->record + FIXED_WORDS, lanes, sizeof *lanes * (size_t)ledger->lanes);
  ledger->record[FIXED_WORDS + ledger->lanes] = seal(ledger, ledger->record);
  if (entry->step <= ledger->steps) {
    Condition condition = read_record(ledger, entry->step, ledger->recorded);
    if (condition == DAMAGED)
      return gw_fail(GW_CORRUPT,
                     "%s: the record of step %lld is damaged; move the file away to go on "
                     "without it",
                     ledger->path, (long long)entry->step);
    return condition == BLANK ? GW_OK : compare(ledger, entry->step);
  }
  GW_ASSERT(ledger->lost || entry->step == ledger->steps + 1);
  append(ledger);
  return GW_OK;
}

void gw_ledger_reach(GwLedger *ledger, int64_t step) {
  if (ledger->steps >= step) return;
  gw_log(GW_LOG_WARNING, "%s: the records of steps %lld to %lld are lost; the run goes on",
         ledger->path, (long long)ledger->steps + 1, (long long)step);
  memset(ledger->record, 0, ledger->record_bytes);
  while (ledger->steps < step && !ledger->lost) append(ledger);
}

GwStatus gw_ledger_sync(const GwLedger *ledger) { return gw_fs_sync(ledger->fs, ledger->path); }
