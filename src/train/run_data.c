/* Opening the data and naming the folder: what a single process and a supervisor both do. */
#include "train/run_data.h"

#include <stdio.h>
#include <string.h>

#include "data/corpus_manifest.h"

GwStatus gw_run_data_open(const GwTrainOptions *options, GwRecipe *recipe, GwCorpus **out) {
  const char *dir = options->data_dir ? options->data_dir : recipe->data.dir;
  if (!dir[0])
    return gw_fail(GW_USAGE,
                   "no data: give --data DIR, a folder that `godwit prepare` wrote, or one with "
                   "token files");
  GW_TRY(gw_corpus_open(dir, true, out));
  if (strlen(dir) >= sizeof recipe->data.dir)
    return gw_fail(GW_INVALID, "%s: the path of the data is too long", dir);
  memmove(recipe->data.dir, dir, strlen(dir) + 1);
  int32_t vocab = gw_corpus_vocab_min(*out);
  if (recipe->model.vocab_size == 0) recipe->model.vocab_size = gw_corpus_vocab_size(*out);
  if (recipe->model.vocab_size < vocab)
    return gw_fail(
        GW_MISMATCH,
        "model.vocab_size is %d, but the vocabulary of %s has %d tokens; set it to 0 to take "
        "the data's",
        recipe->model.vocab_size, dir, vocab);
  return GW_OK;
}

GwStatus gw_run_data_folder(const GwTrainOptions *options, const GwRecipe *recipe, char *out) {
  size_t room = sizeof(((GwTrainReport *)NULL)->run_dir);
  int length = options->run_dir ? snprintf(out, room, "%s", options->run_dir)
                                : snprintf(out, room, "runs/%s", recipe->name);
  if (length < 0 || (size_t)length >= room)
    return gw_fail(GW_USAGE, "the run folder's path is too long");
  return GW_OK;
}
