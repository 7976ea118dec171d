/* Unicode's normal form C (UAX #15), for vocabularies whose text is normalised before it is split:
 * marks in canonical order, and composed with what they stand on. */
#ifndef GW_NFC_H
#define GW_NFC_H

#include "base/base.h"

/* Buffers for one text at a time: zero-initialise, then deinit. */
typedef struct {
  int32_t *codes, *sorted; /* of the stretch at hand, decomposed */
  size_t count, code_capacity, sorted_capacity;
  uint8_t *text; /* what has been normalised */
  size_t size, capacity;
} GwNfc;

/* *out is `text` itself where nothing in it can change, else lies in the buffers until the next
 * call. Bytes that are not UTF-8 stay as they are, and text before and after them is normalised as
 * two texts. Time is linear in the text, whatever it is, and memory is a small multiple of it. */
GwStatus gw_nfc_normalize(GwNfc *nfc, const void *text, size_t size, const uint8_t **out,
                          size_t *out_size);
void gw_nfc_deinit(GwNfc *nfc);

#endif
