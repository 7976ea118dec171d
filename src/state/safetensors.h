/* The safetensors file format: 8-byte little-endian header length, JSON header (name → dtype,
 * shape, data_offsets), raw tensors. Read by the public safetensors library; hostile files are
 * refused with the field's name (overlap, holes, range, duplicate names, header over 100 MB). */
#ifndef GW_SAFETENSORS_H
#define GW_SAFETENSORS_H

#include "os/fs.h"
#include "program/type.h"

enum { GW_SAFETENSORS_HEADER_MAX = 100000000 }; /* bytes; the public library's limit */

/* Writes and syncs `path`, the tensors in the order given, names unique. *hash gets the hash of the
 * file's bytes (gw_hash_blocks, first block 0, seed 0), *bytes their number. */
GwStatus gw_safetensors_write(GwFs *fs, const char *path, const GwTensor *tensors, int count,
                              uint64_t *hash, uint64_t *bytes);

/* The same for tensors that are made one by one: *data is that of tensor i until the next call. */
typedef GwStatus GwTensorSource(void *context, int i, const void **data);
GwStatus gw_safetensors_write_from(GwFs *fs, const char *path, const GwTensor *tensors, int count,
                                   GwTensorSource *source, void *context, uint64_t *hash,
                                   uint64_t *bytes);

typedef struct GwSafetensors GwSafetensors;
/* Parses a file's beginning from memory (what the fuzz target calls): `size` bytes, the length and
 * the whole header among them, of a file of `file_size` bytes, which bounds the offsets. What is
 * wrong with the file is GW_CORRUPT, naming `name` and the field. The result cannot be read from.
 */
GwStatus gw_safetensors_parse(const char *name, const void *data, size_t size, uint64_t file_size,
                              GwSafetensors **out);
/* Opens and parses `path`; `fs` must outlive the result. */
GwStatus gw_safetensors_open(GwFs *fs, const char *path, GwSafetensors **out);
/* NULL is allowed. */
void gw_safetensors_close(GwSafetensors *file);
int gw_safetensors_count(const GwSafetensors *file);
/* Entry i, in the header's order: data is NULL; *offset is its place in the file. */
GwTensor gw_safetensors_entry(const GwSafetensors *file, int i, uint64_t *offset);
/* The entry of that name, or -1. */
int gw_safetensors_find(const GwSafetensors *file, const char *name);
/* Reads entry i into `data` (gw_type_size bytes). */
GwStatus gw_safetensors_read(GwSafetensors *file, int i, void *data);

#endif
