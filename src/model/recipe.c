/* Recipes: outline, overrides and defaults make a whole text; libcyaml loads it; what is left is to
 * resolve what depends on other keys and to check what the keys must agree on. */
#include "godwit/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "model/recipe_outline.h"
#include "os/fs.h"

enum { HEAD_SIZE_MAX = 256 };

GwRecipe gw_recipe_default(void) {
  return (GwRecipe){
      .name = "unnamed",
      .model = {.family = GW_FAMILY_LLAMA,
                .layers = 4,
                .width = 128,
                .heads = 4,
                .context = 256,
                .activation = GW_ACTIVATION_SWIGLU,
                .rope_theta = 10000,
                .norm_epsilon = 1e-5,
                .init_std = 0.02},
      .train = {.steps = 1000,
                .seed = 1,
                .lanes = 1,
                .lane_batch = 8,
                .optimizer = {.lr = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .epsilon = 1e-8,
                              .weight_decay = 0.1,
                              .clip_norm = 1},
                .schedule = {.kind = GW_SCHEDULE_COSINE,
                             .warmup_steps = 100,
                             .final_fraction = 0.1,
                             .decay_fraction = 0.2},
                .log_every = 10,
                .validate_every = 200,
                .checkpoint_every = 500,
                .snapshot_every = 10,
                .keep_checkpoints = 2},
      .data = {.seed = 1},
  };
}

/* What the defaults are once the family is known. */
static GwRecipe family_default(const GwRecipeOutline *outline) {
  GwRecipe recipe = gw_recipe_default();
  const char *family = outline->entries[gw__recipe_key_find("model.family")].text;
  if (!family || strcmp(family, "gpt2") != 0) return recipe;
  recipe.model.activation = GW_ACTIVATION_GELU;
  recipe.model.tie_embeddings = true;
  return recipe;
}

/* Puts in the sizes that were left to the family. */
static void resolve_sizes(GwModelRecipe *model) {
  int32_t width = model->width;
  if (model->kv_heads == 0) model->kv_heads = model->heads;
  if (model->hidden != 0) return;
  bool gated = model->activation == GW_ACTIVATION_SWIGLU;
  /* three matrices of 8/3 C weigh what two of 4 C do */
  model->hidden =
      gated ? (int32_t)gw_align_up((size_t)gw_ceil_div(8 * (int64_t)width, 3), 32) : 4 * width;
}

int32_t gw_model_head_width(const GwModelRecipe *model) {
  return model->head_width > 0 ? model->head_width : model->width / model->heads;
}

static GwStatus check_heads(const GwRecipeOutline *outline, const GwModelRecipe *model) {
  if (model->head_width == 0 && model->width % model->heads != 0)
    return gw__recipe_outline_reject(outline, "model.heads",
                                     "is %d, which does not divide "
                                     "model.width (%d); or set model.head_width",
                                     model->heads, model->width);
  if (model->heads % model->kv_heads != 0)
    return gw__recipe_outline_reject(outline, "model.kv_heads",
                                     "is %d, which does not divide "
                                     "model.heads (%d)",
                                     model->kv_heads, model->heads);
  int32_t head_width = gw_model_head_width(model);
  if (head_width < 2 || head_width % 2 != 0 || head_width > HEAD_SIZE_MAX)
    return gw__recipe_outline_reject(outline,
                                     model->head_width > 0 ? "model.head_width" : "model.heads",
                                     "makes heads of %d (model.head_width, else model.width / "
                                     "model.heads); the head size must be even and at most %d",
                                     head_width, HEAD_SIZE_MAX);
  return GW_OK;
}

static GwStatus check_gpt2(const GwRecipeOutline *outline, const GwModelRecipe *model) {
  static const char only_llama[] = "is for model.family llama; remove it for gpt2";
  if (model->activation != GW_ACTIVATION_GELU)
    return gw__recipe_outline_reject(outline, "model.activation", "must be gelu for gpt2");
  if (!model->tie_embeddings)
    return gw__recipe_outline_reject(outline, "model.tie_embeddings", "must be true for gpt2");
  if (model->kv_heads != model->heads)
    return gw__recipe_outline_reject(outline, "model.kv_heads",
                                     "is %d, but must equal model.heads (%d) for gpt2",
                                     model->kv_heads, model->heads);
  if (model->qk_norm) return gw__recipe_outline_reject(outline, "model.qk_norm", only_llama);
  if (model->window != 0) return gw__recipe_outline_reject(outline, "model.window", only_llama);
  if (model->head_width != 0)
    return gw__recipe_outline_reject(outline, "model.head_width", only_llama);
  if (model->rope_theta != gw_recipe_default().model.rope_theta)
    return gw__recipe_outline_reject(outline, "model.rope_theta", only_llama);
  return GW_OK;
}

static GwStatus check_llama(const GwRecipeOutline *outline, const GwModelRecipe *model) {
  if (model->activation == GW_ACTIVATION_GELU)
    return gw__recipe_outline_reject(outline, "model.activation",
                                     "must be swiglu or relu2 for llama");
  if (model->window > model->context)
    return gw__recipe_outline_reject(outline, "model.window",
                                     "is %d, longer than model.context (%d); 0 means no window",
                                     model->window, model->context);
  return GW_OK;
}

