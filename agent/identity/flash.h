/* flash: the state folder on flash: one folder a generation ("generation-12/state"), each written whole.
 *
 * A write makes "new.tmp/", writes and fsyncs the file in it, fsyncs the folder, renames it to the next generation and
 * fsyncs the parent: a power cut leaves the old generation, or the new one, never a mix. The generation before stays as
 * the one to fall back to; older ones go. Nothing is written while nothing but the clock's floor changes. A lock keeps
 * a second agent out. A folder that cannot be written (read-only, full) can be opened and loaded all the same.
 *
 * Lifecycle: np_flash_open, np_flash_load once, np_flash_save at each change, np_flash_close. File calls block: the
 * file is a few kilobytes and is written under 200 times a year. */
#ifndef AGENT_IDENTITY_FLASH_H
#define AGENT_IDENTITY_FLASH_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/identity/disk.h"
#include "agent/identity/state.h"

#define NP_FLASH_PATH_MAX    480 /* bytes of the folder's path; PATH_MAX with the names that are added */
#define NP_FLASH_DAMAGED_MAX 16  /* damaged generations that are told apart in a report */

/* An open folder. */
struct np_flash {
    const struct np_disk *disk; /* borrowed */
    char path[NP_FLASH_PATH_MAX + 1];
    int lock_fd;         /* -1: not locked, as on a disk that is not the kernel's */
    uint64_t generation; /* the highest number in use, damaged ones included */
    uint64_t good;       /* the generation last loaded or written; 0: none */
    uint8_t saved[32];   /* SHA-256 of what that one says, the clock's floor left out */
};

/* What np_flash_load met. */
struct np_flash_report {
    uint64_t generation; /* the one that was loaded, 0: the folder is new */
    uint64_t damaged[NP_FLASH_DAMAGED_MAX];
    int damage[NP_FLASH_DAMAGED_MAX]; /* why: what np_state_parse or the file system said */
    unsigned damaged_count;
};

/* Makes the folder (0700) where it is missing and locks it. Returns 0, -EAGAIN when another agent has it, or -errno. */
int np_flash_open(struct np_flash *flash, const char *path);

/* The folder at path on another disk, which is there already; nothing is locked. */
void np_flash_open_on(struct np_flash *flash, const struct np_disk *disk, const char *path);

/* Loads the newest generation that is whole. A folder without any gives a zero-initialised state and 0. Returns 0,
 * -errno, or what the newest one's damage is when every generation is damaged: then nothing is loaded, and the caller
 * decides (the files stay). A generation that cannot be read now (-errno) or that another version wrote (NP_E_VERSION)
 * is not lost: it is what is returned then, whatever happened to the others. report is written in every case. */
int np_flash_load(struct np_flash *flash, struct np_state *out_state, struct np_flash_report *out_report);

/* Writes the state as the next generation unless the stored one says the same; *out_written (may be NULL) tells.
 * state's generation is updated. On an error (-errno, -ENOSPC above all) what was stored stays whole. */
int np_flash_save(struct np_flash *flash, struct np_state *state, bool *out_written);

/* Removes every generation but the one last written: after a reset no copy of the old keys stays to fall back to. */
void np_flash_purge(struct np_flash *flash);

/* Unlocks, wipes and frees what it holds. */
void np_flash_close(struct np_flash *flash);

#endif
