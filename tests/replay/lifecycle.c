/* lifecycle: what becomes of a box and HQ in the long run and in every odd turn of their lives, in virtual time, with
 * the real cores of both (world.h). docs/lifecycle.md says what should be; each part here is one of its sections.
 *
 *   lifecycle NAME       exit status 0: it is so. Without NAME: the list of names. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "tests/replay/lifecycle.h"

void lifecycle_pass_valid(struct world_box *one, int64_t days, const char *what)
{
    for (int64_t hour = 0; hour < days * 24; hour++) {
        world_pass(one->world, WORLD_HOUR_MS);
        world_check(one->world, box_certificate_valid(&one->box), "a valid certificate in hour %lld (%s)",
                    (long long)hour, what);
    }
}

struct world *lifecycle_begin(const char *name, struct world_box **out_box)
{
    struct world *world = world_new(name);
    *out_box = world_add(world, "NP-0001");
    world_power_on(*out_box);
    world_wait(*out_box, world_is_installed, WORLD_DAY_MS, "a certificate");
    return world;
}

static void expect_name(const struct world_box *one, const char *name)
{
    world_check(one->world, strcmp(one->box.state.name, name) == 0, "the name %s, not %s", name, one->box.state.name);
    world_check(one->world, hqcore_holders(one->world->hq, name) == 1, "HQ to know one %s", name);
}

static void copy_name(const struct world_box *one, char out[NP_NAME_MAX + 1])
{
    memcpy(out, one->box.state.name, NP_NAME_MAX + 1);
}

/* A year: a change of address each week, a restart each month. Few writes, few requests. */
static void year(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("year", &one);
    struct box *box = &one->box;
    char name[NP_NAME_MAX + 1], address[32];
    copy_name(one, name);
    unsigned before = box->writes;
    for (int week = 0; week < 52; week++) {
        snprintf(address, sizeof address, "192.168.1.%d", 10 + week);
        if (np_addr_parse(address, &box->network.addresses[0].prefix.addr))
            abort();
        box_look(box);
        lifecycle_pass_valid(one, 7, "a quiet year");
        if (week % 4 == 3) {
            world_power_off(one);
            world_power_on(one);
        }
    }
    expect_name(one, name);
    struct hqcore_counts counts = hqcore_count(world->hq);
    printf("year: %u commits, %u requests, %lld orders\n", box->writes - before, box->requests,
           (long long)counts.orders);
    world_check(world, box->writes - before < 200, "under 200 commits a year, not %u", box->writes - before);
    world_check(world, box->requests < 2000, "under 2000 requests a year, not %u", box->requests);
    world_check(world, counts.orders >= 12 && counts.orders <= 14, "an order a month, not %lld",
                (long long)counts.orders);
    world_free(world);
}

/* HQ, or the CA, is away for 14 days, from every third day of a certificate's life on: nothing expires. */
static void away(bool ca)
{
    for (int from = 0; from <= 45; from += 3) {
        struct world_box *one;
        struct world *world = lifecycle_begin(ca ? "ca-away-14-days" : "hq-away-14-days", &one);
        lifecycle_pass_valid(one, from, "before");
        world->hq_away = !ca;
        hqcore_ca(world->hq, ca, HQCORE_LIFE_S);
        lifecycle_pass_valid(one, 14, "without");
        world->hq_away = false;
        hqcore_ca(world->hq, false, HQCORE_LIFE_S);
        lifecycle_pass_valid(one, 40, "after");
        world_free(world);
    }
}

static void hq_away_14_days(void)
{
    away(false);
}

static void ca_away_14_days(void)
{
    away(true);
}

/* Away for longer than certificates live: within a day of the return there is a valid one again, the name is the same,
 * and nobody stormed: HQ away costs no request, the CA away few. */
static void long_outages(void)
{
    static const int lengths[] = {20, 60, 200};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int days = lengths[i];
        for (int what = 0; what < 3; what++) {
            struct world_box *one;
            struct world *world = lifecycle_begin("long-outages", &one);
            char name[NP_NAME_MAX + 1];
            copy_name(one, name);
            world->hq_away = what == 0;
            hqcore_ca(world->hq, what == 1, HQCORE_LIFE_S);
            if (what == 2)
                world_power_off(one);
            unsigned before = one->box.requests;
            world_pass(world, days * WORLD_DAY_MS);
            unsigned requests = one->box.requests - before;
            /* At most: a try each 7.5 to 15 minutes where HQ is away; looks, at most every 15 s, where the CA is and
             * nothing valid is served. */
            world_check(world, requests <= (unsigned)days * (what == 1 ? 5760 : 193), "no storm in %d days, not %u",
                        days, requests);
            world->hq_away = false;
            hqcore_ca(world->hq, false, HQCORE_LIFE_S);
            if (what == 2)
                world_power_on(one);
            world_pass(world, WORLD_DAY_MS);
            world_check(world, box_certificate_valid(&one->box), "a valid certificate a day after %d days", days);
            expect_name(one, name);
            world_check(world, one->box.enrolments == 1, "no second enrolment");
            world_free(world);
        }
    }
}

