/* godwit runs --compare A B: what differs in two recipes, and both losses side by side. */
#ifndef GW_RUNS_COMPARE_H
#define GW_RUNS_COMPARE_H

/* Prints it all; returns the exit code. */
int gw_runs_compare(const char *a, const char *b);

#endif
