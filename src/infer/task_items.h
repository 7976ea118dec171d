/* Items of evaluation tasks, read from the files in which the tasks are published.
 *
 * An item has choices: each a context and what may follow it. What a task makes of a line (its
 * prompt, its choices) is what the LM evaluation harness makes of it, without examples before it
 * ("0-shot"): task_layouts.c. How they are scored stands in task_eval.c. */
#ifndef GW_TASK_ITEMS_H
#define GW_TASK_ITEMS_H

#include <jansson.h>

#include "base/arena.h"
#include "os/fs.h"

typedef struct {
  const char *context;      /* UTF-8, may be empty */
  const char *continuation; /* scored; not empty */
  int64_t characters;       /* of the choice's text, for acc_norm */
} GwTaskChoice;

typedef struct {
  GwTaskChoice *choices;
  int32_t choice_count; /* >= 1 */
  int32_t answer;       /* the right one; -1 while it is not known */
  const char *file;
  uint64_t line;
} GwTaskItem;

typedef struct {
  GwArena arena; /* of all texts */
  GwTaskItem *items;
  size_t count, capacity;
} GwTaskItems;

/* A line while it becomes an item; `place` is "FILE:LINE", for messages. */
typedef struct {
  const json_t *object;
  const char *place;
  GwArena *arena;
} GwTaskLine;

typedef struct GwTask {
  const char *name;
  const char *files;  /* of a folder's files, those that end so are the task's */
  const char *labels; /* in place of .jsonl in the name of the file with the answers, or NULL */
  bool greedy;        /* one choice: is it what greedy decoding gives, and its perplexity */
  bool normalised;    /* acc_norm, too */
  GwStatus (*layout)(const GwTaskLine *line, GwTaskItem *out);
} GwTask;

/* The tasks in order, or by name; NULL behind the last one, or when there is none of that name. */
const GwTask *gw_task_at(size_t number);
const GwTask *gw_task_find(const char *name);
/* The layout of one's own files; see docs/formats.md. */
const GwTask *gw_task_own(void);

/* Reads the items of a file, or of a folder's files in the order of their names; at most `limit` of
 * them (0: all). Errors name file, line and key; a path without an item is one. */
GwStatus gw_task_items_read(GwFs *fs, const GwTask *task, const char *path, int64_t limit,
                            GwTaskItems *out);
/* Appends the item of one line (blank: nothing) of `file`, which must live as long as the items.
 * This is what the fuzz target calls, with zeroed items. */
GwStatus gw_task_items_add(const GwTask *task, const char *file, uint64_t number, const char *line,
                           size_t size, GwTaskItems *items);
void gw_task_items_deinit(GwTaskItems *items);

#endif
