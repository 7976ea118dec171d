/* The survey, and the batches, segments and waves of a visiting pass. */
#include "data/corpus_pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/hash64.h"
#include "base/hash_set.h"
#include "godwit/log.h"
#include "os/clock.h"

enum {
  BATCH_BYTES_PER_THREAD = 1 << 20,
  BATCH_BYTES_MIN = 1 << 22,
  BATCH_DOCUMENTS_MAX = 1 << 16,
  MESSAGE_BYTES = 1024,
};

/* ---- progress ---- */

typedef struct {
  GwProgress line;
  uint64_t started_ns;
  uint64_t documents, bytes; /* read so far */
  uint64_t files_bytes;
} Meter;

static void meter_begin(Meter *meter, const char *label, const GwDocumentList *list) {
  *meter = (Meter){.started_ns = gw_clock_ns(), .files_bytes = list->bytes};
  gw_progress_begin(&meter->line, label);
}

static double megabytes_per_second(const Meter *meter) {
  return (double)meter->bytes * 1e3 / (double)(gw_clock_ns() - meter->started_ns + 1);
}

static void meter_update(Meter *meter, const GwDocumentReader *reader) {
  uint64_t position = gw_document_reader_position(reader);
  double fraction = (double)position / (double)(meter->files_bytes ? meter->files_bytes : 1);
  gw_progress_update(&meter->line, fraction, "%" PRIu64 " documents, %.1f MB/s", meter->documents,
                     megabytes_per_second(meter));
}

static void meter_end(Meter *meter, GwStatus status) {
  if (status == GW_OK)
    gw_progress_end(&meter->line, "%" PRIu64 " documents, %.1f MB, %.1f MB/s", meter->documents,
                    (double)meter->bytes * 1e-6, megabytes_per_second(meter));
  else
    gw_progress_end(&meter->line, "stopped");
}

/* ---- the survey ---- */

static void chain(uint64_t *hash, const GwHash128 *document) {
  *hash = gw_hash_bytes(document, sizeof *document, *hash);
}

static GwStatus survey_document(GwSurvey *survey, double fraction, GwHashSet *seen,
                                const GwText *text) {
  GwHash128 hash = gw_hash128(text->data, text->size);
  bool added = false;
  GW_TRY(gw_hash_set_add(seen, hash, &added));
  chain(&survey->hash, &hash);
  if (!added) {
    survey->duplicates++;
    return GW_OK;
  }
  if (survey->documents == 0) survey->cut = gw_text_tail(text->data, text->size, fraction);
  survey->documents++;
  survey->bytes += text->size;
  if (hash.low < survey->lowest) survey->lowest = hash.low;
  if (hash.low > survey->highest) survey->highest = hash.low;
  return GW_OK;
}

GwStatus gw_pass_survey(const GwPassSource *source, double fraction, GwSurvey *out) {
  GwSurvey survey = {.lowest = UINT64_MAX};
  GwHashSet seen = {0};
  GwText text = {0};
  GwDocumentReader reader;
  Meter meter;
  gw_document_reader_init(source->fs, source->list, GW_DOCUMENT_BYTES_MAX, &reader);
  meter_begin(&meter, "read", source->list);
  GwStatus status;
  for (;;) {
    bool end = false;
    text.size = 0;
    status = gw_document_reader_next(&reader, &text, &end);
    if (status != GW_OK || end) break;
    status = survey_document(&survey, fraction, &seen, &text);
    if (status != GW_OK) break;
    meter.documents++;
    meter.bytes += text.size;
    meter_update(&meter, &reader);
  }
  meter_end(&meter, status);
  gw_document_reader_deinit(&reader);
  gw_text_deinit(&text);
  gw_hash_set_deinit(&seen);
  if (status == GW_OK) *out = survey;
  return status;
}

GwSplitRule gw_split_rule(const GwSurvey *survey, double fraction) {
  if (fraction <= 0) return (GwSplitRule){0};
  if (survey->documents == 1) return (GwSplitRule){.lone = true, .cut = survey->cut};
  uint64_t threshold = (uint64_t)(fraction * 0x1p64);
  if (threshold <= survey->lowest) threshold = survey->lowest + 1;
  if (threshold > survey->highest) threshold = survey->highest;
  return (GwSplitRule){.threshold = threshold};
}

/* ---- a visiting pass ---- */

typedef struct {
  size_t begin, size; /* in the batch's text */
  GwHash128 hash;
} Document;

