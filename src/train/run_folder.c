/* Opening, checking and creating a run's folder. The manifest is written last: a folder without one
 * was never started and may be started over. */
#include "train/run_folder.h"

#include <stdlib.h>
#include <string.h>

#include "godwit/log.h"
#include "os/clock.h"
#include "train/run_init.h"

#define INIT_HASH "init_state_hash"
#define FIRST "step-00000000"

/* What a new run is made of. */
typedef struct {
  const GwRecipe *recipe;
  const GwCorpus *corpus;
  const char *init_from; /* NULL: it begins with random parameters */
  uint64_t init_hash;
} Parts;

static GwStatus write_manifest(const GwRunFolder *folder, const Parts *parts) {
  const GwRecipe *recipe = parts->recipe;
  const GwCorpus *corpus = parts->corpus;
  char time[24], path[GW_PATH_MAX];
  gw_clock_utc(time);
  GW_TRY(gw_fs_path(path, "%s/manifest.json", folder->path));
  json_t *manifest =
      json_pack("{s:s, s:i, s:s, s:s, s:o, s:s, s:i, s:s, s:o}", "format", "godwit-run", "version",
                1, "godwit", GODWIT_VERSION, "created", time, "recipe_identity",
                gw_json_from_hash(gw_recipe_identity(recipe)), "dtype",
                gw_profile_name(recipe->model.dtype), "lanes", (int)recipe->train.lanes, "data",
                gw_corpus_dir(corpus), "data_hash", gw_json_from_hash(gw_corpus_hash(corpus)));
  if (manifest && parts->init_from &&
      (json_object_set_new(manifest, "init_from", json_string(parts->init_from)) != 0 ||
       json_object_set_new(manifest, INIT_HASH, gw_json_from_hash(parts->init_hash)) != 0)) {
    json_decref(manifest);
    manifest = NULL;
  }
  char *text = manifest ? gw_json_text(manifest) : NULL;
  json_decref(manifest);
  if (!text) return gw_fail(GW_MEMORY, "no memory for %s", path);
  GwStatus status = gw_fs_write_atomic(folder->fs, path, text, strlen(text));
  free(text);
  return status;
}

/* A model without moments is an import, and stays what it is. */
static GwStatus refuse_import(const GwRunFolder *folder) {
  char params[GW_PATH_MAX], moments[GW_PATH_MAX];
  GW_TRY(gw_fs_path(params, "%s/" FIRST "/params.safetensors", folder->checkpoints));
  GW_TRY(gw_fs_path(moments, "%s/" FIRST "/adam_m.safetensors", folder->checkpoints));
  if (!folder->fs->exists(folder->fs, params) || folder->fs->exists(folder->fs, moments))
    return GW_OK;
  return gw_fail(GW_EXISTS,
                 "%s holds an imported model; to train on from it give --init-from %s and another "
                 "--run",
                 folder->path, folder->path);
}

/* The checkpoint that the run begins with; one that was left by a start that failed is not it. */
static GwStatus begin(GwRunFolder *folder, Parts *parts) {
  char path[GW_PATH_MAX];
  GW_TRY(refuse_import(folder));
  GW_TRY(gw_fs_path(path, "%s/" FIRST, folder->checkpoints));
  GW_TRY(gw_fs_remove_tree(folder->fs, path));
  if (!parts->init_from) return GW_OK;
  folder->has_init = true;
  return gw_run_init_save(folder->fs, parts->init_from, parts->recipe, parts->corpus, folder->path,
                          folder->checkpoints, &parts->init_hash);
}

