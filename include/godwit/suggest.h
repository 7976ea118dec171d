/* "Did you mean": the candidate nearest to a word that nobody knows. */
#ifndef GODWIT_SUGGEST_H
#define GODWIT_SUGGEST_H

/* The least number of insertions, deletions, replacements and swaps of neighbours that turn `a`
 * into `b`; strings longer than 96 bytes count as very far from everything. */
int gw_edit_distance(const char *a, const char *b);

/* The candidate nearest to `word` (the earliest of equals), or NULL when even that one is too far
 * to be what was meant: more than a third of the longer word, rounded up. */
const char *gw_nearest(const char *word, const char *const *candidates, int count);

#endif
