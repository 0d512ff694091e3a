#include "agent/identity/flash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define PREFIX    "generation-"
#define TEMPORARY "new.tmp"
#define PRUNE_MAX 64 /* generations seen at once: two, but for a folder that somebody else filled */

static void make_path(const struct np_flash *flash, const char *folder, const char *file, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s%s%s", flash->path, folder, file ? "/" : "", file ? file : "");
}

static void generation_folder(uint64_t generation, char out[64])
{
    snprintf(out, 64, PREFIX "%llu", (unsigned long long)generation);
}

static void remove_folder(const struct np_flash *flash, const char *folder)
{
    char path[PATH_MAX];
    make_path(flash, folder, "state", path);
    flash->disk->unlink(flash->disk->ctx, path);
    make_path(flash, folder, NULL, path);
    flash->disk->rmdir(flash->disk->ctx, path);
}

/* The highest generations, highest first. */
struct listing {
    uint64_t numbers[PRUNE_MAX];
    unsigned count;
};

static void take_name(void *arg, const char *name)
{
    struct listing *found = arg;
    int64_t number;
    unsigned at = 0;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || np_parse_int(name + strlen(PREFIX), 1, INT64_MAX - 1, &number))
        return;
    while (at < found->count && found->numbers[at] > (uint64_t)number)
        at++;
    if (at == PRUNE_MAX)
        return;
    unsigned moved = found->count == PRUNE_MAX ? PRUNE_MAX - 1 - at : found->count - at;
    memmove(found->numbers + at + 1, found->numbers + at, moved * sizeof found->numbers[0]);
    found->numbers[at] = (uint64_t)number;
    if (found->count < PRUNE_MAX)
        found->count++;
}

static int list_generations(const struct np_flash *flash, struct listing *out)
{
    *out = (struct listing){.count = 0};
    return flash->disk->list(flash->disk->ctx, flash->path, take_name, out);
}

/* The lock's file, or the folder itself where the file cannot be made: nothing else can write there either. Not open
 * for writing: that would keep the file system from being made read-only. */
