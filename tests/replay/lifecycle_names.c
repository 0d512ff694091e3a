/* Names that owners choose, in the long run and in every odd turn (docs/lifecycle.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/replay/lifecycle.h"

#define CHOSEN "kitchen.devices.example"

static void wish(struct world_box *one)
{
    box_enrol(&one->box, &(struct np_enrol_event){.type = NP_EVENT_NAME, .reason = "kitchen"});
}

static bool is_chosen(const struct box *box)
{
    return strcmp(box->state.name, CHOSEN) == 0 && box->state.old[0] && world_is_at_rest(box);
}

static bool is_alone(const struct box *box)
{
    return strcmp(box->state.name, CHOSEN) == 0 && box->state.san_count == 1 && world_is_installed(box);
}

static void copy_name(const struct world_box *one, char out[NP_NAME_MAX + 1])
{
    memcpy(out, one->box.state.name, NP_NAME_MAX + 1);
}

/* HQ calls the one device so, and the box itself. */
static void expect_name(const struct world_box *one, const char *name)
{
    world_check(one->world, strcmp(one->box.state.name, name) == 0, "the name %s, not %s", name, one->box.state.name);
    world_check(one->world, hqcore_holders(one->world->hq, name) == 1, "HQ to know one %s", name);
}

/* From one name to the other and half a year on: always valid, few orders, few writes. */
void lifecycle_chosen_name(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("chosen-name", &one);
    char old[NP_NAME_MAX + 1];
    copy_name(one, old);
    lifecycle_pass_valid(one, 3, "before");
    int64_t end_s = one->box.enrol.not_after_s;
    wish(one);
    world_wait(one, is_chosen, WORLD_HOUR_MS, "the chosen name");
    world_check(world, one->box.enrol.ask == NP_NAME_DONE, "the wish to be granted");
    expect_name(one, CHOSEN);
    world_check(world, strcmp(one->box.state.old, old) == 0 && one->box.state.old_until_s == end_s,
                "the old name until its certificate's end");
    world_check(world, hqcore_shows(world->hq, old) && hqcore_shows(world->hq, CHOSEN), "both names in the zone");
    while (world_true_ms(world) / 1000 < end_s - 7200) {
        lifecycle_pass_valid(one, 1, "with two names");
        if (world_true_ms(world) / 1000 < end_s)
            world_check(world, one->box.state.san_count == 2 && hqcore_shows(world->hq, old), "both, to the end");
    }
    lifecycle_pass_valid(one, 2, "over the end");
    world_check(world, is_alone(&one->box), "a certificate for the chosen name alone");
    world_check(world, !hqcore_shows(world->hq, old) && hqcore_shows(world->hq, CHOSEN), "the old one gone");
    lifecycle_pass_valid(one, 150, "after");
    expect_name(one, CHOSEN);
    struct hqcore_counts counts = hqcore_count(world->hq);
    printf("chosen-name: %lld orders, %u CSRs, %u writes, %u requests in 200 days\n", (long long)counts.orders,
           one->box.csrs, one->box.writes, one->box.requests);
    world_check(world, one->box.csrs == 3 && counts.orders <= 10, "three CSRs and few orders");
    world_free(world);
}

/* The CA does not come back before the present certificate has to be renewed: the name is given up, and the renewal
 * is as if nothing had been asked. */
void lifecycle_chosen_name_too_late(void)
{
    struct world_box *one;
    struct world *world = lifecycle_begin("chosen-name-too-late", &one);
    char old[NP_NAME_MAX + 1];
    copy_name(one, old);
    lifecycle_pass_valid(one, 1, "before");
    hqcore_ca(world->hq, true, HQCORE_LIFE_S);
    wish(one);
    lifecycle_pass_valid(one, 34, "while the CA is away");
    world_check(world, !hqcore_shows(world->hq, CHOSEN), "the name given up");
    expect_name(one, old);
    hqcore_ca(world->hq, false, HQCORE_LIFE_S);
    lifecycle_pass_valid(one, 60, "after");
    expect_name(one, old);
    world_check(world, one->box.state.wanted[0] == 0 && one->box.state.san_count == 1 && !one->box.state.has_next,
                "nothing left of the wish");
    struct hqcore_counts counts = hqcore_count(world->hq);
    printf("chosen-name-too-late: %lld orders, %u CSRs, %u requests\n", (long long)counts.orders, one->box.csrs,
           one->box.requests);
    world_check(world, one->box.requests < 1000, "no storm: %u requests", one->box.requests);
    world_free(world);
}

