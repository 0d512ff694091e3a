/* Challenge values: who waits is told once what he waits for is shown, whatever was set meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hq/zone/challenges.h"
#include "resolver/base/error.h"

#define A "nifty-babbage.devices.example"
#define B "odd-turing.devices.example"

static const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                                  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};

struct told {
    unsigned count;
    int rc;
};

static void note(void *ctx, int rc)
{
    struct told *told = ctx;
    told->count++;
    told->rc = rc;
}

static void test_confirmed_by_version(void **state)
{
    (void)state;
    struct np_challenges all = {0};
    struct told first = {0}, second = {0}, other = {0};
    assert_int_equal(np_challenges_set(&all, A, values, 1, note, &first), 0);
    uint64_t sent = np_challenges_find(&all, A)->version;
    assert_int_equal(np_challenges_set(&all, B, values, 1, note, &other), 0);
    assert_int_equal(np_challenges_set(&all, A, values, 2, note, &second), 0);
    assert_int_equal(all.count, 2);
    np_challenges_confirm(&all, A, sent);
    assert_int_equal(first.count, 1);
    assert_int_equal(second.count + other.count, 0);
    np_challenges_confirm(&all, A, sent);
    assert_int_equal(first.count, 1);
    /* A later version holds what the earlier one waited for, too. */
    assert_int_equal(np_challenges_set(&all, A, values, 1, note, &first), 0);
    np_challenges_confirm(&all, A, np_challenges_find(&all, A)->version);
    assert_int_equal(first.count, 2);
    assert_int_equal(second.count, 1);
    assert_int_equal(other.count, 0);
    np_challenges_close(&all);
    assert_int_equal(other.count, 1);
    assert_int_equal(other.rc, NP_E_CLOSED);
}

static void test_forgotten_when_its_removal_is_shown(void **state)
{
    (void)state;
    struct np_challenges all = {0};
    assert_int_equal(np_challenges_set(&all, A, values, 1, NULL, NULL), 0);
    assert_int_equal(np_challenges_set(&all, A, values, 0, NULL, NULL), 0);
    uint64_t removal = np_challenges_find(&all, A)->version;
    assert_int_equal(np_challenges_set(&all, A, values, 1, NULL, NULL), 0);
    np_challenges_confirm(&all, A, removal); /* values came back meanwhile */
    assert_non_null(np_challenges_find(&all, A));
    assert_int_equal(np_challenges_set(&all, A, values, 0, NULL, NULL), 0);
    np_challenges_confirm(&all, A, removal);
    assert_non_null(np_challenges_find(&all, A));
    np_challenges_confirm(&all, A, np_challenges_find(&all, A)->version);
    assert_null(np_challenges_find(&all, A));
    assert_int_equal(all.count, 0);
}

/* Who is told sets the next values at once, as an order does that begins again. */
struct again {
    struct np_challenges *all;
    unsigned count;
};

static void set_again(void *ctx, int rc)
{
    struct again *again = ctx;
    again->count++;
    if (rc == 0 && again->count < 3)
        assert_int_equal(np_challenges_set(again->all, A, values, again->count % 2, set_again, again), 0);
}

static void test_set_from_the_callback(void **state)
{
    (void)state;
    struct np_challenges all = {0};
    struct again again = {&all, 0};
    assert_int_equal(np_challenges_set(&all, A, values, 0, set_again, &again), 0);
    for (unsigned i = 1; i <= 3; i++) {
        np_challenges_confirm(&all, A, np_challenges_find(&all, A)->version);
        assert_int_equal(again.count, i);
    }
    np_challenges_close(&all);
    assert_int_equal(again.count, 3);
}

static void test_limits(void **state)
{
    (void)state;
    struct np_challenges all = {0};
    char name[NP_NAME_MAX + 2];
    char bad[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1] = {"short"};
    assert_int_equal(np_challenges_set(&all, A, values, NP_ZONE_TXT_MAX + 1, NULL, NULL), NP_E_LIMIT);
    assert_int_equal(np_challenges_set(&all, A, (const char(*)[NP_ZONE_TXT_LEN + 1]) bad, 1, NULL, NULL), NP_E_LIMIT);
    memset(bad[0], 'x', sizeof bad[0]); /* without NUL */
    assert_int_equal(np_challenges_set(&all, A, (const char(*)[NP_ZONE_TXT_LEN + 1]) bad, 1, NULL, NULL), NP_E_LIMIT);
    memset(name, 'n', sizeof name);
    assert_int_equal(np_challenges_set(&all, name, values, 1, NULL, NULL), NP_E_LIMIT);
    assert_int_equal(all.count, 0);
    for (unsigned i = 0; i < NP_ZONE_CHALLENGES_MAX; i++) {
        snprintf(name, sizeof name, "n%u.devices.example", i);
        assert_int_equal(np_challenges_set(&all, name, values, 1, NULL, NULL), 0);
    }
    assert_int_equal(np_challenges_set(&all, A, values, 1, NULL, NULL), NP_E_LIMIT);
    assert_int_equal(np_challenges_set(&all, name, values, 2, NULL, NULL), 0);
    np_challenges_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confirmed_by_version),
        cmocka_unit_test(test_forgotten_when_its_removal_is_shown),
        cmocka_unit_test(test_set_from_the_callback),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
