/* How the tensors of other programs' files are made of a model's parameters: one table, read in one
 * direction by export and in the other by import.
 *
 *   HF     Hugging Face's names. GPT-2 keeps q, k and v in one matrix and its matrices transposed.
 *   GGUF   llama.cpp's names. The architecture llama turns pairs (2j, 2j+1) of a head, where
 *          Hugging Face and godwit turn (j, j + head/2): rows of q and k are put in that order. */
#ifndef GW_TENSOR_MAP_H
#define GW_TENSOR_MAP_H

#include "model/model.h"

typedef enum { GW_FORMAT_HF, GW_FORMAT_GGUF } GwForeignFormat;

typedef enum {
  GW_LAYOUT_SAME,
  GW_LAYOUT_TRANSPOSED,
  GW_LAYOUT_PAIRED /* rows of a head: j and j + head/2 side by side */
} GwForeignLayout;

enum { GW_SOURCES_MAX = 3 };

typedef struct {
  char name[GW_NAME_MAX];
  GwType type; /* f32, as the file has its shape */
  GwForeignLayout layout;
  int64_t head;                /* paired: rows of a head */
  int sources[GW_SOURCES_MAX]; /* parameters, one below the other */
  int source_count;
} GwForeignTensor;

typedef struct {
  GwForeignTensor *tensors;
  int count;
} GwTensorMap;

/* Every parameter stands in exactly one tensor. */
GwStatus gw_tensor_map_create(const GwModelRecipe *model, const GwParamList *list,
                              GwForeignFormat format, GwTensorMap *out);
void gw_tensor_map_deinit(GwTensorMap *map);
/* Bytes of the largest tensor, in f32. */
size_t gw_tensor_map_largest(const GwTensorMap *map);

/* The parameter of that name, or -1. */
int gw_param_find(const GwParamList *list, const char *name);
/* `pattern` with the layer in place of %d, if it has one: GW_NAME_MAX bytes. */
void gw_layer_name(char *out, const char *pattern, int layer);

/* The tensor's elements from the parameter buffer, and back. */
void gw_foreign_gather(const GwForeignTensor *tensor, const GwParamList *list, const void *params,
                       float *out);
void gw_foreign_scatter(const GwForeignTensor *tensor, const GwParamList *list, const float *values,
                        void *params);

#endif
