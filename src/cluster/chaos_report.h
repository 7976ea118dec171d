/* What a disturbed run's own records say of the faults that were put into it. */
#ifndef GW_CHAOS_REPORT_H
#define GW_CHAOS_REPORT_H

#include "godwit/chaos.h"

/* From injected.jsonl, journal.jsonl and metrics.jsonl of out->run_dir. out->seconds and out->steps
 * are known; classes, all, unexplained and useful_time are filled in. */
GwStatus gw__chaos_report(GwChaosReport *out);

#endif
