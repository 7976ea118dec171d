/* A recipe: everything that decides what a run computes, and the only configuration there is.
 *
 * YAML on disk, read through a schema: an unknown key, a wrong type or a value out of range is an
 * error naming file, line, key and the nearest valid key. `key=value` overrides (dotted, for
 * example train.steps=100) go through the same schema. gw_recipe_write gives the resolved form. */
#ifndef GODWIT_RECIPE_H
#define GODWIT_RECIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "godwit/status.h"

typedef enum { GW_FAMILY_LLAMA, GW_FAMILY_GPT2 } GwFamily;
typedef enum { GW_ACTIVATION_SWIGLU, GW_ACTIVATION_GELU, GW_ACTIVATION_RELU2 } GwActivation;
typedef enum {
  GW_SCHEDULE_COSINE,
  GW_SCHEDULE_LINEAR,
  GW_SCHEDULE_WSD,
  GW_SCHEDULE_CONSTANT
} GwScheduleKind;

typedef enum { GW_PROFILE_F32, GW_PROFILE_BF16 } GwProfile;

typedef struct {
  GwProfile dtype; /* key `dtype`: f32 | bf16, the operands of matrix products; all else is f32 */
  GwFamily family; /* llama | gpt2 */
  int32_t layers;  /* L */
  int32_t width;   /* C */
  int32_t heads;   /* H */
  int32_t head_width; /* of a head, even; 0 means width / heads (gpt2: must be 0) */
  int32_t kv_heads;   /* Hkv, divides heads; 0 means heads (gpt2: must equal heads) */
  int32_t hidden;     /* F; 0 means 4 C (gpt2, gelu, relu2) or 8/3 C rounded up to 32 (swiglu) */
  int32_t context;    /* T, tokens */
  int32_t vocab_size; /* V; 0 means taken from the data */
  GwActivation activation; /* llama: swiglu (default) or relu2; gpt2: gelu */
  bool qk_norm;            /* RMSNorm on each head's q and k before the rotation (llama) */
  bool tie_embeddings;     /* the head shares the token embedding (gpt2: always) */
  int32_t window;          /* sliding window in tokens; 0 means none (llama) */
  double rope_theta;       /* base of the rotary frequencies (llama) */
  double norm_epsilon;
  double dropout;  /* [0, 1) */
  double z_loss;   /* coefficient of mean(logsumexp^2); 0 is off */
  double init_std; /* normal init; residual output projections are scaled by 1/sqrt(2L) */
} GwModelRecipe;

typedef struct {
  GwScheduleKind kind;   /* cosine | linear | wsd | constant, after the warm-up */
  int64_t warmup_steps;  /* linear from 0 */
  double final_fraction; /* final lr / peak lr */
  double decay_fraction; /* wsd: the last part of the run that decays linearly */
} GwScheduleRecipe;

typedef struct {
  double lr; /* peak */
  double beta1, beta2, epsilon;
  double weight_decay;   /* decoupled; applied to matrices */
  bool decay_embeddings; /* whether embeddings are in the decayed group */
  double clip_norm;      /* global gradient norm; 0 is off */
} GwOptimizerRecipe;

typedef struct {
  int64_t steps;
  uint64_t seed;      /* initial values and dropout */
  int32_t lanes;      /* lanes per step */
  int32_t lane_batch; /* B: sequences per lane */
  GwOptimizerRecipe optimizer;
  GwScheduleRecipe schedule;
  int64_t log_every, validate_every,
      checkpoint_every;     /* steps; 0 is off (checkpoint: only at the end) */
  int64_t validate_tokens;  /* upper bound per validation while training; 0 means all */
  int64_t snapshot_every;   /* steps between snapshots in memory, with ranks; 0: none */
  int32_t keep_checkpoints; /* the newest n are kept; >= 1 */
  bool keep_packed;         /* weights stay packed for the lanes of a step; changes no result */
  int64_t memory_limit;     /* bytes that training may plan for; 0: none. No result depends on it */
} GwTrainRecipe;

typedef struct {
  char dir[512]; /* the folder that `godwit prepare` wrote; --data overrides it */
  uint64_t seed; /* order of the windows */
} GwDataRecipe;

typedef struct {
  char name[64];
  GwModelRecipe model;
  GwTrainRecipe train;
  GwDataRecipe data;
} GwRecipe;

/* Elements of a head: head_width or, where that is 0, width / heads. */
int32_t gw_model_head_width(const GwModelRecipe *model);

/* "f32", "bf16" */
const char *gw_profile_name(GwProfile profile);

/* The defaults, as documented in docs/formats.md. */
GwRecipe gw_recipe_default(void);

/* Reads `path`, applies `overrides` ("train.steps=100"), checks ranges and consistency, and puts in
 * the sizes given as 0 (all but vocab_size). GW_INVALID for the file, GW_USAGE for an override. */
GwStatus gw_recipe_load(const char *path, const char *const *overrides, int override_count,
                        GwRecipe *out);

/* Reads a recipe from memory; `name` stands for the file in messages. "{}" is the shortest one. */
GwStatus gw_recipe_parse(const char *name, const char *text, size_t size,
                         const char *const *overrides, int override_count, GwRecipe *out);

/* The resolved recipe as YAML in a malloc'd string; reads back to an equal recipe. */
GwStatus gw_recipe_write(const GwRecipe *recipe, char **out);

/* Calls `visit` for every key whose values differ, in the order of the written form; a value is the
 * text that the written form has. */
void gw_recipe_compare(const GwRecipe *a, const GwRecipe *b,
                       void (*visit)(void *context, const char *key, const char *value_a,
                                     const char *value_b),
                       void *context);

/* 64-bit identity of what the recipe computes: dtype, model, train (not log/validate/checkpoint
 * cadence, not steps) and data seed. Two runs may share state only if it is equal. */
uint64_t gw_recipe_identity(const GwRecipe *recipe);

#endif
