/* The learning rate as a pure function of the step: nothing to save, nothing to resume. */
#ifndef GW_SCHEDULE_H
#define GW_SCHEDULE_H

#include "godwit/recipe.h"

/* The learning rate of step `step` (from 0). With W warm-up steps and N steps in all:
 *   warm-up   step < W: peak (step+1)/W, so that the first step already moves and step W-1 is at
 *             the peak
 *   then      from the peak at step W to peak * final_fraction at step N-1, along half a cosine
 *             (Loshchilov and Hutter, 2017), a line, or (wsd) flat and then a line over the last
 *             decay_fraction of the run; constant stays at the peak
 *   after     steps from N on keep the value of the end
 * A warm-up longer than the run is simply cut off by its end. The same bits on every machine. */
double gw_schedule_lr(const GwTrainRecipe *train, int64_t step);

#endif
