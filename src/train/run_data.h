/* What a run is made of before anything is computed: its data, its folder's name. */
#ifndef GW_RUN_DATA_H
#define GW_RUN_DATA_H

#include "data/corpus.h"
#include "godwit/train.h"

/* Opens the data of options->data_dir, or the recipe's, and completes the recipe: where the data
 * are, how large the vocabulary is. GW_MISMATCH when the model is too small for it. */
GwStatus gw_run_data_open(const GwTrainOptions *options, GwRecipe *recipe, GwCorpus **out);

/* options->run_dir, or runs/NAME. `out`: as large as GwTrainReport.run_dir. */
GwStatus gw_run_data_folder(const GwTrainOptions *options, const GwRecipe *recipe, char *out);

#endif
