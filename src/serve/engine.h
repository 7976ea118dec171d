/* The engine of `godwit serve`: one thread computes, any number of threads ask. A job is a prompt
 * and what to make of it. Jobs that are in work share each pass over the weights (continuous
 * batching): a job begins as soon as one of the slots is free, whatever the others are doing, and
 * leaves when it is done. What a job gets does not depend on who else is there: the same bits as
 * `godwit generate` gives it alone. */
#ifndef GW_ENGINE_H
#define GW_ENGINE_H

#include "exec/backend.h"
#include "infer/loaded_model.h"
#include "infer/token_choice.h"
#include "infer/token_score.h"

enum { GW_JOB_TOP_MAX = 20 };

typedef struct {
  const int32_t *prompt; /* copied */
  int64_t prompt_count;  /* 1 to T + 1 */
  int64_t tokens;        /* at most this many are generated; may be 0 */
  GwTokenChoice choice;
  uint64_t seed;
  int32_t top;        /* log-probabilities of so many likeliest tokens come with each; -1: none */
  bool prompt_scores; /* the prompt's tokens come first, with theirs */
} GwJobRequest;

/* One token of a job's outcome. */
typedef struct {
  int32_t token;
  bool scored;    /* `logprob` and `top` are there: not for a prompt's first token */
  double logprob; /* natural; of the model, whatever the temperature */
  int32_t top_count;
  GwTokenRank top[GW_JOB_TOP_MAX];
} GwJobToken;

typedef enum {
  GW_JOB_RUNS,
  GW_JOB_LENGTH,      /* as many tokens as were asked for */
  GW_JOB_END_OF_TEXT, /* the model ended the text; the token for that came, if scores did */
  GW_JOB_FAILED,      /* gw_job_next says why */
  GW_JOB_ABANDONED    /* by gw_job_close, or as the engine was stopped */
} GwJobEnd;

typedef struct GwEngine GwEngine;
typedef struct GwJob GwJob;

typedef struct {
  int64_t slots;     /* jobs in work at once */
  int64_t queue;     /* jobs that may wait for a slot */
  int64_t chunk;     /* tokens of a prompt that are read between two passes for the others */
  uint64_t patience; /* nanoseconds that a job may take in all; 0: any time */
} GwEngineOptions;

/* `model` is borrowed. Starts the thread. */
GwStatus gw_engine_create(const GwLoadedModel *model, const GwBackend *backend, GwPool *pool,
                          const GwEngineOptions *options, GwEngine **out);
/* Lets running jobs go on for up to `grace` nanoseconds, takes no new ones, ends. */
void gw_engine_stop(GwEngine *engine, uint64_t grace);
/* After gw_engine_stop, when all jobs are closed. NULL is fine. */
void gw_engine_destroy(GwEngine *engine);

/* GW_BUSY when the queue is full or the engine is about to end. */
GwStatus gw_engine_submit(GwEngine *engine, const GwJobRequest *request, GwJob **out);
/* Waits for the job's next token, in one thread at a time. *end is GW_JOB_RUNS when *out is one;
 * otherwise nothing more comes. Of a job that failed the status is that of the failure. */
GwStatus gw_job_next(GwJob *job, GwJobToken *out, GwJobEnd *end);
/* Ends the job if it is not done, and frees it; NULL is fine. */
void gw_job_close(GwJob *job);

typedef struct {
  int64_t running, waiting; /* jobs now */
  uint64_t jobs;            /* begun so far */
  uint64_t prompt_tokens, generated_tokens;
  uint64_t passes; /* over the weights, for generated tokens */
} GwEngineCounts;
void gw_engine_counts(GwEngine *engine, GwEngineCounts *out);

#endif
