/* world: boxes and HQ in one process: the agent's core (box) and HQ's (hqcore), driven together on one virtual clock,
 * network, disk and random. Time passes only in world_pass and world_wait, as fast as the machine can.
 *
 * Lifecycle: world_new, world_add for each box, world_power_on, then whatever a test does to it, world_free. A box
 * loses its power by world_power_off, or between two operations of its disk (memory_disk_cut_before): then it is off
 * until it is switched on again. */
#ifndef TESTS_REPLAY_WORLD_H
#define TESTS_REPLAY_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/replay/box.h"
#include "tests/replay/hqcore.h"

#define WORLD_BOXES   4
#define WORLD_HOUR_MS INT64_C(3600000)
#define WORLD_DAY_MS  (24 * WORLD_HOUR_MS)
#define WORLD_RTT_MS  20
#define WORLD_LOST_MS 30000          /* until a box gives an answer up: NP_HQCLIENT_ANSWER_MS */
#define WORLD_LEAF_S  (40LL * 86400) /* HQ's own certificate has begun so long ago, and ends so much later */
#define WORLD_TIMERS  5000000

/* One box and what it stands on. */
struct world_box {
    struct box box;
    struct world *world;
    struct memory_disk *medium; /* NULL: a folder of the kernel's */
    uint8_t random[32];         /* of its kernel, at the next boot */
    bool unreachable;           /* its way to HQ is broken */
};

/* Everything. */
struct world {
    struct step step; /* where a failure says it is */
    char *text;
    size_t text_len;
    int64_t now_ms;
    struct hqcore *hq;
    bool hq_away;
    int64_t hq_ahead_s;                   /* HQ's clock before the true time */
    unsigned lose_requests, lose_answers; /* so many of the next ones */
    struct world_box *boxes[WORLD_BOXES];
    size_t count;
    uint64_t random;
    /* Called before each thing that happens, to a box or at HQ alone: where a test may cut the power. May be NULL. */
    void (*moment)(void *ctx, bool to_a_box);
    void *moment_ctx;
};

/* A world with an HQ that has an empty database in memory and a CA, and without boxes. name is shown in failures. The
 * current folder gets an empty file. */
struct world *world_new(const char *name);

/* The same with HQ's database in a file, which may be there already. */
struct world *world_new_on(const char *name, const char *database);

/* Frees everything. */
void world_free(struct world *world);

/* A box out of the factory with that serial number, on a LAN at 192.168.1.1, switched off. */
struct world_box *world_add(struct world *world, const char *serial);

/* Before its first boot: the box's state lies in this folder of the kernel's, not on a disk of memory. */
void world_use_folder(struct world_box *box, const char *folder);

/* Power on; a cut disk has kept what its medium has. */
void world_power_on(struct world_box *box);

/* Power off without any warning. */
void world_power_off(struct world_box *box);

/* Unix ms of HQ's clock, which is right. */
int64_t world_true_ms(const struct world *world);

/* Lets time pass, with all that happens in it. */
void world_pass(struct world *world, int64_t ms);

/* Lets time pass until the condition holds. Fails after most_ms. */
void world_wait(struct world_box *box, bool (*holds)(const struct box *box), int64_t most_ms, const char *what);

/* Conditions: the box has a certificate that is valid, nothing to do, and has stored it; likewise and another key
 * or name than before needs a test's own. */
bool world_is_installed(const struct box *box);

/* The same, whatever the box's clock says about the certificate. */
bool world_is_installed_anyhow(const struct box *box);

/* Has the box nothing left to do? */
bool world_is_at_rest(const struct box *box);

/* Ends the program with what happened, unless ok. */
void world_check(struct world *world, bool ok, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
