/* The alphabet by its rule: printable bytes are themselves, the others follow from U+0100 on. */
#include "tokenizer/byte_alphabet.h"

static bool is_printable(int byte) {
  return (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
}

void gw_byte_alphabet_init(GwByteAlphabet *alphabet) {
  for (int code = 0; code < GW_ALPHABET_END; code++) alphabet->byte[code] = -1;
  int next = 256;
  for (int byte = 0; byte < 256; byte++) {
    int code = is_printable(byte) ? byte : next++;
    alphabet->code[byte] = (uint16_t)code;
    alphabet->byte[code] = (int16_t)byte;
  }
}

void gw_byte_spell(const GwByteAlphabet *alphabet, const uint8_t *bytes, size_t size, char *out) {
  for (size_t i = 0; i < size; i++) {
    unsigned code = alphabet->code[bytes[i]];
    if (code >= 0x80) *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(code < 0x80 ? code : 0x80 | (code & 0x3f));
  }
  *out = 0;
}

bool gw_byte_unspell(const GwByteAlphabet *alphabet, const char *text, uint8_t *bytes,
                     size_t *size) {
  size_t count = 0;
  for (const uint8_t *p = (const uint8_t *)text; *p; p++) {
    unsigned code = *p;
    if (code >= 0x80) {
      if (code >= 0xe0) return false;
      code = (code & 0x1f) << 6 | (*++p & 0x3f);
    }
    if (code >= GW_ALPHABET_END || alphabet->byte[code] < 0) return false;
    bytes[count++] = (uint8_t)alphabet->byte[code];
  }
  *size = count;
  return true;
}
