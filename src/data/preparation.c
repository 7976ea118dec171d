/* From inputs to a corpus, in up to three passes over the documents:
 *
 *   survey   count, find copies, hash everything; decides the split rule and tells whether what the
 *            folder holds already is the same corpus, finished or begun
 *   train    bpe only: piece counts of the training part, then merges → tokenizer.json
 *   encode   tokens → shards; progress.json is written after each, manifest.json at the very end
 *
 * An interrupted preparation is gone on with by the same command: the survey runs again (and proves
 * that the documents are the same), the tokenizer and the finished shards are kept. */
#include "data/preparation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash64.h"
#include "data/corpus_pass.h"
#include "data/corpus_writer.h"
#include "godwit/log.h"

enum {
  VOCAB_MIN = 257, /* the bytes and end-of-text */
  VOCAB_MAX = 1 << 24,
  SHARD_TOKENS_MAX = 1000000000, /* with one document of 1 GiB more it still counts in int32 */
  SLOTS_PER_THREAD = 8,
  COPY_BYTES = 1 << 16,
};

typedef struct {
  GwFs *fs;
  const GwPrepareOptions *options;
  GwLock lock;
  char stdin_path[GW_PATH_MAX], tokenizer_path[GW_PATH_MAX];
  bool spooled; /* stdin_path was made */
  GwDocumentList list;
  GwPool *pool;
  GwTokenizer *tokenizer; /* NULL until known */
  GwPassSource source;
  GwSurvey survey;
  GwSplitRule rule;
  uint64_t options_hash;
  GwCorpusManifest manifest; /* of what is done */
} Preparation;

GwPrepareOptions gw_prepare_default(void) {
  return (GwPrepareOptions){
      .tokenizer = "byte", .vocab_size = 4096, .val_fraction = 0.1, .shard_tokens = 100000000};
}

static bool is_bpe_hf(const GwPrepareOptions *options) {
  return strcmp(options->tokenizer, "bpe-hf") == 0;
}

static bool is_bpe(const GwPrepareOptions *options) {
  return strcmp(options->tokenizer, "bpe") == 0 || is_bpe_hf(options);
}

static bool reads_stdin(const GwPrepareOptions *options) {
  for (int i = 0; i < options->input_count; i++)
    if (strcmp(options->inputs[i], "-") == 0) return true;
  return false;
}

static GwStatus check_options(const GwPrepareOptions *options) {
  if (!options->out_dir || !*options->out_dir)
    return gw_fail(GW_USAGE, "no folder to write to; give --out DIR");
  if (options->input_count < 1)
    return gw_fail(GW_USAGE, "no input; name files or folders, or - for standard input");
  if (!(options->val_fraction >= 0 && options->val_fraction < 1))
    return gw_fail(GW_USAGE, "val_fraction %g: must be at least 0 and below 1",
                   options->val_fraction);
  if (is_bpe(options) && (options->vocab_size < VOCAB_MIN || options->vocab_size > VOCAB_MAX))
    return gw_fail(GW_USAGE, "vocab_size %" PRId32 ": must be %d to %d", options->vocab_size,
                   VOCAB_MIN, VOCAB_MAX);
  if (options->shard_tokens < 1 || options->shard_tokens > SHARD_TOKENS_MAX)
    return gw_fail(GW_USAGE, "shard_tokens %" PRId64 ": must be 1 to %d", options->shard_tokens,
                   SHARD_TOKENS_MAX);
  int dashes = 0;
  for (int i = 0; i < options->input_count; i++) dashes += strcmp(options->inputs[i], "-") == 0;
  if (dashes > 1) return gw_fail(GW_USAGE, "standard input (-) can be read only once");
  return GW_OK;
}

/* ---- setting up ---- */

static GwStatus copy_stdin(GwFs *fs, GwFile *file) {
  char buffer[COPY_BYTES];
  ssize_t got;
  while ((got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
    GW_TRY(fs->write(fs, file, buffer, (size_t)got));
  if (got < 0) return gw_fail(GW_IO, "cannot read standard input");
  return fs->sync_file(fs, file);
}

/* Several passes need a file. */
static GwStatus spool_stdin(Preparation *preparation) {
  GwFs *fs = preparation->fs;
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, preparation->stdin_path, GW_FILE_CREATE, &file));
  preparation->spooled = true;
  GwStatus status = copy_stdin(fs, file);
  fs->close(fs, file);
  return status;
}

