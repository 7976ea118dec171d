/* What /v1/completions is asked and answers, as JSON; no sockets. The subset of OpenAI's interface
 * that makes sense for a base model; what is beyond it is refused by name, never ignored.
 *
 *   prompt       a text, token ids, or a list of either; a text begins a document (the end-of-text
 *                token stands before it and is not part of the answer), ids are taken as they are
 *   max_tokens (16), temperature (1), top_p (1), top_k (0), seed, n (1), stop (up to 4 texts)
 *   echo         the prompt comes first
 *   logprobs     0..20: log-probabilities of each token and of so many likeliest ones; max_tokens
 *                goes up to 4096 then
 *   stream       as server-sent events, a piece of text each; stream_options.include_usage
 */
#ifndef GW_COMPLETION_H
#define GW_COMPLETION_H

#include "base/json.h"
#include "data/text.h"
#include "serve/engine.h"

/* Scores of a token take kilobytes of JSON in memory. */
enum { GW_STOPS_MAX = 4, GW_CHOICES_MAX = 128, GW_SCORED_TOKENS_MAX = 4096 };

typedef struct {
  GwTokenIds *prompts; /* [prompt_count] */
  int32_t prompt_count;
  bool headed; /* each prompt begins with an end-of-text token of ours */
  int32_t n;   /* choices for each */
  int64_t max_tokens;
  GwTokenChoice choice;
  uint64_t seed; /* of a prompt's first choice; the others have the next ones */
  bool echo, stream, usage;
  int32_t logprobs; /* -1: none */
  char *stops[GW_STOPS_MAX];
  int32_t stop_count;
} GwCompletion;

/* Parses a request; the message of a failure names the parameter. `model_name`: the one that is
 * served; another is refused. */
GwStatus gw_completion_parse(const char *body, size_t size, const GwLoadedModel *model,
                             const char *model_name, GwCompletion *out);
void gw_completion_deinit(GwCompletion *completion);

int32_t gw_completion_choices(const GwCompletion *completion);
/* Choice number `i`, of prompt i / n. Borrows the prompt. */
GwJobRequest gw_completion_job(const GwCompletion *completion, int32_t i);

/* A choice that grows token by token. Text is cut before the first stop text, and held back where
 * it may turn out to be one, or is half a character. */
typedef struct {
  const GwCompletion *completion;
  const GwTokenizer *tokenizer;
  int32_t index;
  GwText text;                                   /* all of it */
  size_t begin;                                  /* where what is generated begins */
  size_t released;                               /* bytes of it that may be shown */
  size_t shown;                                  /* bytes that gw_choice_chunk gave out */
  int64_t prompt_left, prompt_tokens, generated; /* tokens */
  int64_t characters;
  const char *finish; /* "stop", "length"; NULL: goes on */
  json_t *tokens, *token_logprobs, *top_logprobs, *text_offset; /* NULL: not wanted */
} GwChoice;

GwStatus gw_choice_init(GwChoice *choice, const GwCompletion *completion,
                        const GwTokenizer *tokenizer, int32_t index);
void gw_choice_deinit(GwChoice *choice);
/* Takes the next token of the job. choice->finish is "stop" once a stop text is there. */
GwStatus gw_choice_add(GwChoice *choice, const GwJobToken *token);
/* Takes the job's end. */
void gw_choice_end(GwChoice *choice, GwJobEnd end);
/* The choice as a member of "choices": whole, or what came since the last chunk (NULL when that is
 * nothing). */
json_t *gw_choice_whole(GwChoice *choice);
json_t *gw_choice_chunk(GwChoice *choice);

/* The answer around choices, which are taken over; `usage` may be NULL. */
json_t *gw_completion_answer(uint64_t id, const char *model_name, json_t *choices, json_t *usage);
json_t *gw_completion_usage(const GwChoice *choices, int32_t count);
/* {"error": {...}} */
json_t *gw_completion_error(const char *type, const char *message);

/* The text of `size` bytes as JSON: what is not UTF-8 becomes U+FFFD. */
json_t *gw_json_from_bytes(const void *bytes, size_t size);

#endif
