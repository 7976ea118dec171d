/* A run that begins with the parameters of another model instead of random ones, for example of an
 * import. They become the run's checkpoint of step 0, with moments of zero; from there on it is a
 * run like any other, for ranks and for whoever resumes it. */
#ifndef GW_RUN_INIT_H
#define GW_RUN_INIT_H

#include "data/corpus.h"
#include "godwit/recipe.h"
#include "state/checkpoint.h"

/* Saves that checkpoint into `checkpoints` and what ends a text into `run`. `source` is a run or a
 * checkpoint; *hash gets the state hash that `godwit hash` prints of it. GW_MISMATCH, naming the
 * key to give, when the recipe's model computes something else (only dropout and the like may
 * differ, and the context where it has no parameters), or when its tokenizer is not the data's. */
GwStatus gw_run_init_save(GwFs *fs, const char *source, const GwRecipe *recipe,
                          const GwCorpus *corpus, const char *run, const char *checkpoints,
                          uint64_t *hash);

#endif
