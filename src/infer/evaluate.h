/* Evaluation: how well a model predicts a stream of tokens. Every token but the stream's first is
 * predicted exactly once; sums are exact integers, so the result does not depend on threads or on
 * how windows are batched. */
#ifndef GW_EVALUATE_H
#define GW_EVALUATE_H

#include "comm/world.h"
#include "data/corpus.h"
#include "exec/runner.h"
#include "godwit/eval.h"
#include "godwit/recipe.h"

typedef struct GwEvaluator GwEvaluator;

/* Windows that are evaluated at once: about 4,096 tokens. */
int64_t gw_evaluator_batch(const GwModelRecipe *model);

/* `params`: the parameter buffer of `model` (borrowed, may change between runs). */
GwStatus gw_evaluator_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                             void *params, GwEvaluator **out);
/* The same with `batch` windows at once and in the memory of `workspace` (exec/runner.h; large
 * enough for the program of gw_model_loss_program), which nobody else may use during a run. */
GwStatus gw_evaluator_create_in(const GwWorkspace *workspace, int64_t batch,
                                const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                                void *params, GwEvaluator **out);
void gw_evaluator_destroy(GwEvaluator *evaluator);

/* From now on evaluations are collective: each rank takes its part of the windows, and all get the
 * same result, which is the one of a single rank. `watch` sees every op. */
void gw_evaluator_share(GwEvaluator *evaluator, GwWorld *world, const GwObserver *watch);

/* Reads tokens [first, first + count] of a stream, one more than `count`, which must all lie in the
 * vocabulary, and the `count` positions of the first ones (data/corpus.h). */
typedef GwStatus GwTokenSource(void *context, uint64_t first, int64_t count, int32_t *tokens,
                               int32_t *positions);

/* Evaluates a stream of `count` tokens. Windows of T tokens advance by `stride` (1..T): each window
 * scores only the tokens not scored before, so a smaller stride gives every token more context.
 * `progress` is the label of a progress line, NULL for none. The tokenizer counts bytes; NULL:
 * they are not known. GW_INVALID when count < 2, GW_MISMATCH when the tokenizer has more tokens
 * than the model, GW_NUMERIC when a loss is NaN or out of range. */
GwStatus gw_evaluator_run(GwEvaluator *evaluator, GwTokenSource *source, void *context,
                          uint64_t count, int64_t stride, const GwTokenizer *tokenizer,
                          const char *progress, GwEvaluation *out);

/* The same for a split of a corpus, at most `max_tokens` of its beginning (0: all). */
GwStatus gw_evaluator_corpus(GwEvaluator *evaluator, const GwCorpus *corpus, GwSplit split,
                             int64_t max_tokens, int64_t stride, const char *progress,
                             GwEvaluation *out);

#endif
