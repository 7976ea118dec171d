/* Looking at runs and recipes without training: the hash of a state, the program of a recipe. */
#ifndef GODWIT_INSPECT_H
#define GODWIT_INSPECT_H

#include <stdint.h>
#include <stdio.h>

#include "godwit/status.h"

typedef struct {
  char path[4096]; /* of the checkpoint */
  int64_t step;
  uint64_t state_hash; /* of the full training state; docs/formats.md says how it is made */
} GwRunHash;

/* Verifies a checkpoint in full, byte by byte. `path` is a run, of which the newest checkpoint that
 * verifies is taken, or one checkpoint. Changes nothing. */
GwStatus gw_run_hash(const char *path, GwRunHash *out);

typedef struct {
  const char *recipe; /* path */
  const char *const *overrides;
  int override_count;
  const char *program;  /* "lane" (one lane's training step), "loss" or "decode" */
  const char *data_dir; /* NULL, or the corpus that a vocab_size of 0 is taken from */
  int threads;          /* of the run whose memory is worked out; 0: all processors */
} GwProgramOptions;

/* Prints the program and, as comments, its totals and those of a training run. The whole text
 * parses back to the same program. */
GwStatus gw_program_show(const GwProgramOptions *options, FILE *out);

#endif
