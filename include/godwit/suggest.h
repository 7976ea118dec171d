/* "Did you mean": the candidate nearest to a word that nobody knows. */
#ifndef GODWIT_SUGGEST_H
#define GODWIT_SUGGEST_H

/* The least number of insertions, deletions, replacements and swaps of neighbours that turn `a`
 * into `b` (each place edited once); only the first 96 bytes of each are compared. */
int gw_edit_distance(const char *a, const char *b);

/* The candidate nearest to `word`, the earliest of equals; NULL when there are none. */
const char *gw_nearest(const char *word, const char *const *candidates, int count);

/* The same, or NULL when even the nearest is too far to be what was meant: more edits than a third
 * of the longer word, rounded up. */
const char *gw_similar(const char *word, const char *const *candidates, int count);

#endif