/* The owner gives the box up. A new name; the old one is nobody's for ever; nothing of the old keys is left. */
static void hand_over(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("hand-over", &one);
    struct np_private_key identity = one->box.state.identity, tls = one->box.state.tls;
    char name[NP_NAME_MAX + 1];
    copy_name(one, name);
    box_enrol(&one->box, &(struct np_enrol_event){.type = NP_EVENT_LEAVE, .leave = NP_LEAVE_RESALE});
    world_pass(world, WORLD_HOUR_MS);
    world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
    world_check(world, one->box.enrol.leave == NP_LEAVE_DONE, "the wish to be done");
    world_check(world, strcmp(name, one->box.state.name) != 0, "another name than %s", name);
    world_check(world, hqcore_holders(world->hq, name) == 0, "%s to be nobody's", name);
    world_check(world, memcmp(&identity, &one->box.state.identity, sizeof identity) != 0, "another identity");
    world_check(world,
                !memory_disk_holds(one->medium, identity.scalar, sizeof identity.scalar) &&
                    !memory_disk_holds(one->medium, tls.scalar, sizeof tls.scalar),
                "nothing of the old keys on the flash");
    world_free(world);
}

/* Another key on demand: the same name, the old certificate until the new one is there, nothing left of the old key two
 * writes later. */
static void key_rotation(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("key-rotation", &one);
    struct np_private_key tls = one->box.state.tls;
    char name[NP_NAME_MAX + 1];
    copy_name(one, name);
    box_enrol(&one->box, &(struct np_enrol_event){.type = NP_EVENT_ROTATE});
    lifecycle_pass_valid(one, 1, "while the key is changed");
    world_check(world, memcmp(&tls, &one->box.state.tls, sizeof tls) != 0, "another key");
    expect_name(one, name);
    lifecycle_pass_valid(one, 60, "after");
    world_check(world, !memory_disk_holds(one->medium, tls.scalar, sizeof tls.scalar),
                "nothing of the old key on the flash after a renewal");
    world_check(world, one->box.csrs == 2, "two CSRs, not %u", one->box.csrs);
    world_free(world);
}

/* The image of a box on a second one (or its flash moved while the old one runs on): both say that they are the same
 * device. Both keep a valid certificate; HQ has one device, no order more than for one, and takes it for a clone;
 * neither asks in a storm. */
static void cloned_box(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("clone", &one);
    char name[NP_NAME_MAX + 1];
    copy_name(one, name);
    struct world_box *two = world_add(world, "NP-0001");
    memory_disk_free(two->medium);
    two->medium = two->box.medium = memory_disk_copy(one->medium);
    world_power_on(two);
    for (int day = 0; day < 120; day++) {
        lifecycle_pass_valid(one, 1, "the first of two");
        world_check(world, box_certificate_valid(&two->box), "the second's to be valid on day %d", day);
    }
    expect_name(one, name);
    expect_name(two, name);
    struct hqcore_counts counts = hqcore_count(world->hq);
    printf("clone: %u and %u requests in 120 days, %lld orders\n", one->box.requests, two->box.requests,
           (long long)counts.orders);
    world_check(world, counts.devices == 1 && counts.orders <= 5, "one device and its orders, not %lld and %lld",
                (long long)counts.devices, (long long)counts.orders);
    world_check(world, one->box.requests < 120 * 30 && two->box.requests < 120 * 30, "no storm: %u and %u",
                one->box.requests, two->box.requests);
    world_check(world, counts.clones == 1, "HQ to see that they are two");
    world_free(world);
}

/* A backup of the flash comes back: older than a renewal, than two, and than another key. The same name; HQ's current
 * certificate within a day. */
static void restored_box(void)
{
    for (int what = 0; what < 3; what++) {
        struct world_box *one;
        struct world *world = lifecycle_begin("restored-box", &one);
        char name[NP_NAME_MAX + 1];
        copy_name(one, name);
        struct memory_disk *backup = memory_disk_copy(one->medium);
        if (what == 2) {
            box_enrol(&one->box, &(struct np_enrol_event){.type = NP_EVENT_ROTATE});
            lifecycle_pass_valid(one, 1, "another key");
        }
        lifecycle_pass_valid(one, what == 1 ? 70 : 33, "before");
        box_kill(&one->box);
        memory_disk_free(one->medium);
        one->medium = one->box.medium = backup;
        world_power_on(one);
        world_pass(world, WORLD_DAY_MS);
        world_check(world, box_certificate_valid(&one->box), "a valid certificate within a day (%d)", what);
        expect_name(one, name);
        lifecycle_pass_valid(one, 60, "after");
        world_check(world, one->box.enrolments == 1, "no second enrolment");
        world_free(world);
    }
}

