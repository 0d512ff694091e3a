#include "agent/identity/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define PREFIX    "generation-"
#define TEMPORARY "new.tmp"
#define PRUNE_MAX 64 /* generations seen at once: two, but for a folder that somebody else filled */

static void make_path(const struct np_store *store, const char *folder, const char *file, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s%s%s", store->path, folder, file ? "/" : "", file ? file : "");
}

static void generation_folder(uint64_t generation, char out[64])
{
    snprintf(out, 64, PREFIX "%llu", (unsigned long long)generation);
}

static void remove_folder(const struct np_store *store, const char *folder)
{
    char path[PATH_MAX];
    make_path(store, folder, "state", path);
    unlink(path);
    make_path(store, folder, "state.tmp", path);
    unlink(path);
    make_path(store, folder, NULL, path);
    rmdir(path);
}

/* The generations on flash, highest first. */
static int list_generations(const struct np_store *store, uint64_t out[PRUNE_MAX], unsigned *out_count)
{
    DIR *dir = opendir(store->path);
    if (!dir)
        return -errno;
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int64_t number;
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            np_parse_int(entry->d_name + strlen(PREFIX), 1, INT64_MAX - 1, &number))
            continue;
        unsigned at = 0;
        while (at < count && out[at] > (uint64_t)number)
            at++;
        if (at == PRUNE_MAX)
            continue;
        unsigned moved = count == PRUNE_MAX ? PRUNE_MAX - 1 - at : count - at;
        memmove(out + at + 1, out + at, moved * sizeof out[0]);
        out[at] = (uint64_t)number;
        if (count < PRUNE_MAX)
            count++;
    }
    closedir(dir);
    *out_count = count;
    return 0;
}

int np_store_open(struct np_store *store, const char *path)
{
    char lock[PATH_MAX];
    *store = (struct np_store){.lock_fd = -1};
    if (strlen(path) > NP_STORE_PATH_MAX)
        return -ENAMETOOLONG;
    snprintf(store->path, sizeof store->path, "%s", path);
    int rc = np_folder_make(path, 0700);
    if (rc)
        return rc;
    make_path(store, "lock", NULL, lock);
    store->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return -errno;
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        np_store_close(store);
        return rc;
    }
    remove_folder(store, TEMPORARY);
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

static int load_one(struct np_store *store, uint64_t generation, struct np_state *out_state)
{
    char folder[64], path[PATH_MAX];
    uint8_t *bytes;
    size_t len;
    generation_folder(generation, folder);
    make_path(store, folder, "state", path);
    int rc = np_file_read(path, NP_STATE_BYTES_MAX, &bytes, &len);
    if (rc)
        return rc == -ENOENT ? NP_E_NOT_FOUND : rc; /* what a power cut leaves of a removal: nothing to wait for */
    rc = np_state_parse(bytes, len, out_state);
    np_wipe(bytes, len);
    free(bytes);
    return rc;
}

/* What the folder as a whole suffers from, when nothing could be loaded: a file that could not be read, or that a later
 * version wrote, is not lost, and counts more than damage. */
static int judge_damage(const struct np_store_report *report)
{
    for (unsigned i = 0; i < report->damaged_count; i++) {
        int rc = report->damage[i];
        if (rc > NP_E_MALFORMED || rc == NP_E_VERSION)
            return rc;
    }
    return report->damage[0];
}

int np_store_load(struct np_store *store, struct np_state *out_state, struct np_store_report *out_report)
{
    uint64_t generations[PRUNE_MAX];
    unsigned count;
    struct np_store_report report = {0};
    int rc = list_generations(store, generations, &count);
    *out_report = report;
    memset(out_state, 0, sizeof *out_state);
    if (rc || count == 0)
        return rc;
    store->generation = generations[0];
    uint8_t *bytes = malloc(NP_STATE_BYTES_MAX);
    if (!bytes)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        size_t len;
        rc = load_one(store, generations[i], out_state);
        if (rc == 0) {
            rc = encode(out_state, bytes, &len, store->saved);
            np_wipe(bytes, NP_STATE_BYTES_MAX);
            store->good = report.generation = out_state->generation = generations[i];
            break;
        }
        if (report.damaged_count < NP_STORE_DAMAGED_MAX) {
            report.damaged[report.damaged_count] = generations[i];
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

static int write_generation(struct np_store *store, uint64_t generation, const uint8_t *bytes, size_t len)
{
    char folder[64], from[PATH_MAX], to[PATH_MAX], file[PATH_MAX];
    generation_folder(generation, folder);
    make_path(store, TEMPORARY, NULL, from);
    make_path(store, TEMPORARY, "state", file);
    make_path(store, folder, NULL, to);
    remove_folder(store, TEMPORARY);
    if (mkdir(from, 0700) < 0)
        return -errno;
    int rc = np_file_write_atomic(file, bytes, len, 0600);
    if (rc == 0 && rename(from, to) < 0)
        rc = -errno;
    if (rc == 0)
        rc = np_folder_sync(store->path);
    if (rc)
        remove_folder(store, TEMPORARY);
    return rc;
}

/* Keeps the generation just written and the good one before it. */
static void prune(const struct np_store *store, uint64_t before)
{
    uint64_t generations[PRUNE_MAX];
    unsigned count;
    char folder[64];
    if (list_generations(store, generations, &count))
        return;
    for (unsigned i = 0; i < count; i++) {
        if (generations[i] == store->good || generations[i] == before)
            continue;
        generation_folder(generations[i], folder);
        remove_folder(store, folder);
    }
}

int np_store_save(struct np_store *store, struct np_state *state, bool *out_written)
{
    uint8_t hash[32];
    size_t len;
    bool written = false;
    uint8_t *bytes = malloc(NP_STATE_BYTES_MAX);
    if (!bytes)
        return -ENOMEM;
    int rc = encode(state, bytes, &len, hash);
    if (rc == 0 && (store->good == 0 || memcmp(hash, store->saved, sizeof hash) != 0)) {
        /* A number is used up even by a write that fails: its folder may be there, not yet synced. */
        rc = write_generation(store, ++store->generation, bytes, len);
        written = rc == 0;
    }
    if (written) {
        uint64_t before = store->good;
        store->good = state->generation = store->generation;
        memcpy(store->saved, hash, sizeof hash);
        prune(store, before);
    }
    if (rc == 0 && out_written)
        *out_written = written;
    np_wipe(bytes, NP_STATE_BYTES_MAX);
    free(bytes);
    return rc;
}

void np_store_purge(struct np_store *store)
{
    if (store->good == 0)
        return;
    prune(store, store->good);
    np_folder_sync(store->path);
}

void np_store_close(struct np_store *store)
{
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    *store = (struct np_store){.lock_fd = -1};
}
