/* Fuzz target: any bytes as the body of a completion request. What parses can be answered, and its
 * pieces are the whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/completion.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A piece as it is sent to a client that wants a stream. */
static void take_chunk(GwChoice *choice, GwText *shown) {
  json_t *chunk = gw_choice_chunk(choice);
  if (!chunk) return;
  const json_t *text = json_object_get(chunk, "text");
  GW_ASSERT(gw_text_append(shown, json_string_value(text), json_string_length(text)) == GW_OK);
  json_decref(chunk);
}

/* The prompt's tokens and the bytes of the request as if a model had written them. */
static void answer(const GwCompletion *completion, const GwTokenizer *tokenizer,
                   const uint8_t *data, size_t size) {
  GwChoice choice;
  GwText shown = {0};
  GwJobRequest job = gw_completion_job(completion, gw_completion_choices(completion) - 1);
  GW_ASSERT(job.prompt_count >= 1);
  GW_ASSERT(gw_choice_init(&choice, completion, tokenizer, 0) == GW_OK);
  for (size_t i = 0; i < size + 8 && !choice.finish; i++) {
    GwJobToken token = {.token = i < size ? data[i] : 'x', .scored = i > 0};
    GW_ASSERT(gw_choice_add(&choice, &token) == GW_OK);
    if (completion->stream) take_chunk(&choice, &shown);
  }
  gw_choice_end(&choice, GW_JOB_LENGTH);
  json_t *whole = gw_choice_whole(&choice);
  const json_t *text = json_object_get(whole, "text");
  GW_ASSERT(json_is_string(text));
  if (completion->stream) {
    take_chunk(&choice, &shown);
    GW_ASSERT(shown.size == json_string_length(text) &&
              (!shown.size || memcmp(shown.data, json_string_value(text), shown.size) == 0));
  }
  gw_text_deinit(&shown);
  json_decref(whole);
  gw_choice_deinit(&choice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static GwTokenizer *tokenizer;
  if (!tokenizer) GW_ASSERT(gw_tokenizer_byte(&tokenizer) == GW_OK);
  GwLoadedModel model = {.tokenizer = tokenizer};
  model.recipe.model.context = 64;
  model.recipe.model.vocab_size = 257;
  GwCompletion completion;
  if (gw_completion_parse((const char *)data, size, &model, "m", &completion) != GW_OK) return 0;
  answer(&completion, tokenizer, data, size);
  gw_completion_deinit(&completion);
  return 0;
}
