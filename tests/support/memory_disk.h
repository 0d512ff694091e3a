/* memory_disk: a disk of memory for the state folder (agent/identity/disk), which loses its power between any two
 * operations as the worst of file systems may: a file that was not synced has any part of its content, and of what was
 * done to the names in a folder since its last sync, each change has reached the medium or not, in any combination. */
#ifndef TESTS_SUPPORT_MEMORY_DISK_H
#define TESTS_SUPPORT_MEMORY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/identity/disk.h"

struct memory_disk;

/* An empty disk; its root is the state folder, path "". random decides what a power cut leaves. */
struct memory_disk *memory_disk_new(uint64_t random);

/* Frees. */
void memory_disk_free(struct memory_disk *disk);

/* A copy of what is on it: a cloned image, a backup. Nothing may be unsynced that matters. */
struct memory_disk *memory_disk_copy(const struct memory_disk *disk);

/* The operations, for np_flash_open_on. Borrowed. */
const struct np_disk *memory_disk_operations(const struct memory_disk *disk);

/* From now on every operation that writes fails with this -errno; 0: no more. */
void memory_disk_fail(struct memory_disk *disk, int error);

/* The power goes right before the count-th writing operation from now (1: the next one); 0: not at all. Nothing works
 * then until memory_disk_power_on. */
void memory_disk_cut_before(struct memory_disk *disk, unsigned count);

/* Asked before each writing operation: should the power go now? */
typedef bool memory_disk_fn(void *ctx);
/* See above; NULL: nobody is asked. */
void memory_disk_on_write(struct memory_disk *disk, memory_disk_fn *ask, void *ctx);

/* Is the power gone? */
bool memory_disk_is_cut(const struct memory_disk *disk);

/* Cuts the power if it is not gone yet, and switches on again: only what the medium has is left. With random 0 that is
 * everything, as after a process was killed. */
void memory_disk_power_on(struct memory_disk *disk, uint64_t random);

/* Are these bytes in any file that has a name, on the medium or not? */
bool memory_disk_holds(const struct memory_disk *disk, const void *bytes, size_t len);

/* Writing operations so far. */
unsigned memory_disk_writes(const struct memory_disk *disk);

#endif
