/* Files of tokens that other programs wrote, read where they lie, as shards (shard.h).
 *
 *   llm.c     NAME.bin with a header; uint16 or uint32
 *   nanoGPT   train.bin and val.bin: uint16 and nothing else
 *   Megatron  NAME.bin, tokens and nothing else, and NAME.idx:
 *               9 bytes  MMIDIDX and two zeros
 *               u64      version, 1
 *               u8       type of a token: 1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 8 u16; 6, 7 reals
 *               u64      sequences S
 *               u64      entries D of the list of documents
 *               i32 x S  tokens of each sequence
 *               i64 x S  where its bytes begin
 *               i64 x D  the first sequence of each document, then S */
#ifndef GW_TOKEN_FILE_H
#define GW_TOKEN_FILE_H

#include "data/shard.h"

typedef enum {
  GW_TOKENS_LLM_C_16,
  GW_TOKENS_LLM_C_32,
  GW_TOKENS_NANOGPT,
  GW_TOKENS_MEGATRON,
  GW_TOKENS_COUNT
} GwTokenLayout;

/* "llm.c's layout (uint16)" and the like, for messages. */
const char *gw_token_layout_name(GwTokenLayout layout);

/* The layout of DIR/NAME.bin, by what lies beside it, its name and its first bytes. */
GwStatus gw_token_file_layout(GwFs *fs, const char *path, GwTokenLayout *out);

/* Maps a .bin file (and its index) and checks all that its layout says; errors name file and field:
 * GW_CORRUPT, or GW_UNSUPPORTED for what is well-formed and not read. */
GwStatus gw_token_file_open(const char *path, GwTokenLayout layout, GwShard *out);

/* nanoGPT's and Megatron's from memory, which must outlive the shard. `name`: of the .bin file; the
 * index has its own. */
GwStatus gw_token_file_parse_raw(const char *name, const uint8_t *data, size_t size, GwShard *out);
GwStatus gw_token_file_parse_megatron(const char *name, const char *index_name,
                                      const uint8_t *index, size_t index_size, const uint8_t *data,
                                      size_t size, GwShard *out);

#endif
