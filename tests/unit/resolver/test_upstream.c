#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver/upstream.h"

#define MS 1000

static void test_rto(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_int_equal(np_upstream_rto(&server), NP_UPSTREAM_RTO_FIRST_MS);
    assert_int_equal(np_upstream_late(&server), NP_UPSTREAM_RTO_FIRST_MS / 4);
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, 200);
    assert_in_range(server.srtt_us, 190, 210);
    assert_int_equal(np_upstream_rto(&server), NP_UPSTREAM_RTO_MIN_MS);
    assert_int_equal(np_upstream_late(&server), NP_UPSTREAM_LATE_MIN_MS);
    assert_int_equal(np_upstream_stream_wait(&server), NP_UPSTREAM_STREAM_MIN_MS);
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, (i % 2 ? 40 : 60) * MS);
    assert_in_range(np_upstream_late(&server), 60, 120); /* it was never later than that */
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, (i % 2 ? 100 : 300) * MS);
    assert_in_range(np_upstream_rto(&server), 400, 800);
    assert_int_equal(np_upstream_late(&server), np_upstream_rto(&server));
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, INT64_MAX);
    assert_int_equal(np_upstream_rto(&server), NP_UPSTREAM_RTO_MAX_MS);
    assert_int_equal(np_upstream_stream_wait(&server), NP_UPSTREAM_STREAM_MAX_MS);
    np_upstream_answered(&server, 1000, -5);
    assert_true(server.srtt_us >= 0);
}

/* One slow answer is not the server's nature. */
static void test_one_slow_answer(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, 10 * MS);
    np_upstream_answered(&server, 1000, 4000 * MS);
    assert_in_range(server.srtt_us, 100 * MS, 140 * MS);
    for (int i = 0; i < 30; i++)
        np_upstream_answered(&server, 1000, 10 * MS);
    assert_in_range(server.srtt_us, 10 * MS, 15 * MS);
}

static void test_health(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    np_upstream_answered(&server, 1000, 10 * MS);
    for (unsigned i = 0; i < NP_UPSTREAM_DEAD_AFTER; i++) {
        assert_false(np_upstream_is_dead(&server));
        np_upstream_failed(&server, 2000 + i, 250);
    }
    assert_true(np_upstream_is_dead(&server));
    assert_int_equal(server.probe_ms, 2000); /* seen again at once */
    /* Later and later, up to a cap, and many failures at once do not push it. */
    int64_t now = 3000, delay = NP_UPSTREAM_PROBE_FIRST_MS;
    for (int i = 0; i < 20; i++) {
        np_upstream_probed(&server, now);
        assert_int_equal(server.probe_ms, now + delay);
        delay = delay * 2 < NP_UPSTREAM_PROBE_CAP_MS ? delay * 2 : NP_UPSTREAM_PROBE_CAP_MS;
        for (int k = 0; k < 100; k++)
            np_upstream_failed(&server, now, 250);
        now = server.probe_ms;
    }
    np_upstream_answered(&server, now, 30 * MS);
    assert_int_equal(server.srtt_us, 30 * MS); /* measured anew */
    assert_false(np_upstream_is_dead(&server));
    assert_int_equal(server.timeouts, 0);
    assert_int_equal(server.last_answer_ms, now);
    np_upstream_failed(&server, now + 5, 0);
    np_upstream_probed(&server, now + 5);
    assert_int_equal(server.probe_ms, now + 5 + NP_UPSTREAM_PROBE_FIRST_MS); /* begins anew */
    /* One that lives is measured without being suspected. */
    np_upstream_lives(&server, now + 10);
    np_upstream_probed(&server, now + 10);
    assert_int_equal(server.timeouts, 0);
    /* One that nobody knows yet is, so that it is not asked with every question. */
    struct np_upstream unknown = {0};
    np_upstream_probed(&unknown, 1000);
    assert_int_equal(unknown.timeouts, 1);
    assert_int_equal(unknown.probe_ms, 1000 + NP_UPSTREAM_PROBE_FIRST_MS);
}

/* Waiting in vain makes a server slower in the ranking than one that answers, if later. */
static void test_loss_costs(void **state)
{
    (void)state;
    struct np_upstream lossy = {0}, steady = {0};
    for (int i = 0; i < 100; i++) {
        np_upstream_answered(&steady, 1000, 40 * MS);
        if (i % 4 == 0)
            np_upstream_failed(&lossy, 1000, 250);
        else
            np_upstream_answered(&lossy, 1000, 5 * MS);
    }
    assert_true(lossy.srtt_us > steady.srtt_us);
    struct np_upstream never = {0};
    np_upstream_failed(&never, 1000, 400);
    assert_false(never.measured);
}

