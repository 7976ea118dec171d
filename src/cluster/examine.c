/* The facts behind `godwit doctor`: one row per optional part, versions asked of each library. */
#include "godwit/doctor.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <cyaml/cyaml.h>
#include <jansson.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "base/pool.h"
#include "comm/world.h"
#include "exec/cpu_features.h"
#include "os/clock.h"
#include "os/probe.h"

typedef enum { PROGRAM, LIBRARY } Place;

static const struct {
  const char *name, *purpose, *package;
  const char *wanted; /* the file's name */
  Place place;
} optional_parts[] = {
    {"CUDA driver", "running on NVIDIA GPUs", "nvidia-driver", "libcuda.so.1", LIBRARY},
    {"CUDA compiler", "building the GPU kernels", "nvidia-cuda-toolkit", "nvcc", PROGRAM},
    {"NCCL", "exchange between GPUs", "libnccl-dev", "libnccl.so.2", LIBRARY},
    {"MPI compiler", "building for several machines", "libopenmpi-dev", "mpicc", PROGRAM},
    {"MPI launcher", "running on several machines", "openmpi-bin", "mpirun", PROGRAM},
    {"bible", "the demo's text", "bible-kjv", "bible", PROGRAM},
    {"gzip", "the demo's comparison", "gzip", "gzip", PROGRAM},
    {"bzip2", "the demo's comparison", "bzip2", "bzip2", PROGRAM},
    {"xz", "the demo's comparison", "xz-utils", "xz", PROGRAM},
    {"zstd", "the demo's comparison", "zstd", "zstd", PROGRAM},
};

static GwPart *add_part(GwDoctorReport *report, GwPart part) {
  GW_ASSERT(report->part_count < GW_DOCTOR_PARTS_MAX);
  report->parts[report->part_count] = part;
  return &report->parts[report->part_count++];
}

static void add_library(GwDoctorReport *report, const char *name, const char *purpose,
                        const char *package, const char *version) {
  GwPart *part = add_part(report, (GwPart){.kind = GW_PART_LIBRARY,
                                           .name = name,
                                           .purpose = purpose,
                                           .package = package,
                                           .found = true});
  snprintf(part->detail, sizeof part->detail, "%s", version);
}

static void add_libraries(GwDoctorReport *report) {
  char text[96], version[64] = "";
  add_library(report, "libcyaml", "recipes", "libcyaml-dev", cyaml_version_str);
  add_library(report, "jansson", "JSON", "libjansson-dev", jansson_version_str());
  uint32_t jit = 0;
  pcre2_config(PCRE2_CONFIG_VERSION, version);
  pcre2_config(PCRE2_CONFIG_JIT, &jit);
  snprintf(text, sizeof text, "%s, JIT %s", version, jit ? "on" : "off");
  add_library(report, "pcre2", "tokenizer patterns", "libpcre2-dev", text);
  add_library(report, "utf8proc", "tokenizers that normalise", "libutf8proc-dev",
              utf8proc_version());
  unsigned number = XXH_versionNumber();
  snprintf(text, sizeof text, "%u.%u.%u", number / 10000, number / 100 % 100, number % 100);
  add_library(report, "xxhash", "hashes", "libxxhash-dev", text);
  add_library(report, "zstd", "compressed input", "libzstd-dev", ZSTD_versionString());
  add_library(report, "zlib", "compressed input", "zlib1g-dev", zlibVersion());
  if (gw_world_mpi_library())
    add_library(report, "mpi", "ranks on several machines", "libopenmpi-dev",
                gw_world_mpi_library());
}

static void add_optional_parts(GwDoctorReport *report) {
  for (size_t i = 0; i < GW_COUNT_OF(optional_parts); i++) {
    GwPart *part = add_part(report, (GwPart){.kind = GW_PART_OPTIONAL,
                                             .name = optional_parts[i].name,
                                             .purpose = optional_parts[i].purpose,
                                             .package = optional_parts[i].package});
    const char *wanted = optional_parts[i].wanted;
    if (optional_parts[i].place == PROGRAM)
      part->found = gw_probe_program(wanted, part->detail, sizeof part->detail);
    else
      part->found = gw_probe_library(wanted, part->detail, sizeof part->detail);
  }
}

void gw_doctor_examine(GwDoctorReport *out) {
  *out = (GwDoctorReport){.best_isa = gw_isa_name(gw_isa_best()),
                          .threads = gw_processor_count(),
                          .memory_total_bytes = gw_memory_total_bytes(),
                          .memory_available_bytes = gw_probe_memory_available_bytes()};
  if (!gw_probe_field("/proc/cpuinfo", "model name", out->processor, sizeof out->processor))
    snprintf(out->processor, sizeof out->processor, "unknown");
  gw_cpu_features_text(out->features, sizeof out->features);
#if defined(__clang__)
  snprintf(out->compiler, sizeof out->compiler, "clang %s", __clang_version__);
#else
  snprintf(out->compiler, sizeof out->compiler, "gcc %s", __VERSION__);
#endif
  add_libraries(out);
  add_optional_parts(out);
}
