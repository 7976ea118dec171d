/* Choices as they grow, and the JSON around them. */
#include "serve/completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "infer/text_stream.h"

/* ---- bytes as JSON ---- */

json_t *gw_json_from_bytes(const void *bytes, size_t size) {
  static const char replacement[] = "\xef\xbf\xbd";
  const char *at = bytes, *end = at + size;
  GwText text = {0};
  if (size == 0 || gw_text_invalid_bytes(bytes, size) == 0)
    return json_stringn(size ? bytes : "", size);
  GwStatus status = GW_OK;
  while (at < end && status == GW_OK) {
    size_t length = gw_text_character(at, (size_t)(end - at));
    status = length ? gw_text_append(&text, at, length)
                    : gw_text_append(&text, replacement, sizeof replacement - 1);
    at += length ? length : 1;
  }
  json_t *out = status == GW_OK ? json_stringn(text.data, text.size) : NULL;
  gw_text_deinit(&text);
  return out;
}

/* A token as text; one that is not whole characters as "bytes:\xe2\x80". */
static json_t *token_text(const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  char text[1024] = "bytes:";
  size_t length = strlen(text);
  if (size == 0 || gw_text_invalid_bytes(bytes, size) == 0)
    return json_stringn(size ? bytes : "", size);
  for (size_t i = 0; i < size && length + 5 < sizeof text; i++)
    length += (size_t)snprintf(text + length, sizeof text - length, "\\x%02x", at[i]);
  return json_stringn(text, length);
}

/* ---- a choice ---- */

typedef struct {
  const void *bytes;
  size_t size;
  char number[16];
} Piece;

/* The bytes of a token; where there is no vocabulary, its number. */
static void piece_of(const GwChoice *choice, int32_t token, Piece *out) {
  if (choice->tokenizer) {
    out->bytes = gw_tokenizer_bytes(choice->tokenizer, token, &out->size);
    return;
  }
  out->size = (size_t)snprintf(out->number, sizeof out->number, " %d", token);
  out->bytes = out->number;
}

static bool wants_scores(const GwChoice *choice) { return choice->completion->logprobs >= 0; }

static GwStatus make_lists(GwChoice *choice) {
  if (!wants_scores(choice)) return GW_OK;
  choice->tokens = json_array();
  choice->token_logprobs = json_array();
  choice->top_logprobs = json_array();
  choice->text_offset = json_array();
  return choice->tokens && choice->token_logprobs && choice->top_logprobs && choice->text_offset
             ? GW_OK
             : gw_fail(GW_MEMORY, "no memory for an answer");
}

static void drop_lists(GwChoice *choice) {
  json_decref(choice->tokens);
  json_decref(choice->token_logprobs);
  json_decref(choice->top_logprobs);
  json_decref(choice->text_offset);
  choice->tokens = choice->token_logprobs = choice->top_logprobs = choice->text_offset = NULL;
}

/* The likeliest tokens, and the token itself where it is none of them. */
static json_t *top_of(const GwChoice *choice, const GwJobToken *token, json_t *own) {
  json_t *top = json_object();
  for (int32_t i = 0; i < token->top_count; i++) {
    Piece piece;
    piece_of(choice, token->top[i].token, &piece);
    json_t *name = token_text(piece.bytes, piece.size);
    const char *key = json_string_value(name);
    if (key && !json_object_get(top, key))
      json_object_set_new(top, key, json_real(token->top[i].log_probability));
    json_decref(name);
  }
  const char *key = json_string_value(own);
  if (key && !json_object_get(top, key)) json_object_set_new(top, key, json_real(token->logprob));
  return top;
}

static GwStatus add_scores(GwChoice *choice, const GwJobToken *token, const Piece *piece) {
  if (!wants_scores(choice)) return GW_OK;
  json_t *text = token_text(piece->bytes, piece->size);
  json_t *top = token->scored ? top_of(choice, token, text) : json_null();
  json_t *logprob = token->scored ? json_real(token->logprob) : json_null();
  bool failed = json_array_append_new(choice->top_logprobs, top) != 0;
  failed |= json_array_append_new(choice->token_logprobs, logprob) != 0;
  failed |= json_array_append_new(choice->tokens, text) != 0;
  failed |= json_array_append_new(choice->text_offset, json_integer(choice->characters)) != 0;
  return failed ? gw_fail(GW_MEMORY, "no memory for an answer") : GW_OK;
}

static GwStatus append(GwChoice *choice, const Piece *piece) {
  const uint8_t *bytes = piece->bytes;
  for (size_t i = 0; i < piece->size; i++) choice->characters += (bytes[i] & 0xc0) != 0x80;
  return gw_text_append(&choice->text, piece->bytes, piece->size);
}

/* What is there so far is the prompt. What is generated may complete its last character. */
static void end_prompt(GwChoice *choice) {
  choice->begin = choice->text.size;
  choice->released = choice->begin - gw_text_unfinished(choice->text.data, choice->begin);
}

GwStatus gw_choice_init(GwChoice *choice, const GwCompletion *completion,
                        const GwTokenizer *tokenizer, int32_t index) {
  const GwTokenIds *prompt = &completion->prompts[index / completion->n];
  *choice = (GwChoice){.completion = completion, .tokenizer = tokenizer, .index = index};
  choice->prompt_tokens = (int64_t)prompt->count - completion->headed;
  GW_TRY(make_lists(choice));
  if (!completion->echo) return GW_OK;
  if (wants_scores(choice)) {
    choice->prompt_left = (int64_t)prompt->count;
    return GW_OK;
  }
  for (size_t i = completion->headed; i < prompt->count; i++) {
    Piece piece;
    piece_of(choice, prompt->ids[i], &piece);
    GW_TRY(append(choice, &piece));
  }
  end_prompt(choice);
  return GW_OK;
}

