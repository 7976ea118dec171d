/* Shapes fall from 1 to 0 while `done` goes from 0 to 1. */
#include "train/schedule.h"

#include "base/base.h"
#include "base/mathd.h"

static const double pi = 3.14159265358979323846;

/* How much of the way from step `first` to step `last` is done at `step`, in [0, 1]. */
static double way_done(double first, double last, double step) {
  if (step >= last) return 1;
  return step <= first ? 0 : (step - first) / (last - first);
}

static double remaining(const GwTrainRecipe *train, int64_t step) {
  const GwScheduleRecipe *schedule = &train->schedule;
  double first = (double)schedule->warmup_steps, last = (double)(train->steps - 1);
  double now = (double)step;
  switch (schedule->kind) {
  case GW_SCHEDULE_COSINE: {
    double done = way_done(first, last, now);
    return done < 1 ? 0.5 * (1 + gw_cos_f64(pi * done)) : 0;
  }
  case GW_SCHEDULE_LINEAR: return 1 - way_done(first, last, now);
  case GW_SCHEDULE_WSD: {
    double decay_start = last - schedule->decay_fraction * last;
    return 1 - way_done(decay_start > first ? decay_start : first, last, now);
  }
  case GW_SCHEDULE_CONSTANT: break;
  }
  return 1;
}

double gw_schedule_lr(const GwTrainRecipe *train, int64_t step) {
  GW_ASSERT(step >= 0);
  double peak = train->optimizer.lr, last = train->schedule.final_fraction;
  int64_t warmup = train->schedule.warmup_steps;
  if (step < warmup) return peak * ((double)(step + 1) / (double)warmup);
  return peak * (last + (1 - last) * remaining(train, step));
}
