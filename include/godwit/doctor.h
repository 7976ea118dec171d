/* What `godwit doctor` says: the processor, the memory, the build, the libraries, and the optional
 * parts with the way to get the missing ones. */
#ifndef GODWIT_DOCTOR_H
#define GODWIT_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

enum { GW_DOCTOR_PARTS_MAX = 24 };

typedef enum {
  GW_PART_LIBRARY, /* linked: version and properties */
  GW_PART_OPTIONAL /* looked for on PATH and in the usual folders, now */
} GwPartKind;

typedef struct {
  GwPartKind kind;
  const char *name;
  const char *purpose; /* what it is for */
  bool found;
  char detail[160];    /* version or place; empty when not found */
  const char *package; /* the Debian package that brings it */
} GwPart;

typedef struct {
  char processor[96];
  char features[96];    /* those that godwit uses */
  const char *best_isa; /* the name of the best instruction set that kernels run on */
  int threads;          /* processors this process may use */
  uint64_t memory_total_bytes, memory_available_bytes;
  char compiler[64]; /* the one that built this program */
  GwPart parts[GW_DOCTOR_PARTS_MAX];
  int part_count;
} GwDoctorReport;

/* Reads files and directories only; starts no program. */
void gw_doctor_examine(GwDoctorReport *out);

#endif
