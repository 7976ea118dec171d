/* Fuzz target: any bytes as a tokenizer file. What parses must encode losslessly (the normalised
 * text), the input itself included, without ever giving a special token. */
#include <stdint.h>
#include <string.h>

#include "tokenizer/nfc.h"
#include "tokenizer/tokenizer_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lossless(const GwTokenizer *tokenizer, const uint8_t *text, size_t size) {
  GwTokenIds ids = {0};
  GwNfc nfc = {0};
  GW_ASSERT(gw_tokenizer_encode(tokenizer, text, size, &ids) == GW_OK);
  if (tokenizer->nfc) GW_ASSERT(gw_nfc_normalize(&nfc, text, size, &text, &size) == GW_OK);
  size_t at = 0;
  for (size_t i = 0; i < ids.count; i++) {
    GW_ASSERT(ids.ids[i] >= 0 && ids.ids[i] < gw_tokenizer_vocab_size(tokenizer));
    size_t length = 0;
    const uint8_t *bytes = gw_tokenizer_bytes(tokenizer, ids.ids[i], &length);
    GW_ASSERT(length > 0 && length <= size - at && memcmp(bytes, text + at, length) == 0);
    at += length;
  }
  GW_ASSERT(at == size);
  gw_token_ids_deinit(&ids);
  gw_nfc_deinit(&nfc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwTokenizer *tokenizer = NULL;
  if (gw_tokenizer_parse("fuzz", (const char *)data, size, &tokenizer) != GW_OK) return 0;
  check_lossless(tokenizer, data, size);
  static const uint8_t text[] = "the cat's 12 mats,  \n\xc3\xa9\xff\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                "e\xcc\x81\xe1\x84\x80\xe1\x85\xa1";
  check_lossless(tokenizer, text, sizeof text - 1);
  gw_tokenizer_destroy(tokenizer);
  return 0;
}