static GwStatus open_tokenizer(Preparation *preparation) {
  const char *name = preparation->options->tokenizer;
  if (is_bpe(preparation->options)) return GW_OK;
  if (strcmp(name, "byte") == 0) return gw_tokenizer_byte(&preparation->tokenizer);
  if (!preparation->fs->exists(preparation->fs, name))
    return gw_fail(GW_NOT_FOUND, "%s: no such tokenizer file; give byte, bpe or a file", name);
  return gw_tokenizer_open(preparation->fs, name, &preparation->tokenizer);
}

static uint64_t hash_options(const Preparation *preparation) {
  const GwPrepareOptions *options = preparation->options;
  const GwTokenizer *tokenizer = preparation->tokenizer;
  char text[128];
  snprintf(text, sizeof text, "%d %" PRId32 " %016" PRIx64 " %.17g %" PRId64,
           is_bpe(options) + is_bpe_hf(options), is_bpe(options) ? options->vocab_size : 0,
           tokenizer ? gw_tokenizer_hash(tokenizer) : 0, options->val_fraction,
           options->shard_tokens);
  const char *licence = options->licence ? options->licence : "";
  return gw_hash_bytes(licence, strlen(licence), gw_hash_string(text));
}

static GwStatus set_up(Preparation *preparation) {
  GwFs *fs = preparation->fs;
  const GwPrepareOptions *options = preparation->options;
  const char *dir = options->out_dir;
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/prepare.lock", dir));
  GW_TRY(gw_fs_path(preparation->stdin_path, "%s/stdin.spool", dir));
  GW_TRY(gw_fs_path(preparation->tokenizer_path, "%s/tokenizer.json", dir));
  GW_TRY(open_tokenizer(preparation));
  preparation->options_hash = hash_options(preparation);
  for (int i = 0; i < options->input_count; i++) /* before anything is made on disk */
    GW_TRY(gw_document_input_check(fs, options->inputs[i]));
  GW_TRY(gw_pool_create(options->threads, &preparation->pool));
  GW_TRY(gw_fs_make_dirs(fs, dir));
  GW_TRY(gw_lock_open(path, &preparation->lock));
  if (reads_stdin(options)) GW_TRY(spool_stdin(preparation));
  GW_TRY(gw_document_list_init(fs, options->inputs, options->input_count, preparation->stdin_path,
                               &preparation->list));
  preparation->source = (GwPassSource){fs, preparation->pool, &preparation->list, GW_SEGMENT_BYTES};
  return GW_OK;
}

static void tear_down(Preparation *preparation) {
  gw_corpus_manifest_deinit(&preparation->manifest);
  gw_document_list_deinit(&preparation->list);
  if (preparation->tokenizer) gw_tokenizer_destroy(preparation->tokenizer);
  gw_pool_destroy(preparation->pool);
  if (preparation->spooled) preparation->fs->remove(preparation->fs, preparation->stdin_path);
  gw_lock_close(&preparation->lock);
}

/* ---- what the folder holds already ---- */

typedef enum { FRESH, BEGUN, FINISHED } State;

static GwStatus other_corpus(const char *dir, bool finished, const char *what) {
  return gw_fail(
      GW_EXISTS,
      "%s: holds %s corpus made with other %s; remove the folder or choose another --out", dir,
      finished ? "a" : "an unfinished", what);
}

/* Drops shards from the first one on that is not as progress.json says. */
static void verify_shards(Preparation *preparation, GwSplit split) {
  GwCorpusManifest *manifest = &preparation->manifest;
  for (size_t i = 0; i < manifest->split[split].count; i++) {
    const GwManifestShard *known = &manifest->split[split].shards[i];
    char path[GW_PATH_MAX];
    GwShard shard = {0};
    GwStatus status = gw_shard_path(preparation->options->out_dir, split, i, path);
    if (status == GW_OK) status = gw_shard_open(path, &shard);
    bool same =
        status == GW_OK && shard.tokens == known->tokens && gw_shard_hash(&shard) == known->hash;
    if (status == GW_OK) gw_shard_close(&shard);
    if (same) continue;
    gw_log(GW_LOG_WARNING, "%s: damaged since it was written; it is made again", path);
    gw_corpus_manifest_truncate(manifest, split, i);
    return;
  }
}

