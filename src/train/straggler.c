/* All is kept as a ring of the last steps; what it says is counted anew with each step. */
#include "train/straggler.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS = GW_STRAGGLER_STEPS };

typedef struct {
  float percent[STEPS]; /* busy time, of the median rank's; 0 before the first steps */
  uint8_t worst[STEPS]; /* the GwTimeClass with the largest excess */
  bool slow;            /* reported, and not recovered since; then: */
  double most;          /* the largest median of its steps in percent */
  int64_t left, wait;   /* steps until it is tried again; how many there will be the next time */
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
  for (int32_t r = 0; r < ranks; r++) s->rank[r].wait = GW_STRAGGLER_TRIAL;
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

/* How many of the last steps were at `limit` percent or more. */
static int steps_at(const Rank *rank, double limit) {
  int count = 0;
  for (int i = 0; i < STEPS; i++) count += rank->percent[i] >= limit;
  return count;
}

/* Twice the percentages, as the middle is no whole number. */
static bool becomes_slow(const Rank *rank) {
  return steps_at(rank, GW_STRAGGLER_WELL_PERCENT) >= GW_STRAGGLER_NEEDED &&
         2 * median_of_steps(rank) >= GW_STRAGGLER_SLOW_PERCENT + GW_STRAGGLER_WELL_PERCENT;
}

static bool is_well(const Rank *rank) {
  double limit = rank->most * GW_STRAGGLER_FALLEN_PERCENT / 100;
  if (limit > GW_STRAGGLER_SEEMS_PERCENT) limit = GW_STRAGGLER_SEEMS_PERCENT;
  if (limit < GW_STRAGGLER_WELL_PERCENT) limit = GW_STRAGGLER_WELL_PERCENT;
  return STEPS - steps_at(rank, limit) >= GW_STRAGGLER_NEEDED;
}

/* Whether the last steps change what is said of the rank. */
static bool judge(Rank *rank, int32_t r, GwStragglerReport *report) {
  bool trial = false;
  if (rank->slow) {
    double median = median_of_steps(rank);
    if (median > rank->most) rank->most = median;
    bool well = is_well(rank);
    trial = --rank->left <= 0 && !well;
    if (!well && !trial) return false;
    if (well) rank->wait = GW_STRAGGLER_TRIAL;
  } else {
    if (!becomes_slow(rank)) return false;
    rank->most = 0;
    rank->left = rank->wait;
    rank->wait *= 2;
  }
  rank->slow = !rank->slow;
  *report =
      (GwStragglerReport){r, rank->slow, trial, worst_class(rank), median_of_steps(rank) / 100};
  if (!rank->slow) memset(rank->percent, 0, sizeof rank->percent); /* with other lanes */
  return true;
}

void gw_stragglers_step(GwStragglers *stragglers, const GwRankTimes *times,
                        GwStragglerReport *reports, int32_t *count) {
  *count = 0;
  find_medians(stragglers, times);
  for (int32_t r = 0; r < stragglers->ranks; r++) {
    Rank *rank = &stragglers->rank[r];
    note(stragglers, &times[r], rank);
    *count += judge(rank, r, &reports[*count]);
  }
  stragglers->next = (stragglers->next + 1) % STEPS;
}

double gw_stragglers_speed(const GwStragglers *stragglers, int32_t rank) {
  GW_ASSERT(rank >= 0 && rank < stragglers->ranks);
  if (!stragglers->rank[rank].slow) return 1;
  double percent = median_of_steps(&stragglers->rank[rank]);
  return percent > 100 ? 100 / percent : 1;
}
