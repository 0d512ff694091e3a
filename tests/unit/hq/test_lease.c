/* Leases: who may take one and when, in the store too, and that a fenced holder writes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "hq/lease.h"
#include "resolver/base/error.h"
#include "tests/unit/hq/database.h"

struct fixture {
    struct database database;
    struct np_store *a, *b; /* two HQs */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    database_make(&f->database);
    f->a = database_open(&f->database);
    f->b = database_open(&f->database);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    np_store_close(f->a);
    np_store_close(f->b);
    database_remove(&f->database);
    free(f);
    return 0;
}

/* A lease is judged by whether it moves, not by anybody's clock. */
static void test_judge(void **state)
{
    (void)state;
    static const struct {
        int64_t now_ms;
        struct np_store_lease now;
        bool may;
    } rows[] = {
        {1000, {"a", 1, 7}, false},
        {1000 + NP_LEASE_TAKE_MS - 1, {"a", 1, 7}, false},
        {1000 + NP_LEASE_TAKE_MS - 1, {"a", 1, 8}, false}, /* alive: all begins anew */
        {1000 + 2 * NP_LEASE_TAKE_MS - 2, {"a", 1, 8}, false},
        {1000 + 2 * NP_LEASE_TAKE_MS - 1, {"a", 1, 8}, true},
        {1000 + 2 * NP_LEASE_TAKE_MS, {"c", 2, 8}, false}, /* another one was faster; the same beat is a new one */
        {1000 + 3 * NP_LEASE_TAKE_MS, {"c", 2, 8}, true},
        {1000 + 3 * NP_LEASE_TAKE_MS, {"", 2, 9}, true}, /* given back: at once */
    };
    struct np_lease_watch watch = {.looked = false};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (np_lease_judge(&watch, &rows[i].now, rows[i].now_ms, rows[i].now_ms) != rows[i].may)
            fail_msg("row %zu", i);
    }
    /* While the database was away its holder could not beat. */
    watch = (struct np_lease_watch){.looked = false};
    const struct np_store_lease same = {"a", 1, 7};
    assert_false(np_lease_judge(&watch, &same, 1000, 1000));
    np_lease_forget(&watch);
    assert_false(np_lease_judge(&watch, &same, 1000 + NP_LEASE_TAKE_MS, 1000 + NP_LEASE_TAKE_MS));
    assert_false(np_lease_judge(&watch, &same, 999 + 2 * NP_LEASE_TAKE_MS, 999 + 2 * NP_LEASE_TAKE_MS));
    assert_true(np_lease_judge(&watch, &same, 1000 + 2 * NP_LEASE_TAKE_MS, 1000 + 2 * NP_LEASE_TAKE_MS));
    watch = (struct np_lease_watch){.looked = false};
    assert_true(np_lease_judge(&watch, &(struct np_store_lease){.fence = 0}, 5, 5)); /* nobody has ever had it */
    assert_true(NP_LEASE_BEAT_MS < NP_LEASE_HOLD_MS && NP_LEASE_HOLD_MS < NP_LEASE_TAKE_MS);
}

/* The database answers slowly, or we are stopped between question and answer: what was seen then may be as young as the
 * answer, and when it was seen last as old as the question. */
static void test_judge_slow_answers(void **state)
{
    (void)state;
    static const int64_t slow_ms = 7000;
    const struct np_store_lease same = {"a", 1, 7}, next = {"a", 1, 8};
    struct np_lease_watch watch = {.looked = false};
    /* The beat may have been made a moment before the answer: its holder works for NP_LEASE_HOLD_MS from then on. */
    assert_false(np_lease_judge(&watch, &same, 1000, 1000 + slow_ms));
    assert_false(np_lease_judge(&watch, &same, 1000 + NP_LEASE_TAKE_MS, 1001 + NP_LEASE_TAKE_MS));
    assert_false(np_lease_judge(&watch, &same, 999 + slow_ms + NP_LEASE_TAKE_MS, 1000 + slow_ms + NP_LEASE_TAKE_MS));
    assert_true(np_lease_judge(&watch, &same, 1000 + slow_ms + NP_LEASE_TAKE_MS, 1001 + slow_ms + NP_LEASE_TAKE_MS));
    /* A last look that takes long: the row was so when it was read, perhaps long before the answer. */
    watch = (struct np_lease_watch){.looked = false};
    assert_false(np_lease_judge(&watch, &same, 1000, 1001));
    assert_false(np_lease_judge(&watch, &same, 1000 + NP_LEASE_TAKE_MS, 1000 + slow_ms + NP_LEASE_TAKE_MS));
    assert_false(np_lease_judge(&watch, &next, 1000 + slow_ms + NP_LEASE_TAKE_MS, 1001 + slow_ms + NP_LEASE_TAKE_MS));
}

