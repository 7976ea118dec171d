/* A run on disk: recipe, manifest, journal, metrics, ledger, checkpoints, lock.
 *
 *   RUN/recipe.yaml     the resolved recipe, never changed
 *       manifest.json   what the run's numbers depend on: identity of the recipe, hash of the data
 *       tokenizer.json  a copy of the data's
 *       journal.jsonl metrics.jsonl ledger.bin checkpoints/ lock */
#ifndef GW_RUN_FOLDER_H
#define GW_RUN_FOLDER_H

#include "data/corpus.h"
#include "godwit/train.h"
#include "state/checkpoint.h"
#include "train/jsonl.h"
#include "train/ledger.h"

typedef struct {
  GwFs *fs;
  char path[GW_PATH_MAX / 2];
  char checkpoints[GW_PATH_MAX];
  GwLock lock;
  GwJsonl journal, metrics;
  GwLedger *ledger;
  bool has_init; /* it began with another model: its first checkpoint is of step 0 */
} GwRunFolder;

/* Makes a new run, which begins with the model of options->init_from where that is given, or opens
 * the one that is there when options->resume (where there is none, resuming is starting: a job
 * script need not know). GW_EXISTS when an import is there, or a run that is not to be resumed;
 * GW_BUSY when another process has it; GW_MISMATCH when recipe or data are not those it was started
 * with. */
GwStatus gw_run_folder_open(GwFs *fs, const char *path, const GwRecipe *recipe,
                            const GwCorpus *corpus, const GwTrainOptions *options,
                            GwRunFolder *out);
/* Opens the run of a process that holds its lock: for one of its ranks. Recipe and data are checked
 * as above; only one rank may be `writer`, for the others what is recorded goes nowhere. */
GwStatus gw_run_folder_join(GwFs *fs, const char *path, const GwRecipe *recipe,
                            const GwCorpus *corpus, bool writer, GwRunFolder *out);
void gw_run_folder_close(GwRunFolder *folder); /* a zeroed one is fine */

/* Makes journal, metrics and ledger durable; done before a checkpoint is written, so that none can
 * be ahead of its record. A failure is only a warning. */
void gw_run_folder_sync(const GwRunFolder *folder);

/* Adds a line to the journal: time, event, step, and the members of `details` (released; may be
 * NULL). */
void gw_run_folder_journal(GwRunFolder *folder, const char *event, int64_t step, json_t *details);

#endif
