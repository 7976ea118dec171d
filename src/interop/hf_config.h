/* config.json of Hugging Face's transformers for the families that godwit has: gpt2, llama, and
 * qwen3, which is llama with QK-norm. */
#ifndef GW_HF_CONFIG_H
#define GW_HF_CONFIG_H

#include "godwit/recipe.h"
#include "infer/text_ends.h"

/* "gpt2", "llama" or "qwen3"; also what llama.cpp calls the architecture. GW_UNSUPPORTED, naming
 * the recipe's key, for a model that none of them can express. */
GwStatus gw_foreign_architecture(const GwModelRecipe *model, const char **out);

/* The file's text, malloc'd. Texts begin with `head`; `dtype` is that of the tensors beside it
 * ("float32"). */
GwStatus gw_hf_config_write(const GwModelRecipe *model, int32_t head, const GwTextEnds *ends,
                            const char *dtype, char **out);

/* The model section of a recipe. GW_CORRUPT for a missing or misshaped field, GW_UNSUPPORTED for a
 * value that godwit has nothing for; both name file and field. */
GwStatus gw_hf_config_read(const char *file, const json_t *config, GwModelRecipe *out);

#endif