/* A database is its file and, where SQLite has them, two more. */
static const char *const database_parts[] = {"", "-wal", "-shm"};

void lifecycle_remove_database(const char *name)
{
    char path[64];
    for (size_t i = 0; i < sizeof database_parts / sizeof *database_parts; i++) {
        snprintf(path, sizeof path, "%s%s", name, database_parts[i]);
        unlink(path);
    }
}

void lifecycle_copy_database(const char *from, const char *to)
{
    char path[64];
    lifecycle_remove_database(to);
    for (size_t i = 0; i < 2; i++) { /* the third is made from the second */
        uint8_t *data;
        size_t len;
        snprintf(path, sizeof path, "%s%s", from, database_parts[i]);
        int rc = np_file_read(path, SIZE_MAX / 2, &data, &len);
        if (rc == -ENOENT && i > 0)
            continue;
        snprintf(path, sizeof path, "%s%s", to, database_parts[i]);
        if (rc || np_file_write_atomic(path, data, len, 0600))
            abort();
        free(data);
    }
}

/* HQ comes back from a backup that is older than the box's renewal, than its key, than the box itself; and with nothing
 * at all. The box keeps its name (by the grant, where its row is gone) and always has a valid certificate. */
static void restored_hq(void)
{
    for (int what = 0; what < 4; what++) {
        struct world *world = world_new_on("restored-hq", "hq.db");
        struct world_box *one = world_add(world, "NP-0001");
        char name[NP_NAME_MAX + 1];
        if (what == 2)
            lifecycle_copy_database("hq.db", "backup.db");
        world_power_on(one);
        world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
        copy_name(one, name);
        if (what < 2)
            lifecycle_copy_database("hq.db", "backup.db");
        if (what == 1)
            box_enrol(&one->box, &(struct np_enrol_event){.type = NP_EVENT_ROTATE});
        lifecycle_pass_valid(one, 34, "before");
        if (what == 3)
            lifecycle_remove_database("backup.db");
        world_check(world, hqcore_restore(world->hq, "backup.db"), "a database");
        lifecycle_pass_valid(one, 90, "after");
        expect_name(one, name);
        printf("restored-hq %d: %u requests in 90 days, %u enrolments, %u CSRs\n", what, one->box.requests,
               one->box.enrolments, one->box.csrs);
        world_check(world, one->box.requests < 2000, "no storm: %u requests", one->box.requests);
        world_free(world);
        lifecycle_remove_database("hq.db");
        lifecycle_remove_database("backup.db");
    }
}

/* Requests and answers that get lost, three of ten, for 100 days: nothing expires, nothing is ordered twice. */
static void lossy(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("lossy", &one);
    char name[NP_NAME_MAX + 1];
    copy_name(one, name);
    for (int hour = 0; hour < 100 * 24; hour++) {
        world->lose_requests = box_below(&one->box, 10) < 2;
        world->lose_answers = box_below(&one->box, 10) < 2;
        world_pass(world, WORLD_HOUR_MS);
        world_check(world, box_certificate_valid(&one->box), "a valid certificate in hour %d", hour);
    }
    expect_name(one, name);
    struct hqcore_counts counts = hqcore_count(world->hq);
    world_check(world, counts.devices == 1 && counts.live_orders <= 4, "one device, 4 orders: %lld, %lld",
                (long long)counts.devices, (long long)counts.live_orders);
    world_free(world);
}

/* The box's clock is wrong at its first boot, or becomes wrong while it runs: at 1970, a year back, ten years ahead, in
 * 2039, at the end of all clocks. It enrols and renews as ever, with a handful of questions for the time; and when the
 * clock is right again nothing is left of it. */
static void wrong_clocks(void)
{
    static const int64_t years[] = {-57, -1, 10, 13, 80};
    for (size_t i = 0; i < sizeof years / sizeof *years; i++) {
        for (int running = 0; running < 2; running++) {
            struct world *world = world_new("wrong-clocks");
            struct world_box *one = world_add(world, "NP-0001");
            int64_t off_s = years[i] * 31557600;
            if (!running)
                one->box.off_s = off_s;
            world_power_on(one);
            world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
            one->box.off_s = off_s;
            /* A clock that runs ahead is noticed when HQ is asked next: a day at most. */
            world_pass(world, WORLD_DAY_MS);
            lifecycle_pass_valid(one, 100, "with a wrong clock");
            world_check(world, one->box.requests < 160, "no storm: %u requests", one->box.requests);
            one->box.off_s = 0;
            lifecycle_pass_valid(one, 50, "with a right clock");
            world_power_off(one);
            world_power_on(one);
            lifecycle_pass_valid(one, 50, "after a restart");
            world_check(world, one->box.enrolments == 1 && one->box.csrs == 1, "no second enrolment, no second CSR");
            world_free(world);
        }
    }
}

