/* A disk in memory that can lose power or run full at a chosen point.
 *
 * It tells apart what programs see and what would survive: a file's bytes survive as they were at
 * its last sync_file, a directory's names as they were at its last sync_dir. After a power failure,
 * gw_crash_fs_reboot decides what became of everything in between. Names of one directory become
 * durable in the order they were changed (a journal's prefix), independently of other directories
 * and of the bytes of files: as POSIX allows and ext4 may do. */
#ifndef GW_TEST_CRASH_FS_H
#define GW_TEST_CRASH_FS_H

#include "base/rng.h"
#include "os/fs.h"

typedef struct CrashFs CrashFs;

typedef enum {
  GW_CRASH_DROP,   /* nothing unsynced survives */
  GW_CRASH_KEEP,   /* everything unsynced survives */
  GW_CRASH_PREFIX, /* of each file and each directory's changes a random beginning survives */
  GW_CRASH_TEAR,   /* names likewise; of each file random sectors of 512 bytes, the others zero */
  GW_CRASH_MODES
} GwCrashMode;

CrashFs *gw_crash_fs_create(void);
void gw_crash_fs_destroy(CrashFs *disk);
GwFs *gw_crash_fs(CrashFs *disk);

/* Operations that have failed or succeeded since creation; closing and asking whether a path
 * exists do not count. */
int gw_crash_fs_operations(const CrashFs *disk);
/* Power is lost in the n-th operation from now (0: the next): it fails with GW_IO, its effect may
 * be on its way to the disk or not, and so do all after it until the reboot. */
void gw_crash_fs_lose_power_at(CrashFs *disk, int n);
/* Only `bytes` more fit on the disk, then writes fail with GW_NO_SPACE, having written what fits.
 * Removing files gives nothing back. UINT64_MAX: endless. */
void gw_crash_fs_limit_space(CrashFs *disk, uint64_t bytes);
/* Bytes written since creation. */
uint64_t gw_crash_fs_written(const CrashFs *disk);
/* The disk after the crash, power back; open files must be closed before. */
void gw_crash_fs_reboot(CrashFs *disk, GwCrashMode mode, GwRng *rng);

/* The file's bytes, to be damaged in place; NULL when absent. */
unsigned char *gw_crash_fs_bytes(CrashFs *disk, const char *path, size_t *size);

#endif
