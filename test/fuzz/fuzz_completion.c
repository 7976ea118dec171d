/* Fuzz target: any bytes as the body of a completion request. What parses can be answered. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/completion.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The prompt's tokens and the bytes of the request as if a model had written them. */
static void answer(const GwCompletion *completion, const GwTokenizer *tokenizer,
                   const uint8_t *data, size_t size) {
  GwChoice choice;
  GwJobRequest job = gw_completion_job(completion, gw_completion_choices(completion) - 1);
  GW_ASSERT(job.prompt_count >= 1);
  GW_ASSERT(gw_choice_init(&choice, completion, tokenizer, 0) == GW_OK);
  for (size_t i = 0; i < size + 8 && !choice.finish; i++) {
    GwJobToken token = {.token = i < size ? data[i] : 'x', .scored = i > 0};
    GW_ASSERT(gw_choice_add(&choice, &token) == GW_OK);
    if (completion->stream) json_decref(gw_choice_chunk(&choice));
  }
  gw_choice_end(&choice, GW_JOB_LENGTH);
  json_t *whole = gw_choice_whole(&choice);
  GW_ASSERT(whole != NULL);
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
