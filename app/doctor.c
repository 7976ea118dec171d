/* godwit doctor: prints what gw_doctor_examine found, and one command that brings what is missing.
 */
#include "godwit/doctor.h"

#include <stdio.h>

#include "cli.h"

static const double gib = 1024.0 * 1024.0 * 1024.0;

static void print_parts(const GwDoctorReport *report, GwPartKind kind, const char *title) {
  printf("\n%s\n", title);
  for (int i = 0; i < report->part_count; i++) {
    const GwPart *part = &report->parts[i];
    if (part->kind != kind) continue;
    if (part->found)
      printf("  %-14s %-30s %s\n", part->name, part->purpose, part->detail);
    else
      printf("  %-14s %-30s missing (Debian package %s)\n", part->name, part->purpose,
             part->package);
  }
}

static void print_remedy(const GwDoctorReport *report) {
  int missing = 0;
  for (int i = 0; i < report->part_count; i++) {
    if (report->parts[i].found) continue;
    if (missing++ == 0) printf("\nto get all that is missing:\n  sudo apt-get install");
    printf(" %s", report->parts[i].package);
  }
  printf(missing ? "\n" : "\nnothing is missing\n");
}

static void print_text(const GwDoctorReport *report) {
  printf("godwit %s, built by %s\n\nmachine\n", GODWIT_VERSION, report->compiler);
  printf("  %-14s %s\n", "processor", report->processor);
  printf("  %-14s %s\n", "features", report->features);
  printf("  %-14s %s\n", "best kernels", report->best_isa);
  printf("  %-14s %d\n", "threads", report->threads);
  printf("  %-14s %.1f GiB, %.1f GiB available\n", "memory",
         (double)report->memory_total_bytes / gib, (double)report->memory_available_bytes / gib);
  print_parts(report, GW_PART_LIBRARY, "libraries");
  print_parts(report, GW_PART_OPTIONAL, "optional");
  print_remedy(report);
}

static json_t *part_to_json(const GwPart *part) {
  if (part->kind == GW_PART_LIBRARY) return json_pack("{s:s}", "version", part->detail);
  if (part->found) return json_pack("{s:b, s:s}", "found", 1, "path", part->detail);
  return json_pack("{s:b, s:s}", "found", 0, "package", part->package);
}

static int print_json(const GwDoctorReport *report) {
  json_t *libraries = json_object(), *optional = json_object();
  for (int i = 0; i < report->part_count; i++) {
    const GwPart *part = &report->parts[i];
    json_t *group = part->kind == GW_PART_LIBRARY ? libraries : optional;
    json_object_set_new(group, part->name, part_to_json(part));
  }
  return gw_cli_print_json(json_pack(
      "{s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:o, s:o}", "version", GODWIT_VERSION, "compiler",
      report->compiler, "processor", report->processor, "features", report->features, "best_isa",
      report->best_isa, "threads", report->threads, "memory_total_bytes",
      (json_int_t)report->memory_total_bytes, "memory_available_bytes",
      (json_int_t)report->memory_available_bytes, "libraries", libraries, "optional", optional));
}

int gw_command_doctor(int argc, char **argv) {
  bool json = false;
  const GwOption options[] = {gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "doctor",
      .usage = "[--json]",
      .summary = "Says what this machine offers to godwit: processor, memory, libraries and "
                 "optional parts,\nand the Debian packages that bring what is missing.",
      .example = "godwit doctor\ngodwit doctor --json | jq .best_isa",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  GwDoctorReport report;
  gw_doctor_examine(&report);
  if (json) return print_json(&report);
  print_text(&report);
  return 0;
}
