/* The loop of the engine's thread: give free slots to those who wait, read a piece of one prompt,
 * then one pass for all who have a token to add; repeat. Only that thread touches the
 * decoder; a job's tokens and all lists are changed under one lock. */
#include "serve/engine.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "infer/decoder.h"
#include "infer/token_score.h"
#include "os/clock.h"

enum {
  BLOCK = 32,        /* tokens that are scored at a time */
  LOOK_NS = 20000000 /* how often an engine that ends looks whether jobs are left */
};

struct GwJob {
  GwEngine *engine;
  GwJobRequest request;
  int32_t *prompt;
  GwRng rng;
  uint64_t deadline_ns;
  int64_t slot;      /* -1: waits for one */
  int64_t read;      /* tokens of the prompt that the decoder has */
  int64_t generated; /* tokens */
  int32_t last;      /* the token chosen last, which the decoder lacks */
  /* under the lock */
  uint8_t *tokens; /* GwJobToken, of each only as much as the request asks for */
  size_t count, capacity, taken;
  GwJobEnd end;
  pthread_cond_t news; /* for the one who reads it */
  bool closed;         /* nobody reads it any more */
  GwStatus status;
  char message[256];
  GwJob *next; /* of those that wait */
};

struct GwEngine {
  const GwLoadedModel *model;
  GwEngineOptions options;
  GwDecoder *decoder;
  GwPool *pool;
  GwTokenCandidate *candidates;
  int32_t choices; /* tokens to choose from: rows of the head beyond the vocabulary are not meant */
  GwJob **slots;   /* [options.slots]; NULL: free */
  int64_t *step_slots;  /* [options.slots]: who is in the next pass */
  int32_t *step_tokens; /* and with which token */
  int64_t turn;         /* the slot whose prompt is read next */
  pthread_t thread;
  bool started;
  pthread_mutex_t lock;
  pthread_cond_t work; /* for the engine's thread */
  GwJob *first, *last; /* jobs that wait */
  bool stopping, abandon;
  GwEngineCounts counts;
};

/* ---- jobs ---- */

static void free_job(GwJob *job) {
  pthread_cond_destroy(&job->news);
  free(job->prompt);
  free(job->tokens);
  free(job);
}

/* The outcome so far is all there will be. The lock is held; who waits is told. */
static void end_job(GwJob *job, GwJobEnd end) {
  job->end = end;
  pthread_cond_signal(&job->news);
}

static void fail_job(GwJob *job, GwStatus status) {
  pthread_mutex_lock(&job->engine->lock);
  job->status = status;
  snprintf(job->message, sizeof job->message, "%s", gw_error_message());
  end_job(job, GW_JOB_FAILED);
  pthread_mutex_unlock(&job->engine->lock);
}

static size_t token_bytes(const GwJob *job) {
  size_t top = (size_t)gw_max_i64(job->request.top, 0);
  return offsetof(GwJobToken, top) + top * sizeof(GwTokenRank);
}

static GwStatus add_token(GwJob *job, const GwJobToken *token) {
  GwEngine *engine = job->engine;
  GwStatus status = GW_OK;
  size_t bytes = token_bytes(job);
  pthread_mutex_lock(&engine->lock);
  if (!GW_GROW(job->tokens, job->capacity, (job->count + 1) * bytes))
    status = gw_fail(GW_MEMORY, "no memory for %zu tokens", job->count + 1);
  else
    memcpy(job->tokens + job->count++ * bytes, token, bytes);
  pthread_cond_signal(&job->news);
  pthread_mutex_unlock(&engine->lock);
  return status;
}

