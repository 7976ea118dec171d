/* Manual pages and shell completion, from the tables that commands declare for their parsing. */
#ifndef GW_MANUAL_H
#define GW_MANUAL_H

#include "cli.h"

/* godwit.1, and godwit-NAME.1 for a command; `what` is its line in commands.def. man(7) source, of
 * macros that groff and mandoc both know. */
void gw_manual_overview(FILE *out);
void gw_manual_page(FILE *out, const GwCommand *command, const char *what);

/* A shell's script is its begin, a part for each command, its end. */
typedef struct {
  void (*begin)(FILE *out);
  void (*command)(FILE *out, const GwCommand *command);
  void (*end)(FILE *out);
} GwShell;
extern const GwShell gw_shell_bash, gw_shell_zsh;

#endif