void gw_choice_deinit(GwChoice *choice) {
  gw_text_deinit(&choice->text);
  drop_lists(choice);
}

/* Where the first stop text begins that ends within the last `added` bytes; the text's size when
 * there is none. */
static size_t find_stop(const GwChoice *choice, size_t added) {
  const GwText *text = &choice->text;
  size_t found = text->size;
  for (int32_t i = 0; found > 0 && i < choice->completion->stop_count; i++) {
    const char *stop = choice->completion->stops[i];
    size_t length = strlen(stop), from = text->size - added;
    from = from - choice->begin > length ? from - length : choice->begin;
    const char *at = memmem(text->data + from, text->size - from, stop, length);
    if (at && (size_t)(at - text->data) < found) found = (size_t)(at - text->data);
  }
  return found;
}

/* How many of the last bytes may be the beginning of a stop text, or are half a character. */
static size_t held_back(const GwChoice *choice) {
  const GwText *text = &choice->text;
  size_t held = gw_text_unfinished(text->data, text->size), own = text->size - choice->begin;
  for (int32_t i = 0; i < choice->completion->stop_count; i++) {
    const char *stop = choice->completion->stops[i];
    size_t most = strlen(stop) - 1;
    for (size_t n = most < own ? most : own; n > held; n--)
      if (memcmp(text->data + text->size - n, stop, n) == 0) held = n;
  }
  return held;
}

/* The head that we put before a text is not part of the answer. */
static GwStatus add_prompt_token(GwChoice *choice, const GwJobToken *token) {
  Piece piece;
  if (choice->prompt_left-- > choice->prompt_tokens) return GW_OK;
  piece_of(choice, token->token, &piece);
  GW_TRY(add_scores(choice, token, &piece));
  GW_TRY(append(choice, &piece));
  end_prompt(choice);
  return GW_OK;
}

GwStatus gw_choice_add(GwChoice *choice, const GwJobToken *token) {
  Piece piece;
  if (choice->prompt_left > 0) return add_prompt_token(choice, token);
  piece_of(choice, token->token, &piece);
  GW_TRY(add_scores(choice, token, &piece));
  GW_TRY(append(choice, &piece));
  choice->generated++;
  size_t end = find_stop(choice, piece.size);
  if (end < choice->text.size) {
    choice->text.size = choice->released = end;
    choice->finish = "stop";
  } else {
    choice->released = choice->text.size - held_back(choice);
  }
  return GW_OK;
}

void gw_choice_end(GwChoice *choice, GwJobEnd end) {
  if (choice->finish) return;
  choice->released = choice->text.size;
  choice->finish = end == GW_JOB_END_OF_TEXT ? "stop" : "length";
}

/* ---- answers ---- */

static json_t *choice_json(GwChoice *choice, size_t from, size_t to) {
  json_t *scores = json_null();
  if (wants_scores(choice))
    scores = json_pack("{s:O, s:O, s:O, s:O}", "tokens", choice->tokens, "token_logprobs",
                       choice->token_logprobs, "top_logprobs", choice->top_logprobs, "text_offset",
                       choice->text_offset);
  const char *text = choice->text.data ? choice->text.data : "";
  json_t *finish = choice->finish ? json_string(choice->finish) : json_null();
  return json_pack("{s:i, s:o, s:o, s:o}", "index", choice->index, "text",
                   gw_json_from_bytes(text + from, to - from), "finish_reason", finish, "logprobs",
                   scores);
}

json_t *gw_choice_whole(GwChoice *choice) { return choice_json(choice, 0, choice->released); }

json_t *gw_choice_chunk(GwChoice *choice) {
  if (choice->shown == choice->released && !choice->finish) return NULL;
  json_t *chunk = choice_json(choice, choice->shown, choice->released);
  choice->shown = choice->released;
  drop_lists(choice);
  if (make_lists(choice) == GW_OK) return chunk;
  json_decref(chunk);
  return NULL;
}

json_t *gw_completion_answer(uint64_t id, const char *model_name, json_t *choices, json_t *usage) {
  json_t *answer =
      json_pack("{s:o, s:s, s:I, s:s, s:o}", "id",
                json_sprintf("cmpl-%016llx", (unsigned long long)id), "object", "text_completion",
                "created", (json_int_t)time(NULL), "model", model_name, "choices", choices);
  if (usage) json_object_set_new(answer, "usage", usage);
  return answer;
}

/* A prompt is counted once, whatever n. */
json_t *gw_completion_usage(const GwChoice *choices, int32_t count) {
  int64_t prompt = 0, generated = 0;
  for (int32_t i = 0; i < count; i++) {
    if (i % choices[i].completion->n == 0) prompt += choices[i].prompt_tokens;
    generated += choices[i].generated;
  }
  return json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)prompt, "completion_tokens",
                   (json_int_t)generated, "total_tokens", (json_int_t)(prompt + generated));
}

json_t *gw_completion_error(const char *type, const char *message) {
  return json_pack("{s:{s:o, s:s, s:n, s:n}}", "error", "message",
                   gw_json_from_bytes(message, strlen(message)), "type", type, "param", "code");
}
