/* A model on its way out of a run or into one: what every format is written from and read into. */
#ifndef GW_FOREIGN_MODEL_H
#define GW_FOREIGN_MODEL_H

#include "infer/text_ends.h"
#include "interop/gguf.h"
#include "interop/tensor_map.h"
#include "tokenizer/tokenizer.h"

typedef struct {
  char name[64];
  GwModelRecipe model;
  GwParamList list;
  void *params;           /* the parameter buffer of `list` */
  GwTokenizer *tokenizer; /* NULL where the file has none */
  GwTextEnds ends;        /* none: only the tokenizer's end-of-text token, if there is one */
} GwForeignModel;

void gw_foreign_model_deinit(GwForeignModel *model);
/* What ends a text, in full: none only without a tokenizer. */
GwTextEnds gw_foreign_ends(const GwForeignModel *model);
/* Texts begin with the token `id` of `key` in `file`. One that is no special token of the model's
 * tokenizer is passed over with a warning: configurations keep defaults that mean nothing. */
void gw_foreign_set_head(GwForeignModel *model, const char *file, const char *key, int64_t id);
/* Takes as much of a name from elsewhere as fits, with - for all but plain characters. */
void gw_foreign_set_name(GwForeignModel *model, const char *text, size_t size);
/* Sets up list and buffer for model->model; GW_INVALID naming `file` when its sizes cannot be.
 * GW_CORRUPT when the parameters are more elements than `limit`: what the file can hold. */
GwStatus gw_foreign_model_allocate(const char *file, uint64_t limit, GwForeignModel *model);

/* GW_INVALID naming file and tensor unless every value is finite. */
GwStatus gw_foreign_check_finite(const char *file, const char *tensor, const float *values,
                                 int64_t count);

/* What an export has behind its name until it is whole; one that is there is written over. */
#define GW_EXPORT_ASIDE ".godwit-tmp"

/* Of the tensors in one file of a folder. */
#define GW_HF_SHARD_BYTES UINT64_C(5000000000)

/* Writing: `path` is there and whole when the call returns GW_OK, and as it was before otherwise.
 * `type` is how tensors are stored; in GGUF vectors and positions stay f32. A folder whose tensors
 * take more than `shard_bytes` has an index and several files of at most that, or of one tensor. */
GwStatus gw_hf_export(GwFs *fs, const GwForeignModel *model, const char *folder, GwGgmlType type,
                      uint64_t shard_bytes);
GwStatus gw_gguf_export(GwFs *fs, const GwForeignModel *model, const char *path, GwGgmlType type);

/* Reading; *out is zeroed before and to be deinited after success. */
GwStatus gw_hf_import(GwFs *fs, const char *folder, GwForeignModel *out);
GwStatus gw_gguf_import(const char *path, GwForeignModel *out);
GwStatus gw_llama2c_import(const char *path, GwForeignModel *out);
/* The same of a file in memory, which `name` stands for in messages; `data` is aligned for f32. */
GwStatus gw_llama2c_parse(const char *name, const void *data, size_t size, GwForeignModel *out);

#endif
