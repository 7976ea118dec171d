/* Memory plan: gives every activation an offset in one buffer so that values alive at the same time
 * do not overlap, and finds the scratch that the largest op needs. */
#ifndef GW_MEMORY_PLAN_H
#define GW_MEMORY_PLAN_H

#include "program/op.h"

GwStatus gw_plan_memory(GwProgram *program);

#endif