typedef struct {
  GwText text;
  Document *documents;
  size_t count, capacity;
  bool last;
} Batch;

typedef struct {
  GwStatus status;
  char message[MESSAGE_BYTES]; /* messages are per thread, so it travels with the status */
} Failure;

typedef struct {
  const GwPassSource *source;
  const GwSplitRule *rule;
  const GwPassVisitor *visitor;
  GwDocumentReader reader;
  GwHashSet seen;
  uint64_t hash;     /* of the documents so far */
  uint64_t document; /* number of the next document */
  Batch batch[2];
  Batch *ahead; /* to be read by the running wave, or NULL */
  size_t batch_bytes;
  GwSegment *segments; /* of the current batch */
  size_t segment_count, segment_capacity;
  size_t *task_begin; /* [slots + 1]: the first segment of each task of the wave; the end */
  Failure *failures;  /* [threads] */
} Visit;

static GwStatus batch_add(Batch *batch, size_t begin) {
  if (!GW_GROW(batch->documents, batch->capacity, batch->count + 1))
    return gw_fail(GW_MEMORY, "no memory for a batch of %zu documents", batch->count + 1);
  size_t size = batch->text.size - begin;
  batch->documents[batch->count++] =
      (Document){begin, size, gw_hash128(batch->text.data + begin, size)};
  return GW_OK;
}

static GwStatus batch_read(Batch *batch, GwDocumentReader *reader, size_t bytes) {
  batch->text.size = batch->count = 0;
  while (!batch->last && batch->text.size < bytes && batch->count < BATCH_DOCUMENTS_MAX) {
    size_t begin = batch->text.size;
    GW_TRY(gw_document_reader_next(reader, &batch->text, &batch->last));
    if (!batch->last) GW_TRY(batch_add(batch, begin));
  }
  return GW_OK;
}

static GwStatus add_segment(Visit *visit, GwSegment segment) {
  if (!GW_GROW(visit->segments, visit->segment_capacity, visit->segment_count + 1))
    return gw_fail(GW_MEMORY, "no memory for %zu segments of text", visit->segment_count + 1);
  visit->segments[visit->segment_count++] = segment;
  return GW_OK;
}

static GwStatus add_part(Visit *visit, const char *text, size_t size, GwSplit split) {
  const GwPassVisitor *visitor = visit->visitor;
  if (size == 0 || !visitor->wants(visitor->context, split, visit->document)) return GW_OK;
  for (size_t begin = 0, end; begin < size; begin = end) {
    end = gw_text_segment_end(text, size, begin, visit->source->segment_bytes);
    GwSegment segment = {.text = text + begin,
                         .size = end - begin,
                         .document = visit->document,
                         .part_bytes = size,
                         .split = split,
                         .first = begin == 0,
                         .last = end == size};
    GW_TRY(add_segment(visit, segment));
  }
  return GW_OK;
}

/* Drops a copy; cuts a new document into its parts and those into segments. */
static GwStatus take_document(Visit *visit, const Batch *batch, const Document *document) {
  const char *text = batch->text.data + document->begin;
  bool added = false;
  GW_TRY(gw_hash_set_add(&visit->seen, document->hash, &added));
  chain(&visit->hash, &document->hash);
  if (added && visit->rule->lone) {
    size_t cut = visit->rule->cut < document->size ? visit->rule->cut : document->size;
    GW_TRY(add_part(visit, text, cut, GW_SPLIT_TRAIN));
    GW_TRY(add_part(visit, text + cut, document->size - cut, GW_SPLIT_VAL));
  } else if (added) {
    bool held_out = document->hash.low < visit->rule->threshold;
    GW_TRY(add_part(visit, text, document->size, held_out ? GW_SPLIT_VAL : GW_SPLIT_TRAIN));
  }
  visit->document++;
  return GW_OK;
}

static GwStatus work_on(Visit *visit, int slot, int thread) {
  const GwPassVisitor *visitor = visit->visitor;
  for (size_t i = visit->task_begin[slot]; i < visit->task_begin[slot + 1]; i++)
    GW_TRY(visitor->work(visitor->context, &visit->segments[i], slot, thread));
  return GW_OK;
}

