/* The colours of status: a box that is well, and one thing after the other that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/level.h"

#define DAY 86400LL

static struct np_level_facts well(void)
{
    return (struct np_level_facts){.state = NP_ENROL_INSTALLED,
                                   .silent_s = 3600,
                                   .has_name = true,
                                   .has_certificate = true,
                                   .valid = true,
                                   .left_s = 30 * DAY,
                                   .life_s = 45 * DAY,
                                   .clock_right = true,
                                   .has_address = true,
                                   .listeners = 8,
                                   .verdict = NP_VERDICT_FINE};
}

/* A box that has never been enrolled. */
static struct np_level_facts fresh(enum np_enrol_state state)
{
    struct np_level_facts facts = well();
    facts.state = state;
    facts.has_name = facts.has_certificate = facts.valid = false;
    facts.left_s = facts.life_s = 0;
    facts.verdict = NP_VERDICT_NO_NAME;
    return facts;
}

static struct np_levels judge(const struct np_level_facts *facts)
{
    struct np_levels levels;
    np_level_judge(facts, &levels);
    return levels;
}

#define CHECK(facts, part, wanted)                                                                                     \
    do {                                                                                                               \
        struct np_levels levels = judge(&(facts));                                                                     \
        assert_string_equal(np_level_name(levels.part), wanted);                                                       \
        assert_string_equal(np_level_name(levels.whole), wanted);                                                      \
    } while (0)

static void all_is_well(void **state)
{
    (void)state;
    struct np_level_facts facts = well(); /* also of a box that HQ takes for a clone: it is told to HQ's operator */
    struct np_levels levels = judge(&facts);
#define IS_GREEN(part) assert_int_equal(levels.part, NP_LEVEL_GREEN);
    NP_LEVEL_PART_MAP(IS_GREEN)
    assert_int_equal(levels.whole, NP_LEVEL_GREEN);
}

/* However HQ fails (refused connection, 404, a stranger's 410, 429, 503, garbage, 100 MB, a portal): its last request
 * went wrong. How long that has been so makes the difference. */
static void hq_away(void **state)
{
    (void)state;
    static const struct {
        int64_t silent_s;
        bool failing;
        const char *wanted;
    } table[] = {{60, false, "green"},          {60, true, "yellow"},       {DAY, true, "yellow"},
                 {2 * DAY - 1, false, "green"}, {2 * DAY, false, "yellow"}, {14 * DAY - 1, true, "yellow"},
                 {14 * DAY, true, "red"},       {14 * DAY, false, "red"},   {400 * DAY, true, "red"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct np_level_facts facts = well();
        facts.state = table[i].failing ? NP_ENROL_BACKOFF : NP_ENROL_INSTALLED;
        facts.silent_s = table[i].silent_s;
        facts.failing = table[i].failing;
        CHECK(facts, hq, table[i].wanted);
    }
}

/* HQ wants no more requests (blocked, or 410 retired in its own words), or does not take the credential. */
static void turned_away(void **state)
{
    (void)state;
    static const enum np_enrol_state states[] = {NP_ENROL_BLOCKED, NP_ENROL_REFUSED};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct np_level_facts facts = well();
        facts.state = states[i];
        CHECK(facts, hq, "red");
        assert_int_equal(judge(&facts).certificate, NP_LEVEL_GREEN); /* it serves on */
        facts = fresh(states[i]);
        CHECK(facts, name, "red");
        CHECK(facts, certificate, "red");
    }
}

static void certificates(void **state)
{
    (void)state;
    static const struct {
        int64_t left_s, life_s;
        bool valid;
        const char *wanted;
    } table[] = {{7 * DAY, 45 * DAY, true, "green"},
                 {7 * DAY - 1, 45 * DAY, true, "yellow"},
                 {1, 45 * DAY, true, "yellow"},
                 {-1, 45 * DAY, false, "red"},
                 {30 * DAY, 45 * DAY, false, "red"}, /* for another name, or not valid yet */
                 {3 * DAY, 6 * DAY, true, "green"},  /* of six days: its last quarter */
                 {36 * 3600 - 1, 6 * DAY, true, "yellow"},
                 {6 * DAY, 90 * DAY, true, "yellow"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct np_level_facts facts = well();
        facts.left_s = table[i].left_s;
        facts.life_s = table[i].life_s;
        facts.valid = table[i].valid;
        CHECK(facts, certificate, table[i].wanted);
    }
}

/* On its way to its first certificate. */
static void first_boot(void **state)
{
    (void)state;
    static const enum np_enrol_state states[] = {NP_ENROL_STARTING, NP_ENROL_WAITING_ENTROPY, NP_ENROL_WAITING_ADDRESS,
                                                 NP_ENROL_ENROLLING};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct np_level_facts facts = fresh(states[i]);
        CHECK(facts, name, "yellow");
    }
    struct np_level_facts facts = fresh(NP_ENROL_WAITING_PACKAGE);
    facts.has_name = true;
    facts.verdict = NP_VERDICT_NO_CERTIFICATE;
    CHECK(facts, certificate, "yellow");
}

static void the_box_itself(void **state)
{
    (void)state;
    struct np_level_facts facts = well();
    facts.clock_right = false;
    CHECK(facts, clock, "yellow");
    facts = well();
    facts.has_address = false;
    CHECK(facts, addresses, "red");
    facts = well();
    facts.starting = true;
    CHECK(facts, processes, "yellow");
    facts = well();
    facts.listeners_failed = 1;
    CHECK(facts, listeners, "yellow");
    facts.listeners_failed = facts.listeners;
    CHECK(facts, listeners, "red");
    facts = well();
    facts.unstored = true;
    CHECK(facts, state_folder, "yellow");
    facts = well();
    facts.damaged = true;
    CHECK(facts, state_folder, "yellow");
}

/* What the doctor finds on the way between the home and the name. */
static void verdicts(void **state)
{
    (void)state;
    static const char *const wanted[NP_VERDICT_KINDS] = {
        [NP_VERDICT_UNKNOWN] = "green",        [NP_VERDICT_FINE] = "green",    [NP_VERDICT_NO_NAME] = "green",
        [NP_VERDICT_NO_CERTIFICATE] = "green", [NP_VERDICT_EXPIRED] = "green", [NP_VERDICT_OFFLINE] = "yellow",
        [NP_VERDICT_FILTERED] = "yellow",      [NP_VERDICT_STALE] = "yellow",  [NP_VERDICT_HIJACKED] = "red",
        [NP_VERDICT_INTERCEPTED] = "yellow",   [NP_VERDICT_CAPTIVE] = "yellow"};
    for (int kind = 0; kind < NP_VERDICT_KINDS; kind++) {
        struct np_level_facts facts = well();
        facts.verdict = (enum np_verdict_kind)kind;
        CHECK(facts, doctor, wanted[kind]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_is_well), cmocka_unit_test(hq_away),
                                       cmocka_unit_test(turned_away), cmocka_unit_test(certificates),
                                       cmocka_unit_test(first_boot),  cmocka_unit_test(the_box_itself),
                                       cmocka_unit_test(verdicts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
