/* A recipe's model section → programs: what drivers call. Each family is one file that reads like
 * its paper (llama.c, gpt2.c), made of the parts in model_builder.h.
 *
 * Parameter names follow Hugging Face. All programs of a model declare the same parameters in the
 * same order, so they can share one parameter buffer. */
#ifndef GW_MODEL_H
#define GW_MODEL_H

#include "godwit/recipe.h"
#include "pass/recompute.h"

/* How a parameter starts. */
typedef enum {
  GW_INIT_NORMAL,   /* normal, standard deviation init_std */
  GW_INIT_RESIDUAL, /* the same over sqrt(2 layers): projections that write to the residual stream
                     */
  GW_INIT_ONE,
  GW_INIT_ZERO
} GwInit;

typedef struct {
  char name[GW_NAME_MAX];
  GwType type;
  int64_t offset; /* bytes, in the parameter buffer */
  GwInit init;
  bool embedding; /* a token or position table */
} GwParam;

typedef struct {
  GwParam *params;
  int count;
  size_t capacity;
  int64_t bytes;    /* of the parameter buffer */
  int64_t elements; /* without padding */
} GwParamList;

/* The parameters of a model; vocab_size must be set. */
GwStatus gw_model_params(const GwModelRecipe *model, GwParamList *out);
void gw_param_list_deinit(GwParamList *list);

/* Fills the parameter buffer: every element is a function of (seed, parameter name, element). */
void gw_model_init(const GwModelRecipe *model, const GwParamList *list, uint64_t seed, GwPool *pool,
                   void *buffer);

/* One lane's forward and backward pass: B sequences of T tokens.
 * accum, in this order: tally, every parameter's sum, signature, guard. */
typedef struct {
  GwProgram program;
  GwValueId tokens, targets, positions; /* i32 [B·T] */
  GwValueId tally, signature, guard;
  GwValueId fresh; /* an input, see GwAutodiffResult */
} GwLaneProgram;
/* `limit`: see GwAutodiffOptions. */
GwStatus gw_model_lane_program(const GwModelRecipe *model, int64_t batch, double limit,
                               GwLaneProgram *out);

/* Brings the activations down to `limit` bytes by recomputation, as far as that goes; see
 * pass/recompute.h. On failure the program is gone. */
GwStatus gw_lane_program_fit(GwLaneProgram *lane, int64_t limit, GwRecomputation *out);

/* The forward pass and its losses only; no dropout, no z-loss; the same fields without sums. */
GwStatus gw_model_loss_program(const GwModelRecipe *model, int64_t batch, GwLaneProgram *out);

/* `rows` tokens of each of `sequences` sequences, whose earlier keys and values stand in caches of
 * `slots` slots of T rows (class state): logits of as many of the tokens as `wanted`. Row for row
 * the bits of the uncached pass, whatever else is in the program. */
typedef struct {
  int64_t slots, sequences, rows, wanted;
} GwDecodeShape;
typedef struct {
  GwProgram program;
  GwValueId tokens, positions; /* i32 [sequences·rows] */
  GwValueId base;              /* i32 [sequences]: cache row of the first token, slot T + ... */
  GwValueId wanted;            /* i32 [wanted]: which rows; 0 when all of them are wanted */
  GwValueId logits;            /* f32 [wanted, V] */
} GwDecodeProgram;
/* All at least 1, wanted <= sequences rows. */
GwStatus gw_model_decode_program(const GwModelRecipe *model, GwDecodeShape shape,
                                 GwDecodeProgram *out);

#endif
