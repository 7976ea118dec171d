/* A request: a table of the parameters, then the prompts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/suggest.h"
#include "serve/completion.h"

typedef enum { NUMBER, WHOLE, FLAG } Kind;

typedef struct {
  const char *name;
  Kind kind;
  size_t offset; /* in GwCompletion */
  double min, max;
} Parameter;

#define AT(field) offsetof(GwCompletion, field)
static const Parameter parameters[] = {
    {"max_tokens", WHOLE, AT(max_tokens), 0, 1 << 20},
    {"temperature", NUMBER, AT(choice.temperature), 0, 1e6},
    {"top_p", NUMBER, AT(choice.top_p), 1e-9, 1},
    {"top_k", WHOLE, AT(choice.top_k), 0, INT32_MAX},
    {"seed", WHOLE, AT(seed), 0, 9.2e18},
    {"n", WHOLE, AT(n), 1, GW_CHOICES_MAX},
    {"logprobs", WHOLE, AT(logprobs), 0, GW_JOB_TOP_MAX},
    {"echo", FLAG, AT(echo), 0, 0},
    {"stream", FLAG, AT(stream), 0, 0},
};
#undef AT

/* Would change the answer in ways that are not there; allowed where they ask for nothing. */
static const char *const refused[] = {"suffix", "logit_bias", "presence_penalty",
                                      "frequency_penalty", "best_of"};
static const char *const others[] = {"prompt", "model", "stop", "stream_options", "user"};

static bool is_one_of(const char *name, const char *const *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(name, list[i]) == 0) return true;
  return false;
}

static bool asks_for_nothing(const char *name, const json_t *value) {
  double nothing = strcmp(name, "best_of") == 0 ? 1 : 0;
  if (json_is_number(value)) return json_number_value(value) == nothing;
  if (json_is_string(value)) return json_string_length(value) == 0;
  return json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0);
}

static GwStatus wrong(const Parameter *p) {
  if (p->kind == FLAG) return gw_fail(GW_INVALID, "'%s' must be true or false", p->name);
  return gw_fail(GW_INVALID, "'%s' must be a %snumber from %g to %g", p->name,
                 p->kind == WHOLE ? "whole " : "", p->min, p->max);
}

/* Whole numbers are kept in fields of different widths. */
static void set_whole(const Parameter *p, json_int_t value, GwCompletion *out) {
  char *at = (char *)out + p->offset;
  if (p->offset == offsetof(GwCompletion, max_tokens))
    *(int64_t *)(void *)at = value;
  else if (p->offset == offsetof(GwCompletion, seed))
    *(uint64_t *)(void *)at = (uint64_t)value;
  else
    *(int32_t *)(void *)at = (int32_t)value;
}

static GwStatus set(const Parameter *p, const json_t *value, GwCompletion *out) {
  double number = json_number_value(value);
  if (json_is_null(value)) return GW_OK;
  if (p->kind == FLAG) {
    if (!json_is_boolean(value)) return wrong(p);
    *(bool *)((char *)out + p->offset) = json_is_true(value);
    return GW_OK;
  }
  if (p->kind == WHOLE ? !json_is_integer(value) : !json_is_number(value)) return wrong(p);
  if (!(number >= p->min && number <= p->max)) return wrong(p);
  if (p->kind == WHOLE)
    set_whole(p, json_integer_value(value), out);
  else
    *(double *)(void *)((char *)out + p->offset) = number;
  return GW_OK;
}

static GwStatus unknown(const char *name) {
  const char *known[GW_COUNT_OF(parameters) + GW_COUNT_OF(others)];
  int count = 0;
  for (size_t i = 0; i < GW_COUNT_OF(parameters); i++) known[count++] = parameters[i].name;
  for (size_t i = 0; i < GW_COUNT_OF(others); i++) known[count++] = others[i];
  const char *near = gw_similar(name, known, count);
  return near ? gw_fail(GW_INVALID, "unknown parameter '%.40s'; did you mean '%s'?", name, near)
              : gw_fail(GW_INVALID, "unknown parameter '%.40s'", name);
}

