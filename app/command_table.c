/* commands.def, once as declarations and once as rows. */
#include "command_table.h"

#define X(name, summary) int gw_command_##name(int argc, char **argv);
#include "commands.def"
#undef X

const GwCommandRow gw_command_rows[] = {
#define X(name, summary) {#name, summary, gw_command_##name},
#include "commands.def"
#undef X
};
const int gw_command_count = sizeof gw_command_rows / sizeof gw_command_rows[0];

void gw_command_table_help(FILE *out) {
  fprintf(out, "godwit pre-trains GPT language models.\n\n"
               "usage: godwit <command> [options] [key=value ...]\n\ncommands:\n");
  for (int i = 0; i < gw_command_count; i++)
    if (gw_command_rows[i].summary[0])
      fprintf(out, "  %-10s %s\n", gw_command_rows[i].name, gw_command_rows[i].summary);
  fprintf(out, "\n`godwit <command> --help` explains a command; `godwit --version` prints the "
               "version.\nexit status: 0 done, 1 failed, 2 misuse\n\nexample:\n"
               "  godwit doctor\n");
}
