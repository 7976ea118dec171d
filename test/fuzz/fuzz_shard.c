/* Fuzz target: any bytes as a token shard. What parses must read in full and hash. */
#include <stdint.h>

#include "data/shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwShard shard;
  if (gw_shard_parse("fuzz", data, size, &shard) != GW_OK) return 0;
  for (uint64_t at = 0; at < shard.tokens; at += 64) {
    int32_t tokens[64];
    uint64_t count = shard.tokens - at < 64 ? shard.tokens - at : 64;
    gw_shard_read(&shard, at, count, tokens);
    for (uint64_t i = 0; i < count; i++)
      GW_ASSERT(shard.token_bytes == 4 || (tokens[i] >= 0 && tokens[i] <= UINT16_MAX));
  }
  GW_ASSERT(gw_shard_hash(&shard) == gw_shard_hash(&shard));
  gw_shard_close(&shard);
  return 0;
}
