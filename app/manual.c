/* Manual pages: text in, man(7) source out. */
#include "manual.h"

#include <ctype.h>
#include <stdlib.h>

#include "command_table.h"

/* Text that stays as it is: a hyphen that can be copied, no quotes that turn, no line that looks
 * like a macro. */
static void print_text(FILE *out, const char *text, bool line_begins) {
  for (; *text; text++) {
    if (line_begins && (*text == '.' || *text == '\'')) fputs("\\&", out);
    line_begins = *text == '\n';
    switch (*text) {
    case '\\': fputs("\\e", out); break;
    case '-': fputs("\\-", out); break;
    case '`': fputs("\\(ga", out); break;
    case '\'': fputs("\\(aq", out); break;
    case '~': fputs("\\(ti", out); break;
    default: fputc(*text, out);
    }
  }
}

static void print_lines(FILE *out, const char *text) {
  print_text(out, text, true);
  fputc('\n', out);
}

static void print_title(FILE *out, const char *name) {
  fputs(".TH GODWIT", out);
  if (name) fputs("\\-", out);
  for (; name && *name; name++) fputc(toupper((unsigned char)*name), out);
  fputs(" 1 " GODWIT_DATE " \"godwit " GODWIT_VERSION "\" \"godwit manual\"\n.SH NAME\n", out);
}

static void print_option(FILE *out, const GwOption *option) {
  fputs(".TP\n\\fB\\-\\-", out);
  print_text(out, option->name, false);
  fputs("\\fR", out);
  if (option->argument) {
    fputs(" \\fI", out);
    print_text(out, option->argument, false);
    fputs("\\fR", out);
  }
  char *help = NULL;
  size_t size = 0;
  FILE *memory = open_memstream(&help, &size);
  if (memory) gw_cli_print_option_help(memory, option);
  fputc('\n', out);
  if (memory && fclose(memory) == 0) print_lines(out, help);
  free(help);
}

static void print_closing(FILE *out, const char *also) {
  fputs(".SH \"EXIT STATUS\"\n.TP\n0\ndone\n.TP\n1\nfailed, with one line on standard error that "
        "says why\n.TP\n2\nmisuse\n.SH \"SEE ALSO\"\n",
        out);
  fprintf(out, "%s\n", also);
}

void gw_manual_page(FILE *out, const GwCommand *command, const char *what) {
  print_title(out, command->name);
  fprintf(out, "godwit\\-%s \\- ", command->name);
  print_text(out, what, false);
  fprintf(out, "\n.SH SYNOPSIS\n.B godwit %s\n", command->name);
  print_lines(out, command->usage);
  fputs(".SH DESCRIPTION\n", out);
  print_lines(out, command->summary);
  fputs(".SH OPTIONS\n", out);
  for (int i = 0; i < command->option_count; i++) print_option(out, &command->options[i]);
  fputs(".TP\n\\fB\\-\\-help\\fR\nprint a short form of this page\n.SH EXAMPLES\n.nf\n", out);
  print_lines(out, command->example);
  fputs(".fi\n", out);
  print_closing(out, ".BR godwit (1)");
}

void gw_manual_overview(FILE *out) {
  print_title(out, NULL);
  fputs("godwit \\- pre\\-train GPT language models\n"
        ".SH SYNOPSIS\n.B godwit\n\\fIcommand\\fR [options] [key=value ...]\n"
        ".SH DESCRIPTION\n"
        "Text goes in, a trained model comes out, and a recipe and a text give one result, bit for "
        "bit.\nA page of its own, godwit\\-\\fIcommand\\fR(1), explains each command:\n",
        out);
  for (int i = 0; i < gw_command_count; i++) {
    const GwCommandRow *row = &gw_command_rows[i];
    if (!row->summary[0]) continue;
    fprintf(out, ".TP\n.B %s\n", row->name);
    print_lines(out, row->summary);
  }
  fputs(".SH OPTIONS\n.TP\n\\fB\\-\\-help\\fR\nlist the commands\n"
        ".TP\n\\fB\\-\\-version\\fR\nprint the version\n",
        out);
  print_closing(out, ".BR godwit\\-train (1),\n.BR godwit\\-prepare (1)");
}
