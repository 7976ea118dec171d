/* GPT-2's alphabet, in which files spell tokens: every byte has one printable character, itself
 * where it is one in Latin-1, else U+0100 and up in the order of the bytes. */
#ifndef GW_BYTE_ALPHABET_H
#define GW_BYTE_ALPHABET_H

#include "base/base.h"

enum { GW_ALPHABET_END = 256 + 68 };

typedef struct {
  uint16_t code[256];            /* byte → code point */
  int16_t byte[GW_ALPHABET_END]; /* code point → byte, -1 where it is none's */
} GwByteAlphabet;

void gw_byte_alphabet_init(GwByteAlphabet *alphabet);

/* Writes bytes in the alphabet, with a 0 at the end: needs 2 * size + 1 bytes. */
void gw_byte_spell(const GwByteAlphabet *alphabet, const uint8_t *bytes, size_t size, char *out);

/* The bytes that `text` (valid UTF-8) spells: false for a character outside the alphabet. Writes
 * at most strlen(text) bytes. */
bool gw_byte_unspell(const GwByteAlphabet *alphabet, const char *text, uint8_t *bytes,
                     size_t *size);

#endif