GwStatus gw_engine_submit(GwEngine *engine, const GwJobRequest *request, GwJob **out) {
  GW_ASSERT(request->prompt_count >= 1 && request->top <= GW_JOB_TOP_MAX);
  GwJob *job = calloc(1, sizeof *job);
  int32_t *prompt = calloc((size_t)request->prompt_count, sizeof *prompt);
  if (!job || !prompt) {
    free(job);
    free(prompt);
    return gw_fail(GW_MEMORY, "no memory for another request");
  }
  memcpy(prompt, request->prompt, (size_t)request->prompt_count * sizeof *prompt);
  *job = (GwJob){.engine = engine, .request = *request, .prompt = prompt, .slot = -1};
  job->request.prompt = prompt;
  pthread_cond_init(&job->news, NULL);
  job->rng = gw_rng(request->seed, 0);
  if (engine->options.patience) job->deadline_ns = gw_clock_ns() + engine->options.patience;
  GwStatus status = GW_OK;
  pthread_mutex_lock(&engine->lock);
  if (engine->stopping)
    status = gw_fail(GW_BUSY, "the server is about to end");
  else if (engine->counts.waiting >= engine->options.queue)
    status = gw_fail(GW_BUSY, "%" PRId64 " requests wait already; try again later",
                     engine->counts.waiting);
  if (status == GW_OK) {
    if (engine->last)
      engine->last->next = job;
    else
      engine->first = job;
    engine->last = job;
    engine->counts.waiting++;
    pthread_cond_signal(&engine->work);
  }
  pthread_mutex_unlock(&engine->lock);
  if (status != GW_OK)
    free_job(job);
  else
    *out = job;
  return status;
}

GwStatus gw_job_next(GwJob *job, GwJobToken *out, GwJobEnd *end) {
  GwEngine *engine = job->engine;
  pthread_mutex_lock(&engine->lock);
  while (job->taken == job->count && job->end == GW_JOB_RUNS)
    pthread_cond_wait(&job->news, &engine->lock);
  bool more = job->taken < job->count;
  if (more) memcpy(out, job->tokens + job->taken++ * token_bytes(job), token_bytes(job));
  *end = more ? GW_JOB_RUNS : job->end;
  pthread_mutex_unlock(&engine->lock);
  return *end == GW_JOB_FAILED ? gw_fail(job->status, "%s", job->message) : GW_OK;
}

/* A job in a slot is freed by the engine's thread, which may be working on it. */
void gw_job_close(GwJob *job) {
  if (!job) return;
  GwEngine *engine = job->engine;
  pthread_mutex_lock(&engine->lock);
  job->closed = true;
  if (job->end == GW_JOB_RUNS) job->end = GW_JOB_ABANDONED;
  bool held = job->slot >= 0;
  for (GwJob **at = &engine->first, *before = NULL; !held && *at; before = *at, at = &(*at)->next)
    if (*at == job) {
      *at = job->next;
      if (engine->last == job) engine->last = before;
      engine->counts.waiting--;
      break;
    }
  pthread_cond_signal(&engine->work);
  pthread_mutex_unlock(&engine->lock);
  if (!held) free_job(job);
}

void gw_engine_counts(GwEngine *engine, GwEngineCounts *out) {
  pthread_mutex_lock(&engine->lock);
  *out = engine->counts;
  pthread_mutex_unlock(&engine->lock);
}

/* ---- the engine's thread ---- */

static bool in_work(const GwJob *job) { return job && job->end == GW_JOB_RUNS; }

/* Slots of jobs that are done are free again; jobs that wait get slots. The lock is held. */
static void deal_slots(GwEngine *engine) {
  uint64_t now = gw_clock_ns();
  for (int64_t s = 0; s < engine->options.slots; s++) {
    GwJob *job = engine->slots[s];
    if (in_work(job) && engine->abandon) end_job(job, GW_JOB_ABANDONED);
    if (in_work(job) && job->deadline_ns && now > job->deadline_ns) {
      job->status = GW_INTERRUPTED;
      snprintf(job->message, sizeof job->message, "the request took too long");
      end_job(job, GW_JOB_FAILED);
    }
    if (job && !in_work(job)) {
      engine->slots[s] = NULL;
      engine->counts.running--;
      job->slot = -1;
      if (job->closed) free_job(job);
    }
    job = engine->first;
    if (engine->slots[s] || !job || engine->abandon) continue;
    engine->first = job->next;
    if (!engine->first) engine->last = NULL;
    job->next = NULL;
    job->slot = s;
    engine->slots[s] = job;
    gw_decoder_truncate(engine->decoder, s, 0);
    engine->counts.waiting--;
    engine->counts.running++;
    engine->counts.jobs++;
  }
}