static GwStatus parse_member(const char *name, const json_t *value, GwCompletion *out) {
  for (size_t i = 0; i < GW_COUNT_OF(parameters); i++)
    if (strcmp(name, parameters[i].name) == 0) return set(&parameters[i], value, out);
  if (is_one_of(name, others, GW_COUNT_OF(others))) return GW_OK;
  if (!is_one_of(name, refused, GW_COUNT_OF(refused))) return unknown(name);
  return asks_for_nothing(name, value) ? GW_OK : gw_fail(GW_INVALID, "'%s' is not supported", name);
}

/* ---- members of their own kind ---- */

static GwStatus add_stop(const json_t *value, GwCompletion *out) {
  if (!json_is_string(value) || json_string_length(value) == 0 || out->stop_count == GW_STOPS_MAX)
    return gw_fail(GW_INVALID, "'stop' must be a text that is not empty, or up to %d of them",
                   GW_STOPS_MAX);
  char *stop = strdup(json_string_value(value));
  if (!stop) return gw_fail(GW_MEMORY, "no memory for the request");
  out->stops[out->stop_count++] = stop;
  return GW_OK;
}

static GwStatus parse_stop(const json_t *value, GwCompletion *out) {
  size_t i;
  json_t *item;
  if (!value || json_is_null(value)) return GW_OK;
  if (!json_is_array(value)) return add_stop(value, out);
  json_array_foreach(value, i, item) GW_TRY(add_stop(item, out));
  return GW_OK;
}

static GwStatus parse_stream_options(const json_t *value, GwCompletion *out) {
  const char *name;
  json_t *member;
  if (!value || json_is_null(value)) return GW_OK;
  json_object_foreach((json_t *)value, name, member) {
    if (strcmp(name, "include_usage") != 0 || !json_is_boolean(member))
      return gw_fail(GW_INVALID, "'stream_options' has include_usage, true or false, only");
    out->usage = json_is_true(member);
  }
  return json_is_object(value) ? GW_OK : gw_fail(GW_INVALID, "'stream_options' must be an object");
}

static GwStatus check_model(const json_t *value, const char *model_name) {
  if (!value) return gw_fail(GW_INVALID, "'model' is missing; this server has '%s'", model_name);
  if (!json_is_string(value) || strcmp(json_string_value(value), model_name) != 0)
    return gw_fail(GW_INVALID, "'model' must be '%s', which this server has", model_name);
  return GW_OK;
}

/* ---- prompts ---- */

static GwStatus parse_ids(const json_t *list, const GwLoadedModel *model, GwTokenIds *out) {
  int32_t limit = model->recipe.model.vocab_size;
  size_t i;
  json_t *item;
  json_array_foreach(list, i, item) {
    json_int_t id = json_integer_value(item);
    if (!json_is_integer(item) || id < 0 || id >= limit)
      return gw_fail(GW_INVALID, "'prompt' has a token that is none: ids go from 0 to %" PRId32,
                     limit - 1);
    GW_TRY(gw_token_ids_add(out, (int32_t)id));
  }
  return out->count > 0 ? GW_OK : gw_fail(GW_INVALID, "'prompt' needs at least one token");
}

static GwStatus parse_text(const json_t *text, const GwLoadedModel *model, GwTokenIds *out) {
  if (!model->tokenizer)
    return gw_fail(GW_INVALID,
                   "'prompt' must be token ids, as this model has no vocabulary for texts");
  GW_TRY(gw_token_ids_add(out, gw_tokenizer_end_of_text(model->tokenizer)));
  return gw_tokenizer_encode(model->tokenizer, json_string_value(text), json_string_length(text),
                             out);
}

static GwStatus parse_prompt(const json_t *prompt, const GwLoadedModel *model, GwTokenIds *out) {
  int64_t context = model->recipe.model.context;
  GW_TRY(json_is_string(prompt) ? parse_text(prompt, model, out) : parse_ids(prompt, model, out));
  if ((int64_t)out->count > context + 1)
    return gw_fail(GW_INVALID, "'prompt' has %zu tokens, but the model's context is %" PRId64,
                   out->count, context);
  return GW_OK;
}

