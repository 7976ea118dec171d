/* What the tasks of the LM evaluation harness do to text, which is what Python's str does. */
#ifndef GW_TASK_TEXT_H
#define GW_TASK_TEXT_H

#include "base/arena.h"

/* All take and give UTF-8 that ends in a 0. */

/* The bytes of `text` up to its last character that is not white space (str.rstrip), and how many
 * at its head are white space (str.lstrip). White space is what str.isspace says. */
size_t gw_task_trimmed(const char *text);
size_t gw_task_indent(const char *text);

/* str.strip; NULL on exhaustion. */
char *gw_task_strip(GwArena *arena, const char *text);

/* str.capitalize: the first character in upper case, the others in lower case, one character for
 * one. GW_MEMORY or GW_UNSUPPORTED. */
GwStatus gw_task_capitalize(GwArena *arena, const char *text, char **out);

/* Replaces `from` by `to`, which is no longer, from left to right (str.replace). */
void gw_task_replace(char *text, const char *from, const char *to);

/* Removes everything from a [ to the next ] of the same line: re.sub(r"\[.*?\]", "", text). */
void gw_task_remove_brackets(char *text);

/* len(text), text.endswith(ending) */
int64_t gw_task_characters(const char *text);
bool gw_task_ends_with(const char *text, const char *ending);

#endif