static void test_case(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_true(np_upstream_checks_case(&server, 1000));
    np_upstream_broke_case(&server, 1000);
    np_upstream_kept_case(&server);
    np_upstream_broke_case(&server, 1000);
    assert_true(np_upstream_checks_case(&server, 1000));
    np_upstream_broke_case(&server, 1000);
    assert_false(np_upstream_checks_case(&server, 1000));
    assert_false(np_upstream_checks_case(&server, 1000 + NP_UPSTREAM_FORGIVE_MS - 1));
    assert_true(np_upstream_checks_case(&server, 1000 + NP_UPSTREAM_FORGIVE_MS));
}

static void test_edns(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_true(np_upstream_has_edns(&server, 1000));
    np_upstream_broke_edns(&server, 1000);
    assert_true(np_upstream_has_edns(&server, 1000)); /* once proves nothing */
    np_upstream_kept_edns(&server);
    np_upstream_broke_edns(&server, 1000);
    assert_true(np_upstream_has_edns(&server, 1000));
    np_upstream_broke_edns(&server, 1000);
    assert_false(np_upstream_has_edns(&server, 1001));
    assert_true(np_upstream_has_edns(&server, 1000 + NP_UPSTREAM_FORGIVE_MS));
}

static void test_streams(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_int_equal(np_upstream_pipeline(&server, 1000, 128), 128);
    np_upstream_cut_stream(&server, 1000, 50);
    assert_int_equal(np_upstream_pipeline(&server, 1000, 128), 50);
    assert_int_equal(np_upstream_pipeline(&server, 1000, 16), 16);
    np_upstream_cut_stream(&server, 2000, 100); /* the least that was seen counts */
    assert_int_equal(np_upstream_pipeline(&server, 2000, 128), 50);
    np_upstream_cut_stream(&server, 3000, 0);
    assert_int_equal(np_upstream_pipeline(&server, 3000, 128), 1);
    assert_int_equal(np_upstream_pipeline(&server, 3000 + NP_UPSTREAM_FORGIVE_MS, 128), 128);
    np_upstream_cut_stream(&server, 4000 + NP_UPSTREAM_FORGIVE_MS, 60);
    assert_int_equal(np_upstream_pipeline(&server, 4000 + NP_UPSTREAM_FORGIVE_MS, 128), 60);
    np_upstream_lost_stream(&server, 1000);
    assert_int_equal(server.no_stream_until_ms, 1000 + NP_UPSTREAM_NO_STREAM_MS);
}

static void test_loop(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_true(np_upstream_may_ask(&server, 1000));
    assert_false(np_upstream_echoed(&server, 1000, NP_UPSTREAM_LOOP_BITS - 1));
    np_upstream_resolved(&server); /* an answer: it was an accident */
    assert_false(np_upstream_echoed(&server, 1000, NP_UPSTREAM_LOOP_BITS - 1));
    assert_true(np_upstream_may_ask(&server, 1000));
    struct np_upstream slow = server; /* what came long ago does not add up */
    assert_false(np_upstream_echoed(&slow, 1000 + NP_UPSTREAM_ECHO_MS + 1, 1));
    assert_true(np_upstream_echoed(&server, 1000, 1));
    assert_false(np_upstream_may_ask(&server, 1000 + NP_UPSTREAM_LOOP_MS - 1));
    assert_true(np_upstream_may_ask(&server, 1000 + NP_UPSTREAM_LOOP_MS));
    assert_false(np_upstream_echoed(&server, 70000, 2));
    assert_true(np_upstream_echoed(&server, 70000, NP_UPSTREAM_LOOP_BITS / 2)); /* one more question tells */
    server = (struct np_upstream){.itself = true};
    assert_false(np_upstream_may_ask(&server, 1000));
}

static void test_ping(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_true(np_upstream_wants_ping(&server, 1000, 1400));
    assert_false(np_upstream_wants_ping(&server, 1000, 1400 + NP_UPSTREAM_PING_MS - 1));
    assert_true(np_upstream_wants_ping(&server, 1000, 1400 + NP_UPSTREAM_PING_MS));
    np_upstream_lives(&server, 1800);
    assert_false(np_upstream_wants_ping(&server, 1000, 9000)); /* it is there */
    assert_true(np_upstream_wants_ping(&server, 1800, 9000));  /* that was before this question */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rto),     cmocka_unit_test(test_one_slow_answer),
        cmocka_unit_test(test_health),  cmocka_unit_test(test_loss_costs),
        cmocka_unit_test(test_case),    cmocka_unit_test(test_edns),
        cmocka_unit_test(test_streams), cmocka_unit_test(test_loop),
        cmocka_unit_test(test_ping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
