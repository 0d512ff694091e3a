/* disk: the file operations that the state folder stands on, as a table: the kernel's files on a device, a disk of
 * memory in a simulation, which can lose its power between any two of them.
 *
 * Paths are the state folder's path with names below it. What an operation has done is on the medium only after the
 * sync of the folder that holds the name; write alone puts a file's content there by itself. Every function returns 0
 * or -errno. */
#ifndef AGENT_IDENTITY_DISK_H
#define AGENT_IDENTITY_DISK_H

#include <stddef.h>
#include <stdint.h>

/* Called for each name in a folder, in no order. */
typedef void np_disk_name_fn(void *arg, const char *name);

/* A disk. All functions are there; ctx is theirs. */
struct np_disk {
    void *ctx;
    /* Reads a whole file, as np_file_read: *out_data is malloc'd. NP_E_LIMIT when it has more than max bytes. */
    int (*read)(void *ctx, const char *path, size_t max, uint8_t **out_data, size_t *out_len);
    /* Makes a new file (0600) with that content, which is on the medium afterwards; its name is not. On an error a part
     * of it may be there. */
    int (*write)(void *ctx, const char *path, const void *data, size_t len);
    /* Makes a folder (0700). */
    int (*mkdir)(void *ctx, const char *path);
    /* Renames within one folder. */
    int (*rename)(void *ctx, const char *from, const char *to);
    /* Removes a file. */
    int (*unlink)(void *ctx, const char *path);
    /* Removes an empty folder. */
    int (*rmdir)(void *ctx, const char *path);
    /* Everything done to the names in that folder is on the medium afterwards. */
    int (*sync)(void *ctx, const char *folder);
    /* Lists a folder. */
    int (*list)(void *ctx, const char *folder, np_disk_name_fn *each, void *arg);
};

/* The kernel's files. */
extern const struct np_disk np_disk_kernel;

#endif