static GwStatus create(GwRunFolder *folder, Parts *parts) {
  const GwRecipe *recipe = parts->recipe;
  char path[GW_PATH_MAX], *text = NULL;
  GW_TRY(begin(folder, parts));
  GW_TRY(gw_fs_path(path, "%s/recipe.yaml", folder->path));
  GW_TRY(gw_recipe_write(recipe, &text));
  GwStatus status = gw_fs_write_atomic(folder->fs, path, text, strlen(text));
  free(text);
  GW_TRY(status);
  const GwTokenizer *tokenizer = gw_corpus_tokenizer(parts->corpus);
  GW_TRY(gw_fs_path(path, "%s/tokenizer.json", folder->path));
  if (tokenizer) GW_TRY(gw_tokenizer_save(folder->fs, tokenizer, path));
  return write_manifest(folder, parts);
}

static GwStatus check_manifest(const GwRunFolder *folder, const char *path, json_t *manifest,
                               const GwRecipe *recipe, const GwCorpus *corpus) {
  uint64_t identity = 0, data = 0;
  const char *dtype = NULL, *wanted = gw_profile_name(recipe->model.dtype);
  GW_TRY(gw_json_hash(manifest, path, "recipe_identity", &identity));
  GW_TRY(gw_json_hash(manifest, path, "data_hash", &data));
  GW_TRY(gw_json_string(manifest, path, "dtype", &dtype));
  if (strcmp(dtype, wanted) != 0)
    return gw_fail(GW_MISMATCH,
                   "%s was started with dtype %s, and the recipe says %s; give dtype=%s, or "
                   "another --run",
                   folder->path, dtype, wanted, dtype);
  if (identity != gw_recipe_identity(recipe))
    return gw_fail(
        GW_MISMATCH,
        "%s was started with another recipe (see its recipe.yaml); use that one, or give "
        "another --run",
        folder->path);
  if (data != gw_corpus_hash(corpus))
    return gw_fail(GW_MISMATCH,
                   "%s was started with other data than %s; give the same --data, or another --run",
                   folder->path, gw_corpus_dir(corpus));
  return GW_OK;
}

/* The schedule is a function of the recipe's steps, so these must not change under a run. */
static GwStatus check_steps(const GwRunFolder *folder, const GwRecipe *recipe) {
  char path[GW_PATH_MAX];
  GwRecipe started;
  GW_TRY(gw_fs_path(path, "%s/recipe.yaml", folder->path));
  GW_TRY(gw_recipe_load(path, NULL, 0, &started));
  if (started.train.steps != recipe->train.steps)
    return gw_fail(
        GW_MISMATCH,
        "%s was started with train.steps=%lld; keep that and use --steps to stop earlier "
        "or go on longer",
        folder->path, (long long)started.train.steps);
  return GW_OK;
}

static GwStatus check(GwRunFolder *folder, const char *path, const GwRecipe *recipe,
                      const GwCorpus *corpus) {
  char *text = NULL;
  size_t size = 0;
  json_t *manifest = NULL;
  GW_TRY(gw_fs_read_all(folder->fs, path, 1 << 20, &text, &size));
  GwStatus status = gw_json_parse(path, text, size, &manifest);
  free(text);
  GW_TRY(status);
  status = check_manifest(folder, path, manifest, recipe, corpus);
  folder->has_init = json_object_get(manifest, INIT_HASH) != NULL;
  json_decref(manifest);
  GW_TRY(status);
  return check_steps(folder, recipe);
}

static GwStatus set_paths(GwRunFolder *folder, const char *path) {
  if (strlen(path) >= sizeof folder->path)
    return gw_fail(GW_INVALID, "the run folder's path is too long");
  strcpy(folder->path, path);
  return gw_fs_path(folder->checkpoints, "%s/checkpoints", path);
}

static GwStatus open_files(GwRunFolder *folder, int32_t lanes) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/journal.jsonl", folder->path));
  GW_TRY(gw_jsonl_open(folder->fs, path, &folder->journal));
  GW_TRY(gw_fs_path(path, "%s/metrics.jsonl", folder->path));
  GW_TRY(gw_jsonl_open(folder->fs, path, &folder->metrics));
  GW_TRY(gw_fs_path(path, "%s/ledger.bin", folder->path));
  return gw_ledger_open(folder->fs, path, lanes, &folder->ledger);
}

