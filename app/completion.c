/* Shell completion: names of commands, their options, the words that a choice takes, and folders or
 * files where an option takes a path, which its argument's name tells. */
#include <string.h>

#include "command_table.h"
#include "manual.h"

/* "FILE", or what else the argument may be before it: "bpe|FILE" */
static bool takes(const GwOption *option, const char *kind) {
  size_t length = option->argument ? strlen(option->argument) : 0, size = strlen(kind);
  return length >= size && strcmp(option->argument + length - size, kind) == 0;
}

static bool takes_file(const GwOption *option) {
  return takes(option, "FILE") || takes(option, "PATH");
}

/* "a|b" as "a b" */
static void print_words(FILE *out, const char *choice) {
  for (; *choice; choice++) fputc(*choice == '|' ? ' ' : *choice, out);
}

/* ---- bash ---- */

static void bash_begin(FILE *out) {
  fputs("# bash completion for godwit\n"
        "_godwit() {\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
        "  local kind='' words=''\n"
        "  COMPREPLY=()\n"
        "  if [ \"$word\" = = ]; then word=''; fi\n"
        "  if [ \"$before\" = = ]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
        "  case $COMP_CWORD:${COMP_WORDS[1]} in\n"
        "  1:*) kind=words words='",
        out);
  for (int i = 0; i < gw_command_count; i++)
    if (gw_command_rows[i].summary[0]) fprintf(out, "%s ", gw_command_rows[i].name);
  fputs("--help --version' ;;\n", out);
}

static void bash_value(FILE *out, const GwOption *option) {
  if (option->type == GW_OPTION_FLAG) return;
  fprintf(out, "    --%s) ", option->name);
  if (option->type == GW_OPTION_CHOICE) {
    fputs("kind=words words='", out);
    print_words(out, option->argument);
    fputs("' ;;\n", out);
  } else if (takes(option, "DIR")) {
    fputs("kind=directory ;;\n", out);
  } else {
    fprintf(out, "%s ;;\n", takes_file(option) ? "kind=file" : "return");
  }
}

static void bash_command(FILE *out, const GwCommand *command) {
  fprintf(out, "  *:%s)\n    words='", command->name);
  for (int i = 0; i < command->option_count; i++) fprintf(out, "--%s ", command->options[i].name);
  fprintf(out, "--help'\n    case $word in -*) kind=words ;; *) kind=%s ;; esac\n",
          command->positional_max == 0 ? "words" : "file");
  fputs("    case $before in\n", out);
  for (int i = 0; i < command->option_count; i++) bash_value(out, &command->options[i]);
  fputs("    esac ;;\n", out);
}

static void bash_end(FILE *out) {
  fputs("  esac\n"
        "  case $kind in\n"
        "  words) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\") ;;\n"
        "  file | directory)\n"
        "    compopt -o filenames 2>/dev/null\n"
        "    mapfile -t COMPREPLY < <(compgen -A \"$kind\" -- \"$word\") ;;\n"
        "  esac\n"
        "}\n"
        "complete -F _godwit godwit\n",
        out);
}

const GwShell gw_shell_bash = {bash_begin, bash_command, bash_end};

/* ---- zsh ---- */

/* Inside '...' and [...]. */
static void print_zsh(FILE *out, const char *text) {
  for (; *text; text++) {
    if (*text == '\'')
      fputs("'\\''", out);
    else if (strchr("[]:\\", *text))
      fprintf(out, "\\%c", *text);
    else
      fputc(*text, out);
  }
}

static void zsh_begin(FILE *out) {
  fputs("#compdef godwit\n"
        "_godwit() {\n"
        "  local -a commands=(\n",
        out);
  for (int i = 0; i < gw_command_count; i++) {
    const GwCommandRow *row = &gw_command_rows[i];
    if (!row->summary[0]) continue;
    fprintf(out, "    '%s:", row->name);
    print_zsh(out, row->summary);
    fputs("'\n", out);
  }
  fputs("  )\n"
        "  if ((CURRENT == 2)); then\n"
        "    _describe command commands\n"
        "    return\n"
        "  fi\n"
        "  shift words\n"
        "  ((CURRENT--))\n"
        "  case $words[1] in\n",
        out);
}

static void zsh_option(FILE *out, const GwOption *option) {
  bool flag = option->type == GW_OPTION_FLAG, many = option->type == GW_OPTION_LIST;
  fprintf(out, "      '%s--%s%s[", many ? "*" : "", option->name, flag ? "" : "=");
  print_zsh(out, option->help);
  fputc(']', out);
  if (!flag) {
    fputc(':', out);
    print_zsh(out, option->argument);
    fputc(':', out);
  }
  if (option->type == GW_OPTION_CHOICE) {
    fputc('(', out);
    print_words(out, option->argument);
    fputc(')', out);
  } else if (takes(option, "DIR") || takes_file(option)) {
    fputs(takes(option, "DIR") ? "_files -/" : "_files", out);
  }
  fputs("' \\\n", out);
}

static void zsh_command(FILE *out, const GwCommand *command) {
  fprintf(out, "  %s)\n    _arguments \\\n", command->name);
  for (int i = 0; i < command->option_count; i++) zsh_option(out, &command->options[i]);
  if (command->positional_max != 0) fputs("      '*:file:_files' \\\n", out);
  fputs("      '--help[print a help text]' ;;\n", out);
}

static void zsh_end(FILE *out) { fputs("  esac\n}\n_godwit \"$@\"\n", out); }

const GwShell gw_shell_zsh = {zsh_begin, zsh_command, zsh_end};
