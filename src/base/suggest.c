/* Optimal string alignment distance over three rows of the table, and the search for its minimum.
 */
#include "godwit/suggest.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum { COMPARED_MAX = 96 };

static int least(int a, int b, int c) {
  int smaller = a < b ? a : b;
  return smaller < c ? smaller : c;
}

int gw_edit_distance(const char *a, const char *b) {
  int rows = (int)strnlen(a, COMPARED_MAX), columns = (int)strnlen(b, COMPARED_MAX);
  int table[3][COMPARED_MAX + 1];
  for (int j = 0; j <= columns; j++) table[0][j] = j;
  for (int i = 1; i <= rows; i++) {
    int *row = table[i % 3];
    const int *above = table[(i + 2) % 3], *second_above = table[(i + 1) % 3];
    row[0] = i;
    for (int j = 1; j <= columns; j++) {
      int replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = least(above[j] + 1, row[j - 1] + 1, replaced);
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && second_above[j - 2] + 1 < row[j]) row[j] = second_above[j - 2] + 1;
    }
  }
  return table[rows % 3][columns];
}

const char *gw_nearest(const char *word, const char *const *candidates, int count) {
  const char *nearest = NULL;
  int best = INT_MAX;
  for (int i = 0; i < count; i++) {
    int distance = gw_edit_distance(word, candidates[i]);
    if (distance >= best) continue;
    best = distance;
    nearest = candidates[i];
  }
  return nearest;
}

const char *gw_similar(const char *word, const char *const *candidates, int count) {
  const char *nearest = gw_nearest(word, candidates, count);
  if (!nearest) return NULL;
  size_t a = strlen(word), b = strlen(nearest);
  size_t longer = a > b ? a : b;
  return (size_t)gw_edit_distance(word, nearest) <= (longer + 2) / 3 ? nearest : NULL;
}
