/* The commands of commands.def as a table, for whoever looks one up or goes through them all. */
#ifndef GW_COMMAND_TABLE_H
#define GW_COMMAND_TABLE_H

#include <stdio.h>

typedef struct {
  const char *name;
  const char *summary; /* empty: started by godwit itself; no help lists it */
  int (*run)(int argc, char **argv);
} GwCommandRow;

extern const GwCommandRow gw_command_rows[];
extern const int gw_command_count;

/* What `godwit --help` prints. */
void gw_command_table_help(FILE *out);

#endif
