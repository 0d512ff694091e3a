/* crash: a box's life (first boot, a year's first renewal, another TLS key, a factory reset), with the power cut at one
 * moment of it: before each event of the box, and before each operation of its flash, each with several fates: the
 * process is killed and nothing unsynced is lost; the power goes, with any part of that; and the first answer after it
 * is lost, too. Whatever the moment: the same name until the reset, one order for each certificate, no second device.
 *
 *   crash [FATES]     every moment, each with so many fates (default 2); exit status 0: all is as it should be
 *
 * Each cut happens in a process of its own, forked at the moment, which then goes on to the end of the life. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resolver/base/log.h"
#include "tests/replay/world.h"

#define FATES_MAX 1000

/* One life, and where it is cut. */
struct life {
    struct world *world;
    struct world_box *box;
    unsigned moments, cuts, fates, failed;
    bool mortal; /* this process is the one whose power is cut, or was */
    const char *part;
};

static void report(struct life *life, int status, unsigned fate)
{
    life->cuts++;
    if (status == 0)
        return;
    life->failed++;
    printf("crash: moment %u (%s), fate %u: status %d\n", life->moments, life->part, fate, status);
}

/* Forks one process for each fate. True in those. */
static bool fork_fates(struct life *life)
{
    for (unsigned fate = 0; fate < life->fates; fate++) {
        fflush(stdout);
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            life->mortal = true;
            life->world->random = fate ? fate * 977 + life->moments : 0;
            life->world->lose_answers = fate % 2;
            return true;
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            abort();
        report(life, status, fate);
    }
    return false;
}

/* Something is about to happen. */
static void on_moment(void *ctx, bool to_a_box)
{
    struct life *life = ctx;
    if (life->mortal || !to_a_box)
        return;
    life->moments++;
    if (!fork_fates(life))
        return;
    world_power_off(life->box);
    world_power_on(life->box);
}

/* The flash is about to be written. True: the power goes. */
static bool on_write(void *ctx)
{
    struct life *life = ctx;
    if (life->mortal)
        return false;
    life->moments++;
    return fork_fates(life);
}

/* A box that lost its power in the middle of a write is switched on again. */
static void wait_for(struct life *life, bool (*holds)(const struct box *box), const char *what)
{
    struct box *box = &life->box->box;
    struct world *world = life->world;
    int64_t end_ms = world->now_ms + WORLD_DAY_MS;
    life->part = what;
    do {
        if (!box->running)
            world_power_on(life->box);
        world_check(world, world->now_ms < end_ms, "%s within a day; the box is %s (%s)", what,
                    np_enrol_state_name(box->enrol.state), box->enrol.reason);
        world_pass(world, 50);
    } while (!box->running || !holds(box));
}

static void pass_days(struct life *life, int days)
{
    life->part = "waiting for the renewal";
    for (int hour = 0; hour < days * 24; hour++) {
        if (!life->box->box.running)
            world_power_on(life->box);
        world_pass(life->world, WORLD_HOUR_MS);
    }
}

static void expect_counts(const struct life *life, int64_t devices, int64_t live, int64_t orders)
{
    struct hqcore_counts counts = hqcore_count(life->world->hq);
    world_check(life->world, counts.devices == devices && counts.live == live && counts.orders == orders,
                "%lld devices, %lld live, %lld orders; there are %lld, %lld, %lld", (long long)devices, (long long)live,
                (long long)orders, (long long)counts.devices, (long long)counts.live, (long long)counts.orders);
    world_check(life->world, counts.clones == 0, "no device that HQ takes for a clone");
}

static void live(struct life *life)
{
    struct box *box = &life->box->box;
    char name[NP_NAME_MAX + 1];
    struct np_private_key first;
    world_power_on(life->box);
    wait_for(life, world_is_installed, "a certificate");
    expect_counts(life, 1, 1, 1);
    memcpy(name, box->state.name, sizeof name);
    first = box->state.tls;
    pass_days(life, 34);
    wait_for(life, world_is_installed, "the renewal");
    world_check(life->world, strcmp(name, box->state.name) == 0, "the name %s", name);
    world_check(life->world, memcmp(&first, &box->state.tls, sizeof first) == 0, "the same TLS key");
    expect_counts(life, 1, 1, 2);

    life->part = "another key";
    for (int i = 0; i < 3 && memcmp(&first, &box->state.tls, sizeof first) == 0; i++) {
        /* Who wanted another key asks again where nothing came of it. */
        if (!box->state.has_next)
            box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_ROTATE});
        wait_for(life, world_is_installed, "another key");
    }
    world_check(life->world, memcmp(&first, &box->state.tls, sizeof first) != 0, "another TLS key");
    world_check(life->world, strcmp(name, box->state.name) == 0, "the name %s", name);
    expect_counts(life, 1, 1, 3);

    life->part = "the reset";
    for (int i = 0; i < 3 && strcmp(name, box->state.name) == 0; i++) {
        if (box->enrol.leave != NP_LEAVE_UNDER_WAY)
            box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_LEAVE, .leave = NP_LEAVE_RESALE});
        wait_for(life, world_is_installed, "the reset");
    }
    world_check(life->world, strcmp(name, box->state.name) != 0, "another name than %s", name);
    expect_counts(life, 2, 1, 4);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/nameplate-crash-XXXXXX";
    struct life life = {.fates = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2, .part = "the beginning"};
    if (life.fates < 1 || life.fates > FATES_MAX || !mkdtemp(folder) || chdir(folder))
        return 2;
    np_log_init("crash", NP_LOG_ERROR);
    life.world = world_new("crash");
    life.box = world_add(life.world, "NP-0001");
    life.world->moment = on_moment;
    life.world->moment_ctx = &life;
    memory_disk_on_write(life.box->medium, on_write, &life);
    live(&life);
    world_free(life.world);
    if (life.mortal)
        return 0;
    printf("crash: %u moments, %u power cuts, %u of them harmful\n", life.moments, life.cuts, life.failed);
    unlink(":memory:");
    rmdir(folder);
    return life.failed ? 1 : 0;
}
