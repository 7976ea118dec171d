/* Fuzz target: two bytes, the size of a .bin file, then any bytes as Megatron's index of it. What
 * parses must read in full, and its documents must lie inside, in order. */
#include <stdint.h>
#include <stdlib.h>

#include "data/token_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const GwShard *shard) {
  for (uint64_t at = 0; at < shard->tokens; at += 64) {
    int32_t tokens[64];
    gw_shard_read(shard, at, shard->tokens - at < 64 ? shard->tokens - at : 64, tokens);
  }
  uint64_t before = 0;
  for (uint64_t i = 0; i <= shard->index.documents; i++) {
    uint64_t first = gw_shard_document(shard, i);
    GW_ASSERT(first >= before && first <= shard->tokens);
    before = first;
  }
  GW_ASSERT(before == shard->tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwShard shard;
  if (size < 2) return 0;
  size_t token_bytes = (size_t)(data[0] | data[1] << 8);
  uint8_t *tokens = calloc(1, token_bytes + 1);
  GW_ASSERT(tokens);
  if (gw_token_file_parse_megatron("fuzz", "index", data + 2, size - 2, tokens, token_bytes,
                                   &shard) == GW_OK) {
    read_all(&shard);
    GW_ASSERT(gw_shard_hash(&shard) == gw_shard_hash(&shard));
  }
  free(tokens);
  return 0;
}