static void wave_task(void *context, int64_t task, int thread) {
  Visit *visit = context;
  Failure *failure = &visit->failures[thread];
  if (failure->status != GW_OK) return;
  if (visit->ahead && task == 0)
    failure->status = batch_read(visit->ahead, &visit->reader, visit->batch_bytes);
  else
    failure->status = work_on(visit, (int)task - (visit->ahead != NULL), thread);
  if (failure->status != GW_OK)
    snprintf(failure->message, sizeof failure->message, "%s", gw_error_message());
}

/* Groups segments from `begin` on into tasks of at least one segment's usual size, so that small
 * documents share a task; returns the end of what fits into this wave. */
static size_t plan_wave(Visit *visit, size_t begin, int *tasks) {
  int count = 0;
  size_t at = begin;
  while (at < visit->segment_count && count < visit->visitor->slots) {
    visit->task_begin[count++] = at;
    size_t size = 0;
    while (at < visit->segment_count && size < visit->source->segment_bytes)
      size += visit->segments[at++].size;
  }
  visit->task_begin[count] = at;
  *tasks = count;
  return at;
}

/* Works on the current batch's segments, and meanwhile reads the next batch (when not NULL). */
static GwStatus run_waves(Visit *visit, Batch *next) {
  const GwPassVisitor *visitor = visit->visitor;
  size_t begin = 0;
  visit->ahead = next;
  do {
    int tasks = 0;
    size_t end = plan_wave(visit, begin, &tasks);
    gw_pool_run(visit->source->pool, tasks + (visit->ahead != NULL), wave_task, visit);
    for (int t = 0; t < gw_pool_threads(visit->source->pool); t++)
      if (visit->failures[t].status != GW_OK)
        return gw_fail(visit->failures[t].status, "%s", visit->failures[t].message);
    if (visitor->finish && end > begin)
      GW_TRY(visitor->finish(visitor->context, visit->segments + begin, end - begin));
    visit->ahead = NULL;
    begin = end;
  } while (begin < visit->segment_count);
  return GW_OK;
}

static GwStatus visit_all(Visit *visit, Meter *meter) {
  Batch *current = &visit->batch[0], *next = &visit->batch[1];
  GW_TRY(batch_read(current, &visit->reader, visit->batch_bytes));
  while (current->count > 0) {
    visit->segment_count = 0;
    for (size_t i = 0; i < current->count; i++)
      GW_TRY(take_document(visit, current, &current->documents[i]));
    next->count = 0;
    GW_TRY(run_waves(visit, current->last ? NULL : next));
    meter->documents += current->count;
    meter->bytes += current->text.size;
    meter_update(meter, &visit->reader);
    Batch *done = current;
    current = next;
    next = done;
  }
  return GW_OK;
}

static GwStatus visit_init(Visit *visit) {
  int threads = gw_pool_threads(visit->source->pool);
  size_t bytes = (size_t)threads * BATCH_BYTES_PER_THREAD;
  visit->batch_bytes = bytes > BATCH_BYTES_MIN ? bytes : BATCH_BYTES_MIN;
  visit->task_begin = calloc((size_t)visit->visitor->slots + 1, sizeof *visit->task_begin);
  visit->failures = calloc((size_t)threads, sizeof *visit->failures);
  if (!visit->task_begin || !visit->failures)
    return gw_fail(GW_MEMORY, "no memory for a pass over the documents");
  gw_document_reader_init(visit->source->fs, visit->source->list, GW_DOCUMENT_BYTES_MAX,
                          &visit->reader);
  return GW_OK;
}

static void visit_deinit(Visit *visit) {
  gw_document_reader_deinit(&visit->reader);
  gw_hash_set_deinit(&visit->seen);
  for (int i = 0; i < 2; i++) {
    gw_text_deinit(&visit->batch[i].text);
    free(visit->batch[i].documents);
  }
  free(visit->segments);
  free(visit->task_begin);
  free(visit->failures);
}

GwStatus gw_pass_visit(const GwPassSource *source, const GwSurvey *survey, const GwSplitRule *rule,
                       const GwPassVisitor *visitor) {
  GW_ASSERT(visitor->slots >= 1);
  Visit visit = {.source = source, .rule = rule, .visitor = visitor};
  Meter meter;
  meter_begin(&meter, visitor->label, source->list);
  GwStatus status = visit_init(&visit);
  if (status == GW_OK) status = visit_all(&visit, &meter);
  if (status == GW_OK && visit.hash != survey->hash)
    status = gw_fail(GW_MISMATCH, "the inputs changed while they were read; start again");
  meter_end(&meter, status);
  visit_deinit(&visit);
  return status;
}