static GwStatus check_agreement(const GwRecipeOutline *outline, const GwRecipe *recipe) {
  const GwModelRecipe *model = &recipe->model;
  GW_TRY(check_heads(outline, model));
  if (model->family == GW_FAMILY_GPT2)
    GW_TRY(check_gpt2(outline, model));
  else
    GW_TRY(check_llama(outline, model));
  int64_t lane_tokens = (int64_t)recipe->train.lane_batch * model->context;
  if (lane_tokens > INT32_MAX)
    return gw__recipe_outline_reject(outline, "train.lane_batch",
                                     "times model.context is %lld tokens per lane, at most %d; "
                                     "use more lanes",
                                     (long long)lane_tokens, INT32_MAX);
  return GW_OK;
}

/* The whole recipe as text: what was given, and the defaults for the rest. libcyaml knows no units,
 * so numbers of bytes are written out. */
static GwStatus complete_text(GwRecipeOutline *outline, char **out) {
  GwRecipe defaults = family_default(outline);
  const char *values[GW_RECIPE_KEYS];
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    char text[GW_RECIPE_VALUE_BYTES] = "";
    values[i] = outline->entries[i].text;
    if (values[i] && key->type != GW_KEY_BYTES) continue;
    if (!values[i]) gw__recipe_value_format(key, &defaults, text);
    if (key->type == GW_KEY_BYTES)
      snprintf(text, sizeof text, "%lld",
               (long long)gw__recipe_value_bytes(values[i] ? values[i] : text));
    values[i] = gw_arena_string(&outline->arena, text);
    if (!values[i]) return gw_fail(GW_MEMORY, "%s: out of memory", outline->name);
  }
  return gw__recipe_text(values, out);
}

static GwStatus parse(GwRecipeOutline *outline, const char *text, size_t size,
                      const char *const *overrides, int override_count, GwRecipe *out) {
  GW_TRY(gw__recipe_outline_read(outline, text, size));
  for (int i = 0; i < override_count; i++)
    GW_TRY(gw__recipe_outline_override(outline, overrides[i]));
  GW_TRY(gw__recipe_outline_check(outline));
  char *whole = NULL;
  GW_TRY(complete_text(outline, &whole));
  GwRecipe recipe;
  GwStatus status = gw__recipe_text_load(outline->name, whole, &recipe);
  free(whole);
  GW_TRY(status);
  resolve_sizes(&recipe.model);
  GW_TRY(check_agreement(outline, &recipe));
  *out = recipe;
  return GW_OK;
}

GwStatus gw_recipe_parse(const char *name, const char *text, size_t size,
                         const char *const *overrides, int override_count, GwRecipe *out) {
  GwRecipeOutline outline;
  gw__recipe_outline_init(&outline, name);
  GwStatus status = parse(&outline, text, size, overrides, override_count, out);
  gw__recipe_outline_deinit(&outline);
  return status;
}

GwStatus gw_recipe_load(const char *path, const char *const *overrides, int override_count,
                        GwRecipe *out) {
  char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_fs_read_all(gw_fs_disk(), path, GW_RECIPE_BYTES_MAX, &text, &size));
  GwStatus status = gw_recipe_parse(path, text, size, overrides, override_count, out);
  free(text);
  return status;
}

GwStatus gw_recipe_write(const GwRecipe *recipe, char **out) {
  char texts[GW_RECIPE_KEYS][GW_RECIPE_VALUE_BYTES];
  const char *values[GW_RECIPE_KEYS];
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    gw__recipe_value_format(&gw__recipe_keys[i], recipe, texts[i]);
    values[i] = texts[i];
  }
  return gw__recipe_text(values, out);
}

void gw_recipe_compare(const GwRecipe *a, const GwRecipe *b,
                       void (*visit)(void *context, const char *key, const char *value_a,
                                     const char *value_b),
                       void *context) {
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    char text_a[GW_RECIPE_VALUE_BYTES], text_b[GW_RECIPE_VALUE_BYTES];
    gw__recipe_value_format(&gw__recipe_keys[i], a, text_a);
    gw__recipe_value_format(&gw__recipe_keys[i], b, text_b);
    if (strcmp(text_a, text_b) != 0) visit(context, gw__recipe_keys[i].path, text_a, text_b);
  }
}

uint64_t gw_recipe_identity(const GwRecipe *recipe) {
  const GwRecipe defaults = gw_recipe_default();
  uint64_t identity = 0;
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    if (key->identity == GW_IDENTITY_NO) continue;
    char text[GW_RECIPE_VALUE_BYTES], usual[GW_RECIPE_VALUE_BYTES];
    gw__recipe_value_format(key, recipe, text);
    gw__recipe_value_format(key, &defaults, usual);
    if (key->identity == GW_IDENTITY_IF_SET && strcmp(text, usual) == 0) continue;
    identity = gw_hash_bytes(key->path, strlen(key->path), identity);
    identity = gw_hash_bytes(text, strlen(text), identity);
  }
  return identity;
}