/* 0: the flash from before the wish. 1: HQ's database from before it. 2: from after the certificate. 3: none at all.
 * The box keeps the chosen name, or has it again within a day, and always has a valid certificate. */
void lifecycle_chosen_name_restored(void)
{
    for (int what = 0; what < 4; what++) {
        struct world *world = world_new_on("chosen-name-restored", "hq.db");
        struct world_box *one = world_add(world, "NP-0001");
        struct memory_disk *flash;
        char old[NP_NAME_MAX + 1];
        world_power_on(one);
        world_wait(one, world_is_installed, WORLD_DAY_MS, "a certificate");
        copy_name(one, old);
        flash = memory_disk_copy(one->medium);
        lifecycle_copy_database("hq.db", "backup.db");
        wish(one);
        world_wait(one, is_chosen, WORLD_HOUR_MS, "the chosen name");
        if (what == 2)
            lifecycle_copy_database("hq.db", "backup.db");
        lifecycle_pass_valid(one, 10, "before");
        if (what == 0) {
            box_kill(&one->box);
            memory_disk_free(one->medium);
            one->medium = one->box.medium = flash;
            world_power_on(one);
        } else {
            memory_disk_free(flash);
            if (what == 3)
                lifecycle_remove_database("backup.db");
            world_check(world, hqcore_restore(world->hq, "backup.db"), "a database");
        }
        lifecycle_pass_valid(one, 2, "after the loss");
        expect_name(one, CHOSEN);
        world_check(world, strcmp(one->box.state.old, old) == 0 && hqcore_shows(world->hq, old),
                    "the old name, as it was (%d)", what);
        lifecycle_pass_valid(one, 36, "later");
        expect_name(one, CHOSEN);
        world_check(world, is_alone(&one->box) && !hqcore_shows(world->hq, old), "the chosen one alone (%d)", what);
        printf("chosen-name-restored %d: %u requests, %u enrolments, %u CSRs\n", what, one->box.requests,
               one->box.enrolments, one->box.csrs);
        world_check(world, one->box.requests < 2000, "no storm: %u requests", one->box.requests);
        world_free(world);
        lifecycle_remove_database("hq.db");
        lifecycle_remove_database("backup.db");
    }
}

/* Off from before the old name's end to after it, for three and for ten weeks. */
void lifecycle_chosen_name_off(void)
{
    for (int weeks = 3; weeks <= 10; weeks += 7) {
        struct world_box *one;
        struct world *world = lifecycle_begin("chosen-name-off", &one);
        char old[NP_NAME_MAX + 1];
        copy_name(one, old);
        wish(one);
        world_wait(one, is_chosen, WORLD_HOUR_MS, "the chosen name");
        lifecycle_pass_valid(one, 35, "before");
        world_power_off(one);
        world_pass(world, weeks * 7 * WORLD_DAY_MS);
        world_check(world, !hqcore_shows(world->hq, old), "the old name gone by itself");
        world_power_on(one);
        world_wait(one, is_alone, WORLD_HOUR_MS, "a certificate for the chosen name alone");
        lifecycle_pass_valid(one, 60, "after");
        expect_name(one, CHOSEN);
        world_free(world);
    }
}

/* The power is cut at each thing that happens to the box on the way; each second time HQ's answer was lost with it. */
void lifecycle_chosen_name_kills(void)
{
    bool more = true;
    for (unsigned cut = 0; more && cut < 60; cut++) {
        struct world_box *one;
        struct world *world = lifecycle_begin("chosen-name-kills", &one);
        world->lose_answers = cut % 2;
        wish(one);
        unsigned before = one->box.requests + one->box.writes;
        int64_t passed_ms = 0;
        more = false;
        while (passed_ms < WORLD_HOUR_MS && !more) {
            world_pass(world, 5);
            passed_ms += 5;
            more = one->box.requests + one->box.writes - before > cut;
        }
        world_power_off(one);
        world_power_on(one);
        lifecycle_pass_valid(one, 1, "after a cut");
        /* HQ had heard, or not: then it is asked again. */
        if (strcmp(one->box.state.name, CHOSEN) != 0 && !one->box.state.wanted[0])
            wish(one);
        lifecycle_pass_valid(one, 1, "after the wish");
        world_check(world, is_chosen(&one->box), "the chosen name after cut %u", cut);
        expect_name(one, CHOSEN);
        struct hqcore_counts counts = hqcore_count(world->hq);
        world_check(world, counts.orders <= 4 && counts.devices == 1, "few orders, not %lld", (long long)counts.orders);
        world_free(world);
    }
}
