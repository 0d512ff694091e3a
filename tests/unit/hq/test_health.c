/* When a CA counts as down, when it is tried again, and which orders leave it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hq/acme/health.h"

#define AFTER 600000

static void test_streaks(void **state)
{
    struct np_ca_health health = {0};
    (void)state;
    assert_false(np_ca_is_down(&health, AFTER, INT64_C(1) << 40));
    assert_true(np_ca_down_at(&health, AFTER) == INT64_MAX);
    np_ca_note(&health, NP_ORDER_DO_NEW_ORDER, false, 0); /* at the clock's very beginning, too */
    np_ca_note(&health, NP_ORDER_DO_NEW_ORDER, false, 5000);
    assert_int_equal(np_ca_down_at(&health, AFTER), 1 + AFTER);
    assert_false(np_ca_is_down(&health, AFTER, AFTER));
    assert_true(np_ca_is_down(&health, AFTER, AFTER + 1));
    /* One success ends the streak; the next one begins anew. */
    np_ca_note(&health, NP_ORDER_DO_NEW_ORDER, true, 7000);
    assert_true(np_ca_down_at(&health, AFTER) == INT64_MAX);
    np_ca_note(&health, NP_ORDER_DO_NEW_ORDER, false, 9000);
    assert_int_equal(np_ca_down_at(&health, AFTER), 9000 + AFTER);
    /* It takes orders and answers everything, but issues nothing: that is down. */
    np_ca_note(&health, NP_ORDER_DO_NEW_ORDER, true, 10000);
    np_ca_note(&health, NP_ORDER_DO_FINALIZE, false, 10000);
    for (int64_t now = 11000; now < 10000 + AFTER; now += 1000) {
        np_ca_note(&health, NP_ORDER_DO_NEW_ORDER, true, now);
        np_ca_note(&health, NP_ORDER_DO_FETCH_ORDER, true, now);
        np_ca_note(&health, NP_ORDER_DO_FINALIZE, false, now);
        assert_false(np_ca_is_down(&health, AFTER, now));
    }
    assert_true(np_ca_is_down(&health, AFTER, 10000 + AFTER));
    np_ca_note(&health, NP_ORDER_DO_FINALIZE, true, 10000 + AFTER);
    assert_false(np_ca_is_down(&health, AFTER, 10000 + AFTER));
}

static void test_probes(void **state)
{
    struct np_ca_health health = {0};
    (void)state;
    np_ca_note(&health, NP_ORDER_DO_FINALIZE, false, 1000);
    assert_true(np_ca_may_probe(&health, 1000 + AFTER));
    np_ca_probed(&health, 1000 + AFTER);
    assert_false(np_ca_may_probe(&health, 1000 + AFTER + NP_CA_PROBE_MS - 1));
    assert_true(np_ca_may_probe(&health, 1000 + AFTER + NP_CA_PROBE_MS));
    /* Without an account there is nothing to try with: the client tries that by itself. */
    np_ca_note(&health, NP_CA_ACCOUNT, false, 2000);
    assert_false(np_ca_may_probe(&health, INT64_C(1) << 40));
    np_ca_note(&health, NP_CA_ACCOUNT, true, 3000);
    assert_true(np_ca_may_probe(&health, INT64_C(1) << 40));
}

static void test_who_leaves(void **state)
{
    (void)state;
    for (enum np_order_state order = NP_ORDER_QUEUED; order <= NP_ORDER_DEAD; order++) {
        bool early = order < NP_ORDER_READY, late = order < NP_ORDER_ISSUED;
        assert_int_equal(np_ca_should_leave(order, 0), early);
        assert_int_equal(np_ca_should_leave(order, NP_CA_PATIENCE_MS - 1), early);
        assert_int_equal(np_ca_should_leave(order, NP_CA_PATIENCE_MS), late);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streaks),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_who_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