static int open_lock(const struct np_flash *flash)
{
    char lock[PATH_MAX];
    make_path(flash, "lock", NULL, lock);
    int fd = open(lock, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EROFS || errno == ENOSPC || errno == EDQUOT))
        fd = open(flash->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void np_flash_open_on(struct np_flash *flash, const struct np_disk *disk, const char *path)
{
    *flash = (struct np_flash){.lock_fd = -1, .disk = disk};
    snprintf(flash->path, sizeof flash->path, "%s", path);
}

int np_flash_open(struct np_flash *flash, const char *path)
{
    np_flash_open_on(flash, &np_disk_kernel, "");
    if (strlen(path) > NP_FLASH_PATH_MAX)
        return -ENAMETOOLONG;
    np_flash_open_on(flash, &np_disk_kernel, path);
    int rc = np_folder_make(path, 0700);
    if (rc)
        return rc;
    rc = open_lock(flash);
    if (rc < 0)
        return rc;
    flash->lock_fd = rc;
    if (flock(flash->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        np_flash_close(flash);
        return rc;
    }
    remove_folder(flash, TEMPORARY);
    return 0;
}

/* Encodes, and hashes what a file says besides the floor. */
static int encode(const struct np_state *state, uint8_t *bytes, size_t *out_len, uint8_t out_hash[32])
{
    struct np_state *copy = malloc(sizeof *copy);
    if (!copy)
        return -ENOMEM;
    *copy = *state;
    copy->floor_s = 0;
    int rc = np_state_encode(copy, bytes, NP_STATE_BYTES_MAX, out_len);
    if (rc == 0) {
        np_sha256(bytes, *out_len, out_hash);
        rc = np_state_encode(state, bytes, NP_STATE_BYTES_MAX, out_len);
    }
    np_wipe(copy, sizeof *copy);
    free(copy);
    return rc;
}

static int load_one(struct np_flash *flash, uint64_t generation, struct np_state *out_state)
{
    char folder[64], path[PATH_MAX];
    uint8_t *bytes;
    size_t len;
    generation_folder(generation, folder);
    make_path(flash, folder, "state", path);
    int rc = flash->disk->read(flash->disk->ctx, path, NP_STATE_BYTES_MAX, &bytes, &len);
    if (rc)
        return rc == -ENOENT ? NP_E_NOT_FOUND : rc; /* what a power cut leaves of a removal: nothing to wait for */
    rc = np_state_parse(bytes, len, out_state);
    np_wipe(bytes, len);
    free(bytes);
    return rc;
}

/* What the folder as a whole suffers from, when nothing could be loaded: a file that could not be read, or that a later
 * version wrote, is not lost, and counts more than damage. */
static int judge_damage(const struct np_flash_report *report)
{
    for (unsigned i = 0; i < report->damaged_count; i++) {
        int rc = report->damage[i];
        if (rc > NP_E_MALFORMED || rc == NP_E_VERSION)
            return rc;
    }
    return report->damage[0];
}

int np_flash_load(struct np_flash *flash, struct np_state *out_state, struct np_flash_report *out_report)
{
    struct listing found;
    struct np_flash_report report = {0};
    int rc = list_generations(flash, &found);
    *out_report = report;
    memset(out_state, 0, sizeof *out_state);
    if (rc || found.count == 0)
        return rc;
    flash->generation = found.numbers[0];
    uint8_t *bytes = malloc(NP_STATE_BYTES_MAX);
    if (!bytes)
        return -ENOMEM;
    for (unsigned i = 0; i < found.count; i++) {
        size_t len;
        rc = load_one(flash, found.numbers[i], out_state);
        if (rc == 0) {
            rc = encode(out_state, bytes, &len, flash->saved);
            np_wipe(bytes, NP_STATE_BYTES_MAX);
            flash->good = report.generation = out_state->generation = found.numbers[i];
            break;
        }
        if (report.damaged_count < NP_FLASH_DAMAGED_MAX) {
            report.damaged[report.damaged_count] = found.numbers[i];
            report.damage[report.damaged_count++] = rc;
        }
    }
    free(bytes);
    if (rc) {
        memset(out_state, 0, sizeof *out_state);
        rc = report.damaged_count ? judge_damage(&report) : rc;
    }
    *out_report = report;
    return rc;
}

static int write_generation(struct np_flash *flash, uint64_t generation, const uint8_t *bytes, size_t len)
{
    const struct np_disk *disk = flash->disk;
    char folder[64], from[PATH_MAX], to[PATH_MAX], file[PATH_MAX];
    generation_folder(generation, folder);
    make_path(flash, TEMPORARY, NULL, from);
    make_path(flash, TEMPORARY, "state", file);
    make_path(flash, folder, NULL, to);
    remove_folder(flash, TEMPORARY);
    int rc = disk->mkdir(disk->ctx, from);
    if (rc == 0)
        rc = disk->write(disk->ctx, file, bytes, len);
    if (rc == 0)
        rc = disk->sync(disk->ctx, from);
    if (rc == 0)
        rc = disk->rename(disk->ctx, from, to);
    if (rc == 0)
        rc = disk->sync(disk->ctx, flash->path);
    if (rc)
        remove_folder(flash, TEMPORARY);
    return rc;
}

/* Keeps the generation just written and the good one before it. What goes is gone for good: its keys may have been
 * replaced because somebody else had them. */
static void prune(const struct np_flash *flash, uint64_t before)
{
    struct listing found;
    char folder[64];
    if (list_generations(flash, &found))
        return;
    for (unsigned i = 0; i < found.count; i++) {
        if (found.numbers[i] == flash->good || found.numbers[i] == before)
            continue;
        generation_folder(found.numbers[i], folder);
        remove_folder(flash, folder);
    }
    flash->disk->sync(flash->disk->ctx, flash->path);
}

int np_flash_save(struct np_flash *flash, struct np_state *state, bool *out_written)
{
    uint8_t hash[32];
    size_t len;
    bool written = false;
    uint8_t *bytes = malloc(NP_STATE_BYTES_MAX);
    if (!bytes)
        return -ENOMEM;
    int rc = encode(state, bytes, &len, hash);
    if (rc == 0 && (flash->good == 0 || memcmp(hash, flash->saved, sizeof hash) != 0)) {
        /* A number is used up even by a write that fails: its folder may be there, not yet synced. */
        rc = write_generation(flash, ++flash->generation, bytes, len);
        written = rc == 0;
    }
    if (written) {
        uint64_t before = flash->good;
        flash->good = state->generation = flash->generation;
        memcpy(flash->saved, hash, sizeof hash);
        prune(flash, before);
    }
    if (rc == 0 && out_written)
        *out_written = written;
    np_wipe(bytes, NP_STATE_BYTES_MAX);
    free(bytes);
    return rc;
}

void np_flash_purge(struct np_flash *flash)
{
    if (flash->good == 0)
        return;
    prune(flash, flash->good);
}

void np_flash_close(struct np_flash *flash)
{
    if (flash->lock_fd >= 0)
        close(flash->lock_fd);
    *flash = (struct np_flash){.lock_fd = -1};
}
