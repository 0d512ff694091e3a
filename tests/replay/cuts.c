/* cuts: a box on a real file system, whose image a test copies while this process is stopped, and what becomes of the
 * copy: a power cut as it happens to ext4 (tests/net/test_power_cuts.py).
 *
 *   cuts live FOLDER DATABASE CLOCK      lives on for ever: first boot, renewal, another key, reset, and anew, with its
 *                                        state in FOLDER, HQ's in DATABASE, and where it stands in CLOCK (struct stand)
 *   cuts resume FOLDER DATABASE CLOCK    switches the box on as they are, and goes on until it is at rest; exit status
 *                                        0: no name, key or certificate was lost, nothing was ordered twice, HQ
 *                                        takes no device for a clone */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/log.h"
#include "tests/replay/world.h"

#define LIFE_DAYS 3 /* of a certificate: no more dull days than needed */
#define BOOTS     4 /* power cuts more, within a day: one more than the returns of old lives that mark a clone */

/* Where a life stands: the time, and how many orders its device may have had by then. */
struct stand {
    int64_t now_ms;
    int64_t orders;
    int64_t events; /* so far */
};

/* The process. */
struct run {
    struct world *world;
    struct world_box *box;
    struct stand stand;
    int clock_fd;
};

static void on_moment(void *ctx, bool to_a_box)
{
    struct run *run = ctx;
    run->stand.now_ms = run->world->now_ms;
    run->stand.events += to_a_box;
    uint8_t bytes[sizeof run->stand];
    memcpy(bytes, &run->stand, sizeof bytes);
    if (pwrite(run->clock_fd, bytes, sizeof bytes, 0) != sizeof bytes)
        abort();
}

static void stand(struct run *run, int64_t orders)
{
    run->stand.orders = orders;
    on_moment(run, false);
}

static bool has_other_key(const struct box *box)
{
    return world_is_installed(box) && !box->state.has_next;
}

static void live(struct run *run)
{
    struct box *box = &run->box->box;
    for (;;) {
        stand(run, 1);
        world_wait(run->box, world_is_installed, WORLD_DAY_MS, "a certificate");
        stand(run, 2);
        world_pass(run->world, (LIFE_DAYS - 1) * WORLD_DAY_MS);
        stand(run, 3);
        box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_ROTATE});
        world_wait(run->box, has_other_key, WORLD_DAY_MS, "another key");
        world_pass(run->world, WORLD_HOUR_MS);
        box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_LEAVE, .leave = NP_LEAVE_RESALE});
    }
}

static void resume(struct run *run)
{
    struct world *world = run->world;
    struct hqcore_counts before = hqcore_count(world->hq), after;
    const struct box *box = &run->box->box;
    struct np_state kept = box->state; /* as it was loaded */
    bool leaves = kept.leaving != NP_LEAVING_NOT, again = before.live == 0 || leaves;
    world_check(world, box->report.damaged_count == 0, "no damaged generation; there are %u",
                box->report.damaged_count);
    world_check(world, before.devices == 0 || kept.has_identity, "an identity on the flash: HQ knows it already");
    world_wait(run->box, world_is_installed, WORLD_DAY_MS, "a certificate");
    world_pass(world, WORLD_HOUR_MS); /* its check-in after the boot */
    world_wait(run->box, world_is_installed, WORLD_DAY_MS, "a certificate");
    for (int i = 0; i < BOOTS; i++) {
        world_power_off(run->box);
        world_power_on(run->box);
        world_pass(world, WORLD_HOUR_MS);
        world_wait(run->box, world_is_installed, WORLD_DAY_MS, "a certificate");
    }
    after = hqcore_count(world->hq);
    world_check(world, after.clones == 0, "no device that HQ takes for a clone; there are %lld",
                (long long)after.clones);
    world_check(world, after.live == 1 && after.devices == before.devices + again,
                "one live device of %lld; there are %lld of %lld", (long long)before.devices + again,
                (long long)after.live, (long long)after.devices);
    world_check(world, again || !kept.name[0] || strcmp(kept.name, box->state.name) == 0, "the name %s, not %s",
                kept.name, box->state.name);
    world_check(world, hqcore_holders(world->hq, box->state.name) == 1, "HQ to know %s", box->state.name);
    int64_t most = again ? 1 : run->stand.orders;
    world_check(world, after.live_orders <= most && after.live_packages == after.live_orders,
                "at most %lld orders, and a package for each; there are %lld and %lld", (long long)most,
                (long long)after.live_orders, (long long)after.live_packages);
}

int main(int argc, char **argv)
{
    struct run run = {.clock_fd = -1};
    bool resumes = argc == 5 && strcmp(argv[1], "resume") == 0;
    if (argc != 5 || (!resumes && strcmp(argv[1], "live") != 0))
        return 2;
    np_log_init("cuts", NP_LOG_ERROR);
    run.clock_fd = open(argv[4], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    run.world = world_new_on("cuts", argv[3]);
    if (resumes && pread(run.clock_fd, &run.stand, sizeof run.stand, 0) == sizeof run.stand)
        run.world->now_ms = run.stand.now_ms;
    hqcore_ca(run.world->hq, false, LIFE_DAYS * 86400);
    run.box = world_add(run.world, "NP-0001");
    world_use_folder(run.box, argv[2]);
    if (!resumes) {
        run.world->moment = on_moment;
        run.world->moment_ctx = &run;
    }
    run.box->random[0] = resumes ? 128 : 0; /* other random bytes, and so another life, than the process before */
    world_power_on(run.box);
    if (!resumes)
        live(&run);
    resume(&run);
    world_free(run.world);
    return 0;
}
