/* The ledger: per step the signatures of all lanes, of their total, the exact loss and the hash of
 * the state after it, in ledger.bin. A step that is computed again (after a crash) must give the
 * same entry: that is checked, so a resumed run proves its own determinism as it goes.
 *
 * Layout, little-endian: 64 bytes of header (8 "GWLEDGER", u32 version 1, u32 lanes, zeros), then
 * one record per step from step 1 on: i64 step, i64 loss_sum, i64 tokens, u64 total signature, u64
 * state hash, u64 × lanes, u64 XXH3 of the record so far. A torn last record is cut off when
 * opened; a record of zeros stands for a step whose entry was lost. */
#ifndef GW_LEDGER_H
#define GW_LEDGER_H

#include "os/fs.h"

typedef struct {
  int64_t step; /* from 1 */
  int64_t loss_sum, tokens;
  uint64_t total_signature, state_hash;
} GwLedgerEntry;

typedef struct GwLedger GwLedger;

GwStatus gw_ledger_open(GwFs *fs, const char *path, int32_t lanes, GwLedger **out);
void gw_ledger_close(GwLedger *ledger); /* NULL is fine */
int64_t gw_ledger_steps(const GwLedger *ledger);

/* For a run that goes on from `step`: where the ledger ends earlier (a full disk, a file that was
 * cut short), says so and leaves the lost records blank, so that later ones find their place. */
void gw_ledger_reach(GwLedger *ledger, int64_t step);

/* Makes the records durable. */
GwStatus gw_ledger_sync(const GwLedger *ledger);

/* Appends the entry, or compares it when the step is recorded already: GW_NUMERIC names what
 * differs. `lanes`: their signatures. A full disk is not an error here: the entry is lost with a
 * warning, and so are later ones. */
GwStatus gw_ledger_put(GwLedger *ledger, const GwLedgerEntry *entry, const uint64_t *lanes);

#endif