/* The box's certificate is judged at a time that is right to a day. */
static void expect_right_time(const struct world_box *one, const char *what)
{
    int64_t off_s = box_judged_s(&one->box) - box_true_s(&one->box);
    world_check(one->world, off_s >= -86400 && off_s <= 86400, "the right time %s, not %lld s off", what,
                (long long)off_s);
}

/* A clock that is weeks off, by which HQ's own certificate is valid and the box's ends early: any answer of HQ shows
 * it. One signed time puts it right. */
static void weeks_off(void)
{
    static const int64_t days[] = {-60, -35, 30, 60};
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        for (int running = 0; running < 2; running++) {
            struct world *world = world_new("weeks-off");
            struct world_box *one = world_add(world, "NP-0001");
            int64_t off_s = days[i] * 86400;
            world_pass(world, 90 * WORLD_DAY_MS); /* not so near to the build that nothing lies before it */
            if (!running)
                one->box.off_s = off_s;
            world_power_on(one);
            world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
            one->box.off_s = off_s;
            world_pass(world, WORLD_DAY_MS + WORLD_HOUR_MS);
            expect_right_time(one, "after a day");
            unsigned asked = one->box.times, least = running && days[i] < 0 ? 0 : 1; /* 0: behind what HQ has said */
            world_check(world, asked >= least && asked <= 2, "one or two questions for the time, not %u", asked);
            lifecycle_pass_valid(one, 50, "weeks off");
            world_check(world, one->box.times == asked, "no further question, not %u", one->box.times);
            world_check(world, one->box.requests < 120, "no storm: %u requests", one->box.requests);
            world_free(world);
        }
    }
}

/* HQ signed a wrong time, because its own clock was wrong: once that is right, the box's is by the next day. */
static void wrong_signed_time(void)
{
    struct world *world = world_new("wrong-signed-time");
    struct world_box *one = world_add(world, "NP-0001");
    world_pass(world, 90 * WORLD_DAY_MS);
    world_power_on(one);
    world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
    one->box.off_s = -30 * 86400;
    world->hq_ahead_s = 10 * 86400;
    world_pass(world, WORLD_DAY_MS + WORLD_HOUR_MS);
    world_check(world, one->box.clock.has_signed, "a signed time");
    world->hq_ahead_s = 0;
    world_pass(world, 2 * WORLD_DAY_MS);
    expect_right_time(one, "after HQ's clock was put right");
    world_free(world);
}

/* A box without a clock that was made, or switched off, years ago: HQ's certificate begins after everything that the
 * box knows. HQ's signature of the time is what it starts from. */
static void old_stock(void)
{
    struct world *world = world_new("old-stock");
    struct world_box *one = world_add(world, "NP-0001");
    world_pass(world, 3 * 365 * WORLD_DAY_MS);
    one->box.off_s = -world_true_ms(world) / 1000;
    world_power_on(one);
    world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
    world_power_off(one);
    world_pass(world, 2 * 365 * WORLD_DAY_MS);
    one->box.off_s = -world_true_ms(world) / 1000;
    world_power_on(one);
    world_pass(world, WORLD_HOUR_MS);
    lifecycle_pass_valid(one, 60, "after two years in a drawer");
    world_free(world);
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {{"year", year},
             {"hq-away-14-days", hq_away_14_days},
             {"ca-away-14-days", ca_away_14_days},
             {"long-outages", long_outages},
             {"hand-over", hand_over},
             {"key-rotation", key_rotation},
             {"clone", cloned_box},
             {"restored-box", restored_box},
             {"restored-hq", restored_hq},
             {"lossy", lossy},
             {"wrong-clocks", wrong_clocks},
             {"weeks-off", weeks_off},
             {"wrong-signed-time", wrong_signed_time},
             {"old-stock", old_stock},
             {"chosen-name", lifecycle_chosen_name},
             {"chosen-name-too-late", lifecycle_chosen_name_too_late},
             {"chosen-name-restored", lifecycle_chosen_name_restored},
             {"chosen-name-off", lifecycle_chosen_name_off},
             {"chosen-name-kills", lifecycle_chosen_name_kills}};

int main(int argc, char **argv)
{
    char folder[] = "/tmp/nameplate-lifecycle-XXXXXX";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (argc < 2) {
            puts(parts[i].name);
        } else if (strcmp(argv[1], parts[i].name) == 0) {
            np_log_init("lifecycle", NP_LOG_ERROR);
            if (!mkdtemp(folder) || chdir(folder))
                return 2;
            parts[i].run();
            unlink(":memory:");
            return rmdir(folder) ? 2 : 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
