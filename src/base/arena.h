/* Arena: memory for setup, given back all at once. Blocks are zeroed and 64-byte aligned when
 * large. Allocation failure is a status at creation of the object that needed it, so gw_arena_alloc
 * returns NULL on exhaustion and callers turn that into GW_MEMORY through GW_ARENA_NEW. */
#ifndef GW_ARENA_H
#define GW_ARENA_H

#include "base/base.h"

typedef struct GwArenaBlock GwArenaBlock;
typedef struct {
  GwArenaBlock *head;
  size_t used_bytes; /* handed out so far */
} GwArena;

void gw_arena_init(GwArena *arena);
void gw_arena_deinit(GwArena *arena);

/* `size` zeroed bytes aligned to 16, or NULL. */
void *gw_arena_alloc(GwArena *arena, size_t size);
/* A copy of `text` (or of its first `length` bytes) in the arena, or NULL. */
char *gw_arena_string(GwArena *arena, const char *text);
char *gw_arena_format(GwArena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define GW_ARENA_NEW(arena, type) ((type *)gw_arena_alloc((arena), sizeof(type)))
#define GW_ARENA_ARRAY(arena, type, count)                                                         \
  ((type *)gw_arena_alloc((arena), sizeof(type) * (size_t)(count)))

/* Heap memory with alignment GW_ALIGN, zeroed, huge pages advised when large; NULL on exhaustion.
 */
void *gw_buffer_create(size_t size);
void gw_buffer_destroy(void *buffer);

#endif
