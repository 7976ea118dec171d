/* Arena blocks double in size up to 1 MiB; a request larger than that gets a block of its own. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20, HUGE_PAGE = 2 << 20 };

struct GwArenaBlock {
  GwArenaBlock *next;
  size_t capacity;
  size_t used;
  max_align_t data[];
};

void gw_arena_init(GwArena *arena) { *arena = (GwArena){0}; }

void gw_arena_deinit(GwArena *arena) {
  GwArenaBlock *block = arena->head;
  while (block) {
    GwArenaBlock *next = block->next;
    free(block);
    block = next;
  }
  *arena = (GwArena){0};
}

void *gw_arena_alloc(GwArena *arena, size_t size) {
  size = gw_align_up(size ? size : 1, sizeof(max_align_t));
  GwArenaBlock *block = arena->head;
  if (!block || block->capacity - block->used < size) {
    size_t capacity = block ? block->capacity * 2 : FIRST_BLOCK;
    if (capacity > LARGEST_BLOCK) capacity = LARGEST_BLOCK;
    if (capacity < size) capacity = size;
    block = calloc(1, sizeof *block + capacity);
    if (!block) return NULL;
    block->capacity = capacity;
    block->next = arena->head;
    arena->head = block;
  }
  void *memory = (char *)block->data + block->used;
  block->used += size;
  arena->used_bytes += size;
  return memory;
}

char *gw_arena_string(GwArena *arena, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = gw_arena_alloc(arena, size);
  if (copy) memcpy(copy, text, size);
  return copy;
}

char *gw_arena_format(GwArena *arena, const char *format, ...) {
  va_list list, again;
  va_start(list, format);
  va_copy(again, list);
  int length = vsnprintf(NULL, 0, format, list);
  va_end(list);
  GW_ASSERT(length >= 0);
  char *text = gw_arena_alloc(arena, (size_t)length + 1);
  if (text) vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}

void *gw_buffer_create(size_t size) {
  size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : GW_ALIGN;
  size = gw_align_up(size ? size : 1, GW_ALIGN);
  void *memory = aligned_alloc(alignment, gw_align_up(size, alignment));
  if (!memory) return NULL;
  if (alignment == HUGE_PAGE) madvise(memory, size, MADV_HUGEPAGE);
  memset(memory, 0, size);
  return memory;
}

void gw_buffer_destroy(void *buffer) { free(buffer); }