/* Takes over tokenizer and shards of an interrupted preparation. */
static GwStatus take_over(Preparation *preparation) {
  GwCorpusManifest *manifest = &preparation->manifest;
  manifest->options = preparation->options;
  if (manifest->tokenizer_hash != 0 && !preparation->tokenizer)
    GW_TRY(
        gw_tokenizer_open(preparation->fs, preparation->tokenizer_path, &preparation->tokenizer));
  if (manifest->tokenizer_hash != 0 &&
      manifest->tokenizer_hash != gw_tokenizer_hash(preparation->tokenizer))
    return gw_fail(GW_CORRUPT, "%s: not the tokenizer that was trained here; remove the folder %s",
                   preparation->tokenizer_path, preparation->options->out_dir);
  for (GwSplit split = GW_SPLIT_TRAIN; split <= GW_SPLIT_VAL; split++)
    verify_shards(preparation, split);
  gw_log(GW_LOG_INFO, "%s: going on where it was interrupted (%zu shards are done)",
         preparation->options->out_dir,
         manifest->split[GW_SPLIT_TRAIN].count + manifest->split[GW_SPLIT_VAL].count);
  return GW_OK;
}

/* Nothing that a corpus is made of may be overwritten. */
static GwStatus start_afresh(Preparation *preparation) {
  static const char *const names[] = {"tokenizer.json", "train-00000.bin", "val-00000.bin"};
  const GwPrepareOptions *options = preparation->options;
  GwFs *fs = preparation->fs;
  char path[GW_PATH_MAX];
  for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
    GW_TRY(gw_fs_path(path, "%s/%s", options->out_dir, names[i]));
    if (fs->exists(fs, path))
      return gw_fail(GW_EXISTS,
                     "%s: is there, but no manifest.json or progress.json beside it; remove it or "
                     "choose another --out",
                     path);
  }
  preparation->manifest = (GwCorpusManifest){.options_hash = preparation->options_hash,
                                             .inputs_hash = preparation->survey.hash,
                                             .documents = preparation->survey.documents,
                                             .duplicates = preparation->survey.duplicates,
                                             .options = options};
  return gw_corpus_manifest_write(fs, options->out_dir, &preparation->manifest);
}

static GwStatus run_survey(Preparation *preparation) {
  const GwPrepareOptions *options = preparation->options;
  GW_TRY(gw_pass_survey(&preparation->source, options->val_fraction, &preparation->survey));
  const GwSurvey *survey = &preparation->survey;
  if (survey->documents == 0)
    return gw_fail(GW_INVALID, "%s: empty, no text to prepare%s", options->inputs[0],
                   options->input_count > 1 ? " (nor in the other inputs)" : "");
  preparation->rule = gw_split_rule(survey, options->val_fraction);
  const GwSplitRule *rule = &preparation->rule;
  if (rule->lone && (rule->cut == 0 || rule->cut == survey->bytes))
    return gw_fail(GW_INVALID,
                   "%s: %" PRIu64 " bytes are too few to hold out %g of them; give more text or "
                   "another --val-fraction",
                   options->inputs[0], survey->bytes, options->val_fraction);
  return GW_OK;
}

/* Reads what the folder says of itself; refuses a corpus of other options. */
static GwStatus look_around(Preparation *preparation, State *out) {
  const char *dir = preparation->options->out_dir;
  GwCorpusManifest *manifest = &preparation->manifest;
  State state = FINISHED;
  GwStatus status = gw_corpus_manifest_read(preparation->fs, dir, true, manifest);
  if (status == GW_NOT_FOUND) {
    state = BEGUN;
    status = gw_corpus_manifest_read(preparation->fs, dir, false, manifest);
  }
  if (status == GW_NOT_FOUND) {
    *out = FRESH;
    return GW_OK;
  }
  GW_TRY(status);
  if (manifest->options_hash != preparation->options_hash)
    return other_corpus(dir, manifest->finished, "options");
  *out = state;
  return GW_OK;
}

/* ---- training the tokenizer ---- */

typedef struct {
  GwBpeTrainer **trainers; /* [threads] */
  int threads;
} Training;

static bool wants_train(void *context, GwSplit split, uint64_t document) {
  (void)context, (void)document;
  return split == GW_SPLIT_TRAIN;
}

static GwStatus train_work(void *context, GwSegment *segment, int slot, int thread) {
  const Training *training = context;
  (void)slot;
  return gw_bpe_trainer_add(training->trainers[thread], segment->text, segment->size);
}

