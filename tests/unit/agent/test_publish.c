/* The planner of pushes under a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/network/publish.h"

static uint32_t no_jitter(void *ctx, uint32_t bound)
{
    (void)ctx;
    return bound ? bound - 1 : 0;
}

/* 192.168.1.LAST; 0: no address. */
static struct np_addresses set_of(uint8_t last)
{
    struct np_addresses set = {0};
    if (last)
        set.v4[set.v4_count++] = np_addr_from_bytes((uint8_t[4]){192, 168, 1, last}, 4);
    return set;
}

static void want(struct np_publisher *p, uint8_t last, int64_t now)
{
    struct np_addresses set = set_of(last);
    np_publisher_want(p, &set, now);
}

static struct np_publisher enrolled(uint8_t published, int64_t seq)
{
    struct np_publisher p;
    struct np_addresses set = set_of(published);
    np_publisher_init(&p);
    np_publisher_known(&p, seq, &set);
    return p;
}

static void expect_nothing(struct np_publisher *p, int64_t now)
{
    struct np_addresses_request request;
    assert_false(np_publisher_take(p, now, &request));
}

static void expect_push(struct np_publisher *p, int64_t now, uint8_t last, int64_t seq)
{
    struct np_addresses_request request = {0};
    struct np_addresses set = set_of(last);
    assert_true(np_publisher_due(p, now) <= now);
    assert_true(np_publisher_take(p, now, &request));
    assert_true(np_addresses_equal(&request.addresses, &set));
    assert_int_equal(request.seq, seq);
    assert_int_equal(request.withdraw, last == 0);
    assert_true(np_publisher_due(p, now) == NP_JOB_NEVER); /* one at a time */
    expect_nothing(p, now);
}

static void test_debounce_and_last_wins(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 5);
    assert_true(np_publisher_due(&p, 0) == NP_JOB_NEVER);
    want(&p, 1, 0);
    assert_true(np_publisher_due(&p, 0) == NP_JOB_NEVER); /* HQ has it */
    want(&p, 2, 100);
    assert_int_equal(np_publisher_due(&p, 100), 1100);
    want(&p, 3, 900); /* does not prolong: a box that flaps still says something */
    assert_int_equal(np_publisher_due(&p, 900), 1100);
    expect_nothing(&p, 1099);
    expect_push(&p, 1100, 3, 6);
    np_publisher_done(&p, 1150);
    assert_true(np_publisher_due(&p, 5000) == NP_JOB_NEVER);
    want(&p, 3, 6000);
    assert_true(np_publisher_due(&p, 6000) == NP_JOB_NEVER);
}

static void test_changed_back(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 5);
    want(&p, 2, 0);
    want(&p, 1, 500);
    assert_true(np_publisher_due(&p, 500) == NP_JOB_NEVER);
    expect_nothing(&p, 2000);
    want(&p, 2, 3000);
    assert_int_equal(np_publisher_due(&p, 3000), 4000); /* a debounce of its own */
}

static void test_nothing_before_enrolment(void **state)
{
    struct np_publisher p;
    (void)state;
    np_publisher_init(&p);
    want(&p, 2, 0);
    assert_true(np_publisher_due(&p, 5000) == NP_JOB_NEVER);
    expect_nothing(&p, 5000);
    np_publisher_known(&p, 0, NULL); /* unknown what HQ has: push once */
    expect_push(&p, 5000, 2, 1);
    np_publisher_done(&p, 5001);
    assert_true(np_publisher_due(&p, 9000) == NP_JOB_NEVER);
}

static void test_burst_then_slow(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 0);
    int64_t now = 0;
    for (uint8_t i = 2; i <= 4; i++) { /* three, each as soon as its debounce is over */
        want(&p, i, now);
        now += 1000;
        expect_push(&p, now, i, i - 1);
        np_publisher_done(&p, now);
    }
    want(&p, 5, now);
    int64_t due = np_publisher_due(&p, now);
    assert_int_equal(due, 11000); /* the first push, at 1000, gave its token back 10 s later */
    expect_nothing(&p, due - 1);
    expect_push(&p, due, 5, 4);
    np_publisher_done(&p, due);
    want(&p, 6, due);
    assert_int_equal(np_publisher_due(&p, due), due + 10000);
    want(&p, 7, due + 9000);
    expect_push(&p, due + 10000, 7, 5);
    np_publisher_done(&p, due + 10000);
    /* After 40 quiet seconds three may follow each other again, not more. */
    now = due + 50000;
    for (uint8_t i = 8; i <= 10; i++) {
        want(&p, i, now);
        now += 1000;
        expect_push(&p, now, i, i - 2);
        np_publisher_done(&p, now);
    }
    want(&p, 11, now);
    assert_true(np_publisher_due(&p, now) > now + 1000);
}

/* A minute of a change every 100 ms: 3 at once and one in 10 s, and the last state in the end. */
static void test_flood(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 0);
    unsigned pushes = 0;
    uint8_t last = 0;
    for (int64_t now = 0; now < 80000; now += 100) {
        struct np_addresses_request request;
        if (now < 60000)
            want(&p, (uint8_t)(2 + now / 100 % 200), now);
        if (np_publisher_take(&p, now, &request)) {
            pushes++;
            last = request.addresses.v4[0].bytes[3];
            np_publisher_done(&p, now);
        }
    }
    assert_in_range(pushes, 8, 9);
    assert_int_equal(last, 2 + 599 % 200);
}