/* Tokens targets[i] with their scores, when these are wanted, from the rows of logits that follow
 * what is before each of them. */
static GwStatus add_tokens(GwEngine *engine, GwJob *job, const int32_t *targets, int64_t rows,
                           const float *logits) {
  int32_t width = engine->model->recipe.model.vocab_size;
  int32_t top = (int32_t)gw_min_i64(gw_max_i64(job->request.top, 0), width);
  GwTokenScore scores[BLOCK];
  GwTokenRank ranks[BLOCK * GW_JOB_TOP_MAX];
  for (int64_t done = 0, some; done < rows; done += some) {
    some = gw_min_i64(rows - done, BLOCK);
    if (job->request.top >= 0)
      GW_TRY(gw_token_scores(engine->pool, logits + done * width, some, width, targets + done,
                             scores, top, ranks));
    for (int64_t i = 0; i < some; i++) {
      GwJobToken token = {.token = targets[done + i]};
      if (job->request.top >= 0) {
        token.scored = true;
        token.logprob = scores[i].log_probability;
        token.top_count = top;
        memcpy(token.top, ranks + i * top, (size_t)top * sizeof *ranks);
      }
      GW_TRY(add_token(job, &token));
    }
  }
  return GW_OK;
}

/* Chooses the job's next token from the logits. */
static GwStatus choose(GwEngine *engine, GwJob *job, const float *logits) {
  int32_t token = 0;
  GW_TRY(gw_token_choose(&job->request.choice, logits, engine->choices, &job->rng,
                         engine->candidates, &token));
  if (gw_text_ends_has(&engine->model->ends, token)) {
    if (job->request.top >= 0) GW_TRY(add_tokens(engine, job, &token, 1, logits));
    pthread_mutex_lock(&engine->lock);
    if (in_work(job)) end_job(job, GW_JOB_END_OF_TEXT);
    pthread_mutex_unlock(&engine->lock);
    return GW_OK;
  }
  GW_TRY(add_tokens(engine, job, &token, 1, logits));
  job->last = token;
  pthread_mutex_lock(&engine->lock);
  engine->counts.generated_tokens++;
  if (++job->generated == job->request.tokens && in_work(job)) end_job(job, GW_JOB_LENGTH);
  pthread_mutex_unlock(&engine->lock);
  return GW_OK;
}

typedef struct {
  GwEngine *engine;
  GwJob *job;
} Scoring;

/* Logits after tokens of the prompt: they score those that come next, or choose the first new one.
 */
static GwStatus score_rows(void *context, int64_t first, int64_t rows, const float *logits) {
  const Scoring *s = context;
  const GwJobRequest *request = &s->job->request;
  int64_t known = gw_min_i64(rows, request->prompt_count - 1 - first);
  int64_t width = s->engine->model->recipe.model.vocab_size;
  GW_TRY(add_tokens(s->engine, s->job, request->prompt + first + 1, known, logits));
  if (known == rows || request->tokens == 0) return GW_OK;
  return choose(s->engine, s->job, logits + known * width);
}

/* All of the prompt, with its scores. The last of T + 1 tokens is scored by the T before it, and
 * only read to go on from. */