static GwStatus count_pieces(Preparation *preparation, Training *training) {
  for (int t = 0; t < training->threads; t++) GW_TRY(gw_bpe_trainer_create(&training->trainers[t]));
  GwPassVisitor visitor = {.label = "count pieces",
                           .context = training,
                           .slots = training->threads * SLOTS_PER_THREAD,
                           .wants = wants_train,
                           .work = train_work};
  GW_TRY(gw_pass_visit(&preparation->source, &preparation->survey, &preparation->rule, &visitor));
  for (int t = 1; t < training->threads; t++)
    GW_TRY(gw_bpe_trainer_merge(training->trainers[0], training->trainers[t]));
  if (is_bpe_hf(preparation->options))
    gw_bpe_trainer_break_ties(training->trainers[0], GW_TIES_EARLIER_TOKEN);
  return gw_bpe_trainer_finish(training->trainers[0], preparation->options->vocab_size,
                               &preparation->tokenizer);
}

static GwStatus train_tokenizer(Preparation *preparation) {
  int threads = gw_pool_threads(preparation->pool);
  Training training = {calloc((size_t)threads, sizeof(GwBpeTrainer *)), threads};
  if (!training.trainers) return gw_fail(GW_MEMORY, "no memory to train a tokenizer");
  GwStatus status = count_pieces(preparation, &training);
  for (int t = 0; t < threads; t++)
    if (training.trainers[t]) gw_bpe_trainer_destroy(training.trainers[t]);
  free(training.trainers);
  return status;
}

static GwStatus provide_tokenizer(Preparation *preparation) {
  GwCorpusManifest *manifest = &preparation->manifest;
  if (manifest->tokenizer_hash != 0) return GW_OK; /* taken over */
  if (!preparation->tokenizer) GW_TRY(train_tokenizer(preparation));
  GW_TRY(gw_tokenizer_save(preparation->fs, preparation->tokenizer, preparation->tokenizer_path));
  manifest->tokenizer_hash = gw_tokenizer_hash(preparation->tokenizer);
  manifest->vocab_size = gw_tokenizer_vocab_size(preparation->tokenizer);
  return gw_corpus_manifest_write(preparation->fs, preparation->options->out_dir, manifest);
}

/* ---- encoding ---- */

typedef struct {
  const GwTokenizer *tokenizer;
  uint64_t first_document[GW_SPLIT_COUNT]; /* those before it are in finished shards */
  GwTokenIds *ids;                         /* [slots] */
  int slots;
  GwCorpusWriter writer;
} Encoding;

static bool wants_unwritten(void *context, GwSplit split, uint64_t document) {
  const Encoding *encoding = context;
  return document >= encoding->first_document[split];
}

static GwStatus encode_work(void *context, GwSegment *segment, int slot, int thread) {
  Encoding *encoding = context;
  GwTokenIds *ids = &encoding->ids[slot];
  (void)thread;
  segment->slot = slot;
  segment->result_begin = ids->count;
  GW_TRY(gw_tokenizer_encode(encoding->tokenizer, segment->text, segment->size, ids));
  segment->result_count = ids->count - segment->result_begin;
  return GW_OK;
}

static GwStatus write_segment(Encoding *encoding, const GwSegment *segment) {
  GwCorpusWriter *writer = &encoding->writer;
  const int32_t *ids = encoding->ids[segment->slot].ids + segment->result_begin;
  if (segment->first) GW_TRY(gw_corpus_writer_begin(writer, segment->split));
  GW_TRY(gw_corpus_writer_add(writer, segment->split, ids, segment->result_count));
  if (!segment->last) return GW_OK;
  return gw_corpus_writer_end(writer, segment->split, segment->document, segment->part_bytes);
}

static GwStatus encode_finish(void *context, const GwSegment *segments, size_t count) {
  Encoding *encoding = context;
  for (size_t i = 0; i < count; i++) GW_TRY(write_segment(encoding, &segments[i]));
  for (int i = 0; i < encoding->slots; i++) encoding->ids[i].count = 0;
  return GW_OK;
}

