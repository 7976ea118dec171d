/* The safetensors file format: 8-byte little-endian header length, JSON header (name → dtype,
 * shape, data_offsets), raw tensors. Read by the public safetensors library; hostile files are
 * refused with the field's name (overlap, holes, range, duplicate names, header over 100 MB). */
#ifndef GW_SAFETENSORS_H
#define GW_SAFETENSORS_H

#include "os/fs.h"
#include "program/type.h"

/* Writes and syncs `path`; *hash gets the hash of the file's bytes. */
GwStatus gw_safetensors_write(GwFs *fs, const char *path, const GwTensor *tensors, int count,
                              uint64_t *hash, uint64_t *bytes);

typedef struct GwSafetensors GwSafetensors;
/* Parses a header from memory (what the fuzz target calls); `file_size` bounds the offsets. */
GwStatus gw_safetensors_parse(const char *name, const void *header, size_t header_size,
                              uint64_t data_size, GwSafetensors **out);
GwStatus gw_safetensors_open(GwFs *fs, const char *path, GwSafetensors **out);
void gw_safetensors_close(GwSafetensors *file);
int gw_safetensors_count(const GwSafetensors *file);
/* Entry i: data is NULL; *offset is its place in the file. */
GwTensor gw_safetensors_entry(const GwSafetensors *file, int i, uint64_t *offset);
/* The entry of that name, or -1. */
int gw_safetensors_find(const GwSafetensors *file, const char *name);
/* Reads entry i into `data` (gw_type_size bytes). */
GwStatus gw_safetensors_read(GwSafetensors *file, int i, void *data);

#endif
