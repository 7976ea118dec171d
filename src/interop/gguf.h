/* GGUF version 3, the file of llama.cpp (ggml's docs/gguf.md): keys with values, then tensors, each
 * at a multiple of the alignment. Little-endian; a tensor's dimensions stand fastest first, so a
 * row-major matrix [out, in] has the dimensions {in, out} and its bytes as they are. */
#ifndef GW_GGUF_H
#define GW_GGUF_H

#include "data/text.h"
#include "os/fs.h"

enum { GW_GGUF_VERSION = 3, GW_GGUF_ALIGNMENT = 32, GW_GGUF_DIMS_MAX = 4, GW_Q8_0_BLOCK = 32 };

typedef enum {
  GW_GGUF_U8,
  GW_GGUF_I8,
  GW_GGUF_U16,
  GW_GGUF_I16,
  GW_GGUF_U32,
  GW_GGUF_I32,
  GW_GGUF_F32,
  GW_GGUF_BOOL,
  GW_GGUF_STRING,
  GW_GGUF_ARRAY,
  GW_GGUF_U64,
  GW_GGUF_I64,
  GW_GGUF_F64
} GwGgufKind;

/* The keys of the tokens that end a text: of a whole one, of a turn, of a message. llama.cpp stops
 * at each of them. */
enum { GW_GGUF_ENDS = 3 };
extern const char *const gw_gguf_ends[GW_GGUF_ENDS];

/* How the elements of a tensor are stored; the numbers are ggml's. */
typedef enum {
  GW_GGML_F32 = 0,
  GW_GGML_F16 = 1,
  GW_GGML_Q8_0 = 8, /* 32 int8 behind their scale, an f16 */
  GW_GGML_BF16 = 30
} GwGgmlType;

/* "F32", "F16", "Q8_0", "BF16"; NULL for a type that godwit doesn't read. */
const char *gw_ggml_name(uint32_t type);
/* Bytes of `count` elements; count is a multiple of the block for Q8_0. */
uint64_t gw_ggml_size(GwGgmlType type, uint64_t count);
/* Between f32 and a type. To Q8_0 a block of 32 is divided by its largest magnitude over 127 and
 * rounded, halves away from zero, as ggml does. */
void gw_ggml_encode(GwGgmlType type, const float *values, uint64_t count, void *out);
void gw_ggml_decode(GwGgmlType type, const void *data, uint64_t count, float *out);

/* ---- writing: the head of a file, put together in memory ---- */

typedef struct {
  GwText keys, tensors; /* as they will stand in the file */
  uint64_t key_count, tensor_count;
  uint64_t data_size; /* of the tensors so far, padded */
  GwStatus status;    /* of the first put that failed; later ones do nothing */
} GwGgufHead;

/* Zero-initialise a head. A key is put by put_key and then its value. */
void gw_gguf_put_u32(GwGgufHead *head, const char *key, uint32_t value);
void gw_gguf_put_f32(GwGgufHead *head, const char *key, float value);
void gw_gguf_put_bool(GwGgufHead *head, const char *key, bool value);
void gw_gguf_put_string(GwGgufHead *head, const char *key, const char *value);
/* Arrays: begun with their length, then that many items. */
void gw_gguf_begin_array(GwGgufHead *head, const char *key, GwGgufKind kind, uint64_t count);
void gw_gguf_item_string(GwGgufHead *head, const char *value);
void gw_gguf_item_i32(GwGgufHead *head, int32_t value);
/* Tensors, in the order in which their data follows; dims fastest first. */
void gw_gguf_put_tensor(GwGgufHead *head, const char *name, GwGgmlType type, int rank,
                        const uint64_t *dims);
/* Appends all that stands before the data to `out`. */
GwStatus gw_gguf_head_finish(GwGgufHead *head, GwText *out);
void gw_gguf_head_deinit(GwGgufHead *head);

/* ---- reading ---- */

typedef struct {
  const char *name; /* not terminated */
  size_t name_size;
  uint32_t type;
  int rank;
  uint64_t dims[GW_GGUF_DIMS_MAX], count;
  const uint8_t *data; /* gw_ggml_size bytes */
} GwGgufTensor;

typedef struct GwGguf GwGguf;

/* `data` must outlive the result; `name` stands for the file in messages. What is wrong with the
 * file is GW_CORRUPT, another version or byte order GW_UNSUPPORTED, naming the field. */
GwStatus gw_gguf_parse(const char *name, const void *data, size_t size, GwGguf **out);
void gw_gguf_close(GwGguf *file); /* NULL is allowed */

uint64_t gw_gguf_tensor_count(const GwGguf *file);
const GwGgufTensor *gw_gguf_tensor(const GwGguf *file, uint64_t index);
const GwGgufTensor *gw_gguf_find(const GwGguf *file, const char *name); /* NULL for none */

/* Values by key: GW_CORRUPT when it is absent or has another kind. */
bool gw_gguf_has(const GwGguf *file, const char *key);
GwStatus gw_gguf_u32(const GwGguf *file, const char *key, uint32_t *out);
GwStatus gw_gguf_f32(const GwGguf *file, const char *key, float *out);
/* Not terminated; the bytes are the file's. */
GwStatus gw_gguf_string(const GwGguf *file, const char *key, const char **out, size_t *size);

/* Walks an array of strings or of i32. */
typedef struct {
  const uint8_t *at;
  uint64_t left;
} GwGgufWalk;
GwStatus gw_gguf_array(const GwGguf *file, const char *key, GwGgufKind kind, GwGgufWalk *out);
const char *gw_gguf_next_string(GwGgufWalk *walk, size_t *size);
int32_t gw_gguf_next_i32(GwGgufWalk *walk);

#endif