static GwStatus encode(Preparation *preparation) {
  const GwCorpusManifest *manifest = &preparation->manifest;
  Encoding encoding = {.tokenizer = preparation->tokenizer,
                       .slots = gw_pool_threads(preparation->pool) * SLOTS_PER_THREAD};
  for (int s = 0; s < GW_SPLIT_COUNT; s++) {
    const GwManifestSplit *split = &manifest->split[s];
    if (split->count)
      encoding.first_document[s] = split->shards[split->count - 1].last_document + 1;
  }
  encoding.ids = calloc((size_t)encoding.slots, sizeof *encoding.ids);
  if (!encoding.ids) return gw_fail(GW_MEMORY, "no memory to encode text");
  gw_corpus_writer_init(preparation->fs, preparation->options->out_dir, &preparation->manifest,
                        preparation->tokenizer, (uint64_t)preparation->options->shard_tokens,
                        &encoding.writer);
  GwPassVisitor visitor = {.label = "encode",
                           .context = &encoding,
                           .slots = encoding.slots,
                           .wants = wants_unwritten,
                           .work = encode_work,
                           .finish = encode_finish};
  GwStatus status =
      gw_pass_visit(&preparation->source, &preparation->survey, &preparation->rule, &visitor);
  if (status == GW_OK) status = gw_corpus_writer_finish(&encoding.writer);
  gw_corpus_writer_deinit(&encoding.writer);
  for (int i = 0; i < encoding.slots; i++) gw_token_ids_deinit(&encoding.ids[i]);
  free(encoding.ids);
  return status;
}

/* ---- the whole ---- */

/* Also after a kill between the manifest and this. */
static GwStatus remove_progress(const Preparation *preparation) {
  GwFs *fs = preparation->fs;
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/progress.json", preparation->options->out_dir));
  if (!fs->exists(fs, path)) return GW_OK;
  GW_TRY(fs->remove(fs, path));
  return fs->sync_dir(fs, preparation->options->out_dir);
}

static GwPrepareReport report_of(const GwCorpusManifest *manifest, bool found) {
  const GwManifestSplit *train = &manifest->split[GW_SPLIT_TRAIN];
  const GwManifestSplit *val = &manifest->split[GW_SPLIT_VAL];
  return (GwPrepareReport){.documents = manifest->documents,
                           .duplicates = manifest->duplicates,
                           .train_bytes = train->bytes,
                           .val_bytes = val->bytes,
                           .train_tokens = train->tokens,
                           .val_tokens = val->tokens,
                           .vocab_size = manifest->vocab_size,
                           .found = found};
}

static GwStatus make_corpus(Preparation *preparation) {
  GwCorpusManifest *manifest = &preparation->manifest;
  GW_TRY(provide_tokenizer(preparation));
  GW_TRY(encode(preparation));
  uint64_t parts = preparation->rule.lone ? 2 : manifest->documents;
  GW_ASSERT(manifest->split[GW_SPLIT_TRAIN].documents + manifest->split[GW_SPLIT_VAL].documents ==
            parts);
  manifest->finished = true;
  return gw_corpus_manifest_write(preparation->fs, preparation->options->out_dir, manifest);
}

static GwStatus run(Preparation *preparation, GwPrepareReport *out) {
  const char *dir = preparation->options->out_dir;
  GwCorpusManifest *manifest = &preparation->manifest;
  State state = FRESH;
  GW_TRY(set_up(preparation));
  GW_TRY(look_around(preparation, &state));
  GW_TRY(run_survey(preparation));
  if (state != FRESH && manifest->inputs_hash != preparation->survey.hash)
    return other_corpus(dir, manifest->finished, "inputs");
  if (state == FRESH) GW_TRY(start_afresh(preparation));
  if (state == BEGUN) GW_TRY(take_over(preparation));
  if (state != FINISHED) GW_TRY(make_corpus(preparation));
  GW_TRY(remove_progress(preparation));
  *out = report_of(manifest, state == FINISHED);
  return GW_OK;
}

GwStatus gw_prepare_on(GwFs *fs, const GwPrepareOptions *options, GwPrepareReport *out) {
  GW_TRY(check_options(options));
  Preparation *preparation = calloc(1, sizeof *preparation);
  if (!preparation) return gw_fail(GW_MEMORY, "no memory to prepare a corpus");
  preparation->fs = fs;
  preparation->options = options;
  preparation->lock.descriptor = -1;
  GwStatus status = run(preparation, out);
  tear_down(preparation);
  free(preparation);
  return status;
}

GwStatus gw_prepare(const GwPrepareOptions *options, GwPrepareReport *out) {
  return gw_prepare_on(gw_fs_disk(), options, out);
}