static GwStatus score_prompt(GwEngine *engine, GwJob *job) {
  const GwJobRequest *request = &job->request;
  int64_t rows = gw_min_i64(request->prompt_count, engine->model->recipe.model.context);
  Scoring scoring = {engine, job};
  GwJobToken first = {.token = job->prompt[0]};
  GW_TRY(add_token(job, &first));
  GW_TRY(gw_decoder_read(engine->decoder, job->slot, job->prompt, rows, score_rows, &scoring));
  job->read = request->prompt_count;
  if (rows == request->prompt_count || request->tokens == 0) return GW_OK;
  const float *logits = NULL;
  GW_TRY(gw_decoder_push(engine->decoder, job->slot, job->prompt + rows, 1, &logits));
  return choose(engine, job, logits);
}

/* The next piece of the job's prompt; after the last one the first token is chosen. */
static GwStatus read_piece(GwEngine *engine, GwJob *job) {
  const GwJobRequest *request = &job->request;
  const float *logits = NULL;
  if (request->prompt_scores) return score_prompt(engine, job);
  int64_t some = gw_min_i64(engine->options.chunk, request->prompt_count - job->read);
  GW_TRY(gw_decoder_push(engine->decoder, job->slot, job->prompt + job->read, some, &logits));
  job->read += some;
  bool whole = job->read == request->prompt_count;
  return whole && request->tokens > 0 ? choose(engine, job, logits) : GW_OK;
}

static bool reads(const GwJob *job) { return job->read < job->request.prompt_count; }

/* The job whose prompt is read next; they take turns, so that a long prompt keeps nobody from
 * beginning. NULL: none has any left. */
static GwJob *next_reader(GwEngine *engine) {
  GwJob *found = NULL;
  pthread_mutex_lock(&engine->lock);
  for (int64_t i = 0; i < engine->options.slots && !found; i++) {
    int64_t slot = (engine->turn + i) % engine->options.slots;
    GwJob *job = engine->slots[slot];
    if (!in_work(job) || !reads(job)) continue;
    engine->turn = slot + 1;
    found = job;
  }
  pthread_mutex_unlock(&engine->lock);
  return found;
}

static void read_prompts(GwEngine *engine) {
  GwJob *job = next_reader(engine);
  if (!job) return;
  int64_t before = job->read;
  GwStatus status = read_piece(engine, job);
  if (status != GW_OK) fail_job(job, status);
  pthread_mutex_lock(&engine->lock);
  engine->counts.prompt_tokens += (uint64_t)(job->read - before);
  if (!reads(job) && job->request.tokens == 0 && in_work(job)) end_job(job, GW_JOB_LENGTH);
  pthread_mutex_unlock(&engine->lock);
}

/* Finds all jobs that have a token to add; how many they are. */
static int64_t gather(GwEngine *engine) {
  int64_t count = 0;
  pthread_mutex_lock(&engine->lock);
  for (int64_t s = 0; s < engine->options.slots; s++) {
    const GwJob *job = engine->slots[s];
    if (!in_work(job) || reads(job)) continue;
    engine->step_tokens[count] = job->last;
    engine->step_slots[count++] = s;
  }
  pthread_mutex_unlock(&engine->lock);
  return count;
}

/* One pass for all jobs whose prompt is read. */
static void step_all(GwEngine *engine) {
  int64_t count = gather(engine), width = engine->model->recipe.model.vocab_size;
  const float *logits = NULL;
  if (count == 0) return;
  GwStatus status =
      gw_decoder_step(engine->decoder, engine->step_slots, engine->step_tokens, count, &logits);
  for (int64_t i = 0; i < count; i++) {
    GwJob *job = engine->slots[engine->step_slots[i]];
    GwStatus own = status;
    if (own == GW_OK) own = choose(engine, job, logits + i * width);
    if (own != GW_OK) fail_job(job, own);
  }
  pthread_mutex_lock(&engine->lock);
  engine->counts.passes++;
  pthread_mutex_unlock(&engine->lock);
}

/* Waits for work; false when there will be none. */
static bool wait_for_work(GwEngine *engine) {
  pthread_mutex_lock(&engine->lock);
  for (;;) {
    deal_slots(engine);
    if (engine->counts.running > 0 || engine->stopping) break;
    pthread_cond_wait(&engine->work, &engine->lock);
  }
  bool more = engine->counts.running > 0;
  pthread_mutex_unlock(&engine->lock);
  return more;
}