GwStatus gw_run_folder_open(GwFs *fs, const char *path, const GwRecipe *recipe,
                            const GwCorpus *corpus, const GwTrainOptions *options,
                            GwRunFolder *out) {
  Parts parts = {.recipe = recipe, .corpus = corpus, .init_from = options->init_from};
  GwRunFolder folder = {.fs = fs, .lock = {-1}};
  char manifest[GW_PATH_MAX], lock[GW_PATH_MAX];
  GW_TRY(set_paths(&folder, path));
  GW_TRY(gw_fs_path(manifest, "%s/manifest.json", path));
  GW_TRY(gw_fs_path(lock, "%s/lock", path));
  bool there = fs->exists(fs, manifest);
  if (there && !options->resume)
    return gw_fail(GW_EXISTS,
                   "%s holds a run already; give --resume to go on with it, or another --run",
                   path);
  if (!there && options->resume)
    gw_log(GW_LOG_INFO, "%s holds no run to resume: starting one", path);
  GwStatus status = gw_fs_make_dirs(fs, path);
  if (status == GW_OK) status = gw_lock_open(lock, &folder.lock);
  if (status == GW_OK)
    status = there ? check(&folder, manifest, recipe, corpus) : create(&folder, &parts);
  if (status == GW_OK && options->init_from && !folder.has_init)
    status = gw_fail(GW_MISMATCH,
                     "%s began without --init-from; leave that out, or give another --run", path);
  if (status == GW_OK) status = open_files(&folder, recipe->train.lanes);
  if (status != GW_OK) {
    gw_run_folder_close(&folder);
    return status;
  }
  *out = folder;
  return GW_OK;
}

GwStatus gw_run_folder_join(GwFs *fs, const char *path, const GwRecipe *recipe,
                            const GwCorpus *corpus, bool writer, GwRunFolder *out) {
  GwRunFolder folder = {.fs = fs, .lock = {-1}};
  char manifest[GW_PATH_MAX];
  GW_TRY(set_paths(&folder, path));
  GW_TRY(gw_fs_path(manifest, "%s/manifest.json", path));
  GW_TRY(check(&folder, manifest, recipe, corpus));
  GwStatus status = writer ? open_files(&folder, recipe->train.lanes) : GW_OK;
  if (status == GW_OK)
    *out = folder;
  else
    gw_run_folder_close(&folder);
  return status;
}

void gw_run_folder_close(GwRunFolder *folder) {
  if (!folder->fs) return;
  gw_ledger_close(folder->ledger);
  gw_jsonl_close(&folder->metrics);
  gw_jsonl_close(&folder->journal);
  gw_lock_close(&folder->lock);
  *folder = (GwRunFolder){.lock = {-1}};
}

void gw_run_folder_sync(const GwRunFolder *folder) {
  GwStatus status = gw_fs_sync(folder->fs, folder->journal.path);
  if (status == GW_OK) status = gw_fs_sync(folder->fs, folder->metrics.path);
  if (status == GW_OK) status = gw_ledger_sync(folder->ledger);
  if (status != GW_OK)
    gw_log(GW_LOG_WARNING, "the run's record may not be on the disk: %s", gw_error_message());
}

void gw_run_folder_journal(GwRunFolder *folder, const char *event, int64_t step, json_t *details) {
  char time[24];
  if (!folder->journal.file) {
    json_decref(details);
    return;
  }
  gw_clock_utc(time);
  json_t *line = json_pack("{s:s, s:I, s:s, s:I}", "time", time, "ns", (json_int_t)gw_clock_ns(),
                           "event", event, "step", (json_int_t)step);
  if (line && details) json_object_update(line, details);
  json_decref(details);
  gw_jsonl_add(&folder->journal, line);
}