/* One prompt, or a list of prompts that are all texts or all lists. */
static GwStatus parse_prompts(const json_t *value, const GwLoadedModel *model, GwCompletion *out) {
  const json_t *first = json_array_get(value, 0);
  bool single = json_is_string(value) || json_is_integer(first);
  bool many = json_is_string(first) || json_is_array(first);
  size_t count = single ? 1 : json_array_size(value);
  if (!single && !many)
    return gw_fail(GW_INVALID, "'prompt' must be a text, token ids, or a list of either");
  if (count * (size_t)out->n > GW_CHOICES_MAX)
    return gw_fail(GW_INVALID, "'prompt' and 'n' ask for %zu choices; at most %d go together",
                   count * (size_t)out->n, GW_CHOICES_MAX);
  out->headed = json_is_string(single ? value : first);
  out->prompts = calloc(count, sizeof *out->prompts);
  if (!out->prompts) return gw_fail(GW_MEMORY, "no memory for the request");
  out->prompt_count = (int32_t)count;
  for (size_t i = 0; i < count; i++) {
    const json_t *prompt = single ? value : json_array_get(value, i);
    if (!json_is_array(prompt) && !json_is_string(prompt))
      return gw_fail(GW_INVALID, "'prompt' must be a text, token ids, or a list of either");
    if (json_is_string(prompt) != out->headed)
      return gw_fail(GW_INVALID, "'prompt' must be all texts or all token ids");
    GW_TRY(parse_prompt(prompt, model, &out->prompts[i]));
  }
  return GW_OK;
}

/* ---- the whole ---- */

static GwStatus parse_members(const json_t *root, const GwLoadedModel *model,
                              const char *model_name, GwCompletion *out) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)root, name, value) GW_TRY(parse_member(name, value, out));
  GW_TRY(check_model(json_object_get(root, "model"), model_name));
  if (out->logprobs >= 0 && out->max_tokens > GW_SCORED_TOKENS_MAX)
    return gw_fail(GW_INVALID, "'max_tokens' goes up to %d where 'logprobs' are wanted",
                   GW_SCORED_TOKENS_MAX);
  GW_TRY(parse_stop(json_object_get(root, "stop"), out));
  GW_TRY(parse_stream_options(json_object_get(root, "stream_options"), out));
  return parse_prompts(json_object_get(root, "prompt"), model, out);
}

GwStatus gw_completion_parse(const char *body, size_t size, const GwLoadedModel *model,
                             const char *model_name, GwCompletion *out) {
  json_t *root = NULL;
  GwCompletion completion = {
      .n = 1, .max_tokens = 16, .choice = {1, 0, 1}, .seed = 1, .logprobs = -1};
  GW_TRY(gw_json_parse("request", body, size, &root));
  GwStatus status = json_is_object(root) ? parse_members(root, model, model_name, &completion)
                                         : gw_fail(GW_INVALID, "the request must be a JSON object");
  json_decref(root);
  if (status == GW_OK)
    *out = completion;
  else
    gw_completion_deinit(&completion);
  return status;
}

void gw_completion_deinit(GwCompletion *completion) {
  for (int32_t i = 0; i < completion->prompt_count; i++)
    gw_token_ids_deinit(&completion->prompts[i]);
  free(completion->prompts);
  for (int32_t i = 0; i < completion->stop_count; i++) free(completion->stops[i]);
  *completion = (GwCompletion){0};
}

int32_t gw_completion_choices(const GwCompletion *completion) {
  return completion->prompt_count * completion->n;
}

GwJobRequest gw_completion_job(const GwCompletion *completion, int32_t i) {
  const GwTokenIds *prompt = &completion->prompts[i / completion->n];
  return (GwJobRequest){.prompt = prompt->ids,
                        .prompt_count = (int64_t)prompt->count,
                        .tokens = completion->max_tokens,
                        .choice = completion->choice,
                        .seed = completion->seed + (uint64_t)(i % completion->n),
                        .top = completion->logprobs,
                        .prompt_scores = completion->echo && completion->logprobs >= 0};
}