/* Those that waited for a slot in vain. */
static void abandon_queue(GwEngine *engine) {
  pthread_mutex_lock(&engine->lock);
  for (GwJob *job = engine->first; job; job = job->next) end_job(job, GW_JOB_ABANDONED);
  pthread_mutex_unlock(&engine->lock);
}

static void *run(void *argument) {
  GwEngine *engine = argument;
  while (wait_for_work(engine)) {
    read_prompts(engine);
    step_all(engine);
  }
  abandon_queue(engine);
  return NULL;
}

/* ---- create, stop, destroy ---- */

static GwStatus engine_init(GwEngine *engine, const GwBackend *backend) {
  const GwLoadedModel *model = engine->model;
  const GwModelRecipe *recipe = &model->recipe.model;
  engine->choices =
      model->tokenizer ? gw_tokenizer_vocab_size(model->tokenizer) : recipe->vocab_size;
  engine->candidates = calloc(2 * (size_t)engine->choices, sizeof *engine->candidates);
  engine->slots = calloc((size_t)engine->options.slots, sizeof(GwJob *));
  engine->step_slots = calloc((size_t)engine->options.slots, sizeof *engine->step_slots);
  engine->step_tokens = calloc((size_t)engine->options.slots, sizeof *engine->step_tokens);
  if (!engine->candidates || !engine->slots || !engine->step_slots || !engine->step_tokens)
    return gw_fail(GW_MEMORY, "no memory to serve");
  engine->options.chunk = gw_min_i64(engine->options.chunk, recipe->context);
  GW_TRY(gw_decoder_create(recipe, backend, engine->pool, model->params, engine->options.slots,
                           engine->options.chunk, &engine->decoder));
  if (pthread_create(&engine->thread, NULL, run, engine) != 0)
    return gw_fail(GW_MEMORY, "cannot start a thread");
  engine->started = true;
  return GW_OK;
}

GwStatus gw_engine_create(const GwLoadedModel *model, const GwBackend *backend, GwPool *pool,
                          const GwEngineOptions *options, GwEngine **out) {
  GW_ASSERT(options->slots >= 1 && options->queue >= 1 && options->chunk >= 1);
  GwEngine *engine = calloc(1, sizeof *engine);
  if (!engine) return gw_fail(GW_MEMORY, "no memory to serve");
  engine->model = model;
  engine->pool = pool;
  engine->options = *options;
  pthread_mutex_init(&engine->lock, NULL);
  pthread_cond_init(&engine->work, NULL);
  GwStatus status = engine_init(engine, backend);
  if (status == GW_OK)
    *out = engine;
  else
    gw_engine_destroy(engine);
  return status;
}

void gw_engine_stop(GwEngine *engine, uint64_t grace) {
  uint64_t deadline = gw_clock_ns() + grace;
  pthread_mutex_lock(&engine->lock);
  engine->stopping = true;
  while (engine->counts.running + engine->counts.waiting > 0 && gw_clock_ns() < deadline) {
    pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->lock);
    gw_clock_sleep(LOOK_NS);
    pthread_mutex_lock(&engine->lock);
  }
  engine->abandon = true;
  pthread_cond_signal(&engine->work);
  pthread_mutex_unlock(&engine->lock);
  if (engine->started) pthread_join(engine->thread, NULL);
  engine->started = false;
}

void gw_engine_destroy(GwEngine *engine) {
  if (!engine) return;
  GW_ASSERT(!engine->started);
  gw_decoder_destroy(engine->decoder);
  free(engine->candidates);
  free(engine->slots);
  free(engine->step_slots);
  free(engine->step_tokens);
  pthread_cond_destroy(&engine->work);
  pthread_mutex_destroy(&engine->lock);
  free(engine);
}
