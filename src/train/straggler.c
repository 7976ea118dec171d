/* All is kept as a ring of the last steps; what it says is counted anew with each step. */
#include "train/straggler.h"

#include <stdlib.h>

enum { STEPS = GW_STRAGGLER_STEPS };

typedef struct {
  float percent[STEPS]; /* busy time, of the median rank's; 0 before the first steps */
  uint8_t worst[STEPS]; /* the GwTimeClass with the largest excess */
  bool slow;            /* reported, and not recovered since */
} Rank;

struct GwStragglers {
  int32_t ranks;
  int32_t next;    /* place of the next step in the rings */
  Rank *rank;      /* [ranks] */
  double *scratch; /* [ranks] */
  double lanes;    /* an equal share */
  double busy;     /* the median of this step, and of each class: */
  double of[GW_TIME_COUNT];
};

/* The lower median; reorders `values` (Hoare, "Algorithm 65: find", CACM 1961). */
static double lower_median(double *values, int32_t count) {
  int32_t low = 0, high = count - 1, middle = (count - 1) / 2;
  while (low < high) {
    double pivot = values[middle];
    int32_t i = low, j = high;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i > j) break;
      double value = values[i];
      values[i++] = values[j];
      values[j--] = value;
    }
    if (j < middle) low = i;
    if (i > middle) high = j;
  }
  return values[middle];
}

GwStatus gw_stragglers_create(int32_t ranks, GwStragglers **out) {
  GW_ASSERT(ranks > 0);
  GwStragglers *s = calloc(1, sizeof *s);
  if (!s) goto failed;
  s->ranks = ranks;
  s->rank = calloc((size_t)ranks, sizeof *s->rank);
  s->scratch = calloc((size_t)ranks, sizeof *s->scratch);
  if (!s->rank || !s->scratch) goto failed;
  *out = s;
  return GW_OK;
failed:
  gw_stragglers_destroy(s);
  return gw_fail(GW_MEMORY, "no memory to watch the times of %d ranks", (int)ranks);
}

void gw_stragglers_destroy(GwStragglers *stragglers) {
  if (!stragglers) return;
  free(stragglers->scratch);
  free(stragglers->rank);
  free(stragglers);
}

/* Time in one class, compute as for an equal share of the lanes. */
static double spent(const GwStragglers *s, const GwRankTimes *times, int class) {
  double ns = (double)times->ns[class];
  return class == GW_TIME_COMPUTE ? ns * s->lanes / times->lanes : ns;
}

static double busy(const GwStragglers *s, const GwRankTimes *times) {
  double sum = 0;
  for (int class = 0; class < GW_TIME_COUNT; class ++) sum += spent(s, times, class);
  return sum;
}

static void find_medians(GwStragglers *s, const GwRankTimes *times) {
  int64_t lanes = 0;
  for (int32_t r = 0; r < s->ranks; r++) {
    GW_ASSERT(times[r].lanes > 0);
    lanes += times[r].lanes;
  }
  s->lanes = (double)lanes / s->ranks;
  for (int32_t r = 0; r < s->ranks; r++) s->scratch[r] = busy(s, &times[r]);
  s->busy = lower_median(s->scratch, s->ranks);
  for (int class = 0; class < GW_TIME_COUNT; class ++) {
    for (int32_t r = 0; r < s->ranks; r++) s->scratch[r] = spent(s, &times[r], class);
    s->of[class] = lower_median(s->scratch, s->ranks);
  }
}

/* Puts one rank's step into its rings. Where the median rank did nothing there is no ratio. */
static void note(const GwStragglers *s, const GwRankTimes *times, Rank *rank) {
  int worst = 0;
  double most = 0;
  for (int class = 0; class < GW_TIME_COUNT; class ++) {
    double excess = spent(s, times, class) - s->of[class];
    if (excess <= most) continue;
    most = excess;
    worst = class;
  }
  rank->worst[s->next] = (uint8_t)worst;
  rank->percent[s->next] = s->busy > 0 ? (float)(100 * busy(s, times) / s->busy) : 100;
}

/* In percent. */
static double median_of_steps(const Rank *rank) {
  double values[STEPS];
  for (int i = 0; i < STEPS; i++) values[i] = rank->percent[i];
  return lower_median(values, STEPS);
}

/* The class that was the worst in most of the steps that were not well. */
static GwTimeClass worst_class(const Rank *rank) {
  int votes[GW_TIME_COUNT] = {0}, worst = 0;
  for (int i = 0; i < STEPS; i++)
    votes[rank->worst[i]] += rank->percent[i] >= GW_STRAGGLER_WELL_PERCENT;
  for (int class = 1; class < GW_TIME_COUNT; class ++)
    if (votes[class] > votes[worst]) worst = class;
  return (GwTimeClass)worst;
}

/* Whether the last steps make the rank slow, or well again. */
static bool judge(const Rank *rank) {
  int off = 0;
  for (int i = 0; i < STEPS; i++) off += rank->percent[i] >= GW_STRAGGLER_WELL_PERCENT;
  if (rank->slow) return STEPS - off < GW_STRAGGLER_NEEDED;
  /* Twice the percentages, as the middle is no whole number. */
  return off >= GW_STRAGGLER_NEEDED &&
         2 * median_of_steps(rank) >= GW_STRAGGLER_SLOW_PERCENT + GW_STRAGGLER_WELL_PERCENT;
}

void gw_stragglers_step(GwStragglers *stragglers, const GwRankTimes *times,
                        GwStragglerReport *reports, int32_t *count) {
  int32_t reported = 0;
  find_medians(stragglers, times);
  for (int32_t r = 0; r < stragglers->ranks; r++) {
    Rank *rank = &stragglers->rank[r];
    note(stragglers, &times[r], rank);
    bool slow = judge(rank);
    if (slow == rank->slow) continue;
    rank->slow = slow;
    reports[reported++] =
        (GwStragglerReport){r, slow, worst_class(rank), median_of_steps(rank) / 100};
  }
  stragglers->next = (stragglers->next + 1) % STEPS;
  *count = reported;
}

double gw_stragglers_speed(const GwStragglers *stragglers, int32_t rank) {
  GW_ASSERT(rank >= 0 && rank < stragglers->ranks);
  if (!stragglers->rank[rank].slow) return 1;
  double percent = median_of_steps(&stragglers->rank[rank]);
  return percent > 100 ? 100 / percent : 1;
}