static void test_take_beat_release(void **state)
{
    struct fixture *f = *state;
    struct np_store_lease seen, later;
    int64_t fence = 0, other = 0, beat = 0;
    assert_int_equal(np_store_lease_get(f->a, "work", &seen), 0);
    assert_int_equal(seen.fence, 0);
    assert_int_equal(np_store_lease_beat(f->a, "work", 0, &beat), NP_E_STALE);
    assert_int_equal(np_store_lease_take(f->a, "work", "a", &seen, &fence), 0);
    assert_int_equal(fence, 1);
    assert_int_equal(np_store_commit(f->a), 0);
    /* Both have seen it free; the second one comes too late. */
    assert_int_equal(np_store_lease_take(f->b, "work", "b", &seen, &other), NP_E_STALE);
    assert_int_equal(np_store_commit(f->b), 0);
    assert_int_equal(np_store_lease_get(f->b, "work", &seen), 0);
    assert_string_equal(seen.holder, "a");
    assert_int_equal(np_store_lease_beat(f->a, "work", fence, &beat), 0);
    assert_int_equal(beat, 1);
    assert_int_equal(np_store_commit(f->a), 0);
    assert_int_equal(np_store_lease_take(f->b, "work", "b", &seen, &other), NP_E_STALE); /* it lives */
    assert_int_equal(np_store_commit(f->b), 0);
    assert_int_equal(np_store_lease_release(f->a, "work", fence), 0);
    assert_int_equal(np_store_commit(f->a), 0);
    assert_int_equal(np_store_lease_get(f->b, "work", &later), 0);
    assert_string_equal(later.holder, "");
    assert_int_equal(np_store_lease_take(f->b, "work", "b", &later, &other), 0);
    assert_int_equal(other, 2);
    assert_int_equal(np_store_commit(f->b), 0);
    assert_int_equal(np_store_lease_beat(f->a, "work", fence, &beat), NP_E_STALE);
    assert_int_equal(np_store_lease_release(f->a, "work", fence), NP_E_STALE);
}

/* Who was stopped for too long finds every write refused, until he gives the work up. */
static void test_fence(void **state)
{
    struct fixture *f = *state;
    struct np_store_lease seen;
    int64_t fence = 0, other = 0, serial = 0;
    assert_int_equal(np_store_lease_get(f->a, "work", &seen), 0);
    assert_int_equal(np_store_lease_take(f->a, "work", "a", &seen, &fence), 0);
    assert_int_equal(np_store_commit(f->a), 0);
    np_store_fence(f->a, "work", fence);
    assert_int_equal(np_store_name_mark(f->a, "a-a.devices.example"), 0);
    assert_int_equal(np_store_commit(f->a), 0);
    assert_int_equal(np_store_lease_get(f->b, "work", &seen), 0);
    assert_int_equal(np_store_lease_take(f->b, "work", "b", &seen, &other), 0);
    assert_int_equal(np_store_commit(f->b), 0);
    assert_false(np_store_fenced(f->a));
    assert_int_equal(np_store_name_mark(f->a, "b-b.devices.example"), -EAGAIN);
    assert_true(np_store_fenced(f->a));
    assert_non_null(strstr(np_store_error(f->a), "another HQ"));
    assert_int_equal(np_store_lock(f->a), -EAGAIN);
    assert_int_equal(np_store_commit(f->a), 0);
    struct np_zone_name name;
    assert_int_equal(np_store_name_get(f->b, "b-b.devices.example", &name), 0);
    assert_int_equal(name.version, 0);
    assert_int_equal(np_store_name_mark(f->b, "b-b.devices.example"), 0); /* without a fence: any HQ's requests */
    assert_int_equal(np_store_commit(f->b), 0);
    np_store_fence(f->a, "work", 0);
    assert_int_equal(np_store_name_mark(f->a, "c-c.devices.example"), 0);
    assert_int_equal(np_store_commit(f->a), 0);
    assert_int_equal(np_store_zone_serial(f->b, &serial), 0);
    assert_true(serial > 0);
}

/* An HQ that stands still in the middle of a transaction holds the others up for a moment only, and loses it. */
static void test_halt_in_transaction(void **state)
{
    struct fixture *f = *state;
    struct np_zone_name name;
    if (!database_is_server())
        return; /* SQLite has one HQ only */
    assert_int_equal(np_store_name_mark(f->a, "a-a.devices.example"), 0);
    assert_int_equal(np_store_name_mark(f->b, "b-b.devices.example"), 0); /* waits until the server has ended a's */
    assert_int_equal(np_store_commit(f->b), 0);
    assert_int_equal(np_store_commit(f->a), -EAGAIN);
    assert_int_equal(np_store_name_get(f->a, "a-a.devices.example", &name), 0);
    assert_int_equal(name.version, 0);
    assert_int_equal(np_store_name_mark(f->a, "a-a.devices.example"), 0);
    assert_int_equal(np_store_commit(f->a), 0);
}

/* What one HQ commits the other one hears of; what it undoes, not. */
static void test_heard(void **state)
{
    struct fixture *f = *state;
    if (!database_is_server())
        return; /* SQLite has one HQ only */
    np_store_heard(f->a);
    np_store_heard(f->b);
    assert_int_equal(np_store_name_mark(f->a, "a-a.devices.example"), 0);
    unsigned heard = 0;
    assert_int_equal(np_store_heard(f->b), 0);
    assert_int_equal(np_store_commit(f->a), 0);
    for (int i = 0; i < 10000 && !heard; i++) {
        struct np_store_lease any;
        assert_int_equal(np_store_lease_get(f->b, "work", &any), 0); /* a round to the server */
        heard |= np_store_heard(f->b);
    }
    assert_int_equal(heard, NP_STORE_NAMES_CHANGED);
    assert_int_equal(np_store_heard(f->a), 0); /* not its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_judge_slow_answers),
        cmocka_unit_test_setup_teardown(test_take_beat_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_halt_in_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heard, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