static void test_never_empty_by_accident(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 7);
    want(&p, 0, 0);
    assert_true(np_publisher_due(&p, 0) == NP_JOB_NEVER);
    expect_nothing(&p, 100000);
    want(&p, 2, 100000);
    want(&p, 0, 100100); /* gone again before it was pushed: the last real set stands */
    expect_push(&p, 101000, 2, 8);
    np_publisher_done(&p, 101000);
    np_publisher_withdraw(&p, 200000);
    expect_nothing(&p, 200000);
    expect_push(&p, 201000, 0, 9);
    np_publisher_done(&p, 201000);
    assert_true(np_publisher_due(&p, 300000) == NP_JOB_NEVER);
    np_publisher_withdraw(&p, 300000);
    assert_true(np_publisher_due(&p, 300000) == NP_JOB_NEVER);
    want(&p, 2, 400000); /* and back */
    expect_push(&p, 401000, 2, 10);
}

static void test_stale(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 3);
    want(&p, 2, 0);
    expect_push(&p, 1000, 2, 4);
    np_publisher_stale(&p, 41, 1010); /* a box restored from a backup: HQ is far ahead */
    expect_push(&p, 1010, 2, 42);
    np_publisher_stale(&p, 5, 1020); /* a lower one never takes us back */
    expect_push(&p, 1020, 2, 43);
    np_publisher_stale(&p, 43, 1030);
    assert_true(np_publisher_due(&p, 1030) > 1030); /* no fourth at once: no endless duel */
    /* What HQ has after a 409 is unknown: going back to the old set is pushed too. */
    want(&p, 1, 2000);
    expect_push(&p, 20000, 1, 44);
}

static void test_failures(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 3);
    want(&p, 2, 0);
    expect_push(&p, 1000, 2, 4);
    np_publisher_failed(&p, 1100, 0, no_jitter, NULL);
    assert_int_equal(np_publisher_due(&p, 1100), 1100 + NP_PUBLISH_RETRY_MS);
    expect_push(&p, 3100, 2, 4); /* HQ may have taken it: the same request once more */
    np_publisher_failed(&p, 3200, 0, no_jitter, NULL);
    assert_int_equal(np_publisher_due(&p, 3200), 3200 + 2 * NP_PUBLISH_RETRY_MS);
    want(&p, 3, 3300); /* another state: no reason to wait, and another number */
    assert_int_equal(np_publisher_due(&p, 3300), 4300);
    expect_push(&p, 4300, 3, 5);
    np_publisher_failed(&p, 4400, 60000, no_jitter, NULL);
    assert_true(np_publisher_due(&p, 4400) >= 64400);
    want(&p, 4, 5000); /* Retry-After stands whatever changes */
    assert_true(np_publisher_due(&p, 5000) >= 64400);
    expect_push(&p, 80000, 4, 6);
    np_publisher_done(&p, 80001);
    assert_true(np_publisher_due(&p, 80001) == NP_JOB_NEVER);
}

/* The push failed, its fate unknown; the address went back: HQ must hear of it. */
static void test_failed_and_changed_back(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 3);
    want(&p, 2, 0);
    expect_push(&p, 1000, 2, 4);
    np_publisher_failed(&p, 1100, 0, no_jitter, NULL);
    want(&p, 1, 1200);
    expect_push(&p, 2200, 1, 5);
}

static void test_changed_while_sending(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 3);
    want(&p, 2, 0);
    expect_push(&p, 1000, 2, 4);
    want(&p, 3, 1100);
    expect_nothing(&p, 5000);
    np_publisher_done(&p, 5000);
    expect_push(&p, 5000, 3, 5);
    np_publisher_done(&p, 5100);
    np_publisher_known(&p, 90, NULL); /* a session answer: other numbers, other state */
    expect_push(&p, 5200, 3, 91);
}

/* Pushes fail for want of a token; a session mends that, so nothing is waited for but what the server asked for. */
static void test_session_ends_the_backoff(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 3);
    want(&p, 2, 0);
    expect_push(&p, 1000, 2, 4);
    np_publisher_failed(&p, 1100, 0, no_jitter, NULL);
    assert_true(np_publisher_due(&p, 1200) > 1200);
    np_publisher_known(&p, 6, NULL);
    expect_push(&p, 1200, 2, 7);
    np_publisher_failed(&p, 1300, 60000, no_jitter, NULL);
    np_publisher_known(&p, 8, NULL);
    expect_nothing(&p, 61299);
}

static void test_backoff_has_a_cap(void **state)
{
    (void)state;
    struct np_publisher p = enrolled(1, 3);
    int64_t now = 1000;
    want(&p, 2, 0);
    for (int i = 0; i < 30; i++) {
        struct np_addresses_request request;
        now = np_publisher_due(&p, now) > now ? np_publisher_due(&p, now) : now;
        assert_true(np_publisher_take(&p, now, &request));
        assert_int_equal(request.seq, 4);
        np_publisher_failed(&p, now, 0, no_jitter, NULL);
        assert_true(np_publisher_due(&p, now) <= now + NP_PUBLISH_RETRY_CAP);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_debounce_and_last_wins),
        cmocka_unit_test(test_changed_back),
        cmocka_unit_test(test_nothing_before_enrolment),
        cmocka_unit_test(test_burst_then_slow),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_never_empty_by_accident),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_failed_and_changed_back),
        cmocka_unit_test(test_changed_while_sending),
        cmocka_unit_test(test_session_ends_the_backoff),
        cmocka_unit_test(test_backoff_has_a_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
