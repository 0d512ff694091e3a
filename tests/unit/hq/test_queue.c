/* Lanes in their order, and the time that a device is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hq/acme/queue.h"

#define NOW_MS INT64_C(1790000000000)

static void test_lanes(void **state)
{
    static const struct np_lane wanted[NP_QUEUE_LANES] = {
        {NP_PRIORITY_URGENT, false},  {NP_PRIORITY_URGENT, true},  {NP_PRIORITY_NEW, false},  {NP_PRIORITY_NEW, true},
        {NP_PRIORITY_ROUTINE, false}, {NP_PRIORITY_ROUTINE, true}, {NP_PRIORITY_OPEN, false}, {NP_PRIORITY_OPEN, true}};
    (void)state;
    for (size_t i = 0; i < NP_QUEUE_LANES; i++) {
        struct np_order order = {.priority = wanted[i].priority, .renews = wanted[i].fresh ? 0 : 7};
        struct np_lane lane = np_queue_lane(i), own = np_order_lane(&order);
        assert_int_equal(lane.priority, wanted[i].priority);
        assert_int_equal(lane.fresh, wanted[i].fresh);
        assert_int_equal(own.priority, lane.priority);
        assert_int_equal(own.fresh, lane.fresh);
    }
}

static void test_eta(void **state)
{
    static const struct {
        enum np_order_state state;
        bool begun;
        int64_t position, free, next_try_s, eta_s;
    } rows[] = {
        {NP_ORDER_QUEUED, false, 0, 64, 0, 2},     /* at once: what an order takes */
        {NP_ORDER_QUEUED, false, 63, 64, 0, 2},    /* still room for it */
        {NP_ORDER_QUEUED, false, 64, 64, 0, 3},    /* the next place is free in a 64th of that */
        {NP_ORDER_QUEUED, false, 0, 0, 0, 3},      /* no room */
        {NP_ORDER_QUEUED, false, 9999, 0, 0, 315}, /* 10,000 in 64 places of 2 s each, and its own 2 s */
        {NP_ORDER_QUEUED, true, 0, 0, 0, 2},       /* begun: its place in the queue means nothing any more */
        {NP_ORDER_TXT_VISIBLE, true, 9999, 0, 0, 2}, {NP_ORDER_BACKOFF, false, 0, 64, 30, 32},
        {NP_ORDER_BACKOFF, false, 0, 64, -30, 2}, /* due, not taken up yet */
        {NP_ORDER_BACKOFF, false, 6399, 0, 30, 232}, {NP_ORDER_DONE, true, 0, 64, 0, 0},
        {NP_ORDER_DEAD, false, 0, 64, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_outlook outlook = {.typical_ms = 2000, .places = 64, .free = rows[i].free};
        struct np_order order = {
            .state = rows[i].state, .begun = rows[i].begun, .next_try_ms = NOW_MS + rows[i].next_try_s * 1000};
        int64_t eta_s = np_outlook_eta_s(&outlook, &order, &(struct np_queue_place){rows[i].position, 0}, NOW_MS);
        if (eta_s != rows[i].eta_s)
            fail_msg("row %zu: %lld", i, (long long)eta_s);
    }
}

/* The CA's limits: 10 in 100 s with half of them kept, so five at once and then one each 10 s. Renewals wait for none
 * of it, and everybody for a pause. */
static void test_eta_under_limits(void **state)
{
    const struct np_limits limits = {.rules = {[NP_LIMIT_ORDERS] = {10, 100000}}, .renewals_exempt = true};
    struct np_outlook outlook = {.typical_ms = 1000, .places = 64, .free = 64, .limits = &limits};
    struct np_order fresh = {.state = NP_ORDER_QUEUED, .priority = NP_PRIORITY_NEW}, open = fresh, renewal = fresh;
    (void)state;
    open.priority = NP_PRIORITY_OPEN;
    renewal.renews = 1;
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){4, 4}, NOW_MS), 1);
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){5, 5}, NOW_MS), 11);
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){7, 7}, NOW_MS), 31);
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){7, 4}, NOW_MS), 1);
    assert_int_equal(np_outlook_eta_s(&outlook, &open, &(struct np_queue_place){3, 3}, NOW_MS), 11);
    assert_int_equal(np_outlook_eta_s(&outlook, &renewal, &(struct np_queue_place){7, 7}, NOW_MS), 1);
    outlook.shared.full_ms[NP_LIMIT_ORDERS] = NOW_MS + 100000; /* empty */
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){0, 0}, NOW_MS), 61);
    fresh.priority = NP_PRIORITY_URGENT;
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){0, 0}, NOW_MS), 11);
    /* In a backoff the bucket fills meanwhile. */
    fresh.state = NP_ORDER_BACKOFF;
    fresh.next_try_ms = NOW_MS + 50000;
    assert_int_equal(np_outlook_eta_s(&outlook, &fresh, &(struct np_queue_place){0, 0}, NOW_MS), 51);
    outlook.shared.full_ms[NP_LIMIT_PAUSE] = NOW_MS + 7000;
    assert_int_equal(np_outlook_eta_s(&outlook, &renewal, &(struct np_queue_place){7, 7}, NOW_MS), 8);
}

/* The average follows what is measured, and never becomes nothing. */
static void test_pace(void **state)
{
    struct np_outlook outlook;
    struct np_order order = {.state = NP_ORDER_QUEUED};
    const struct np_queue_place none = {0, 0};
    (void)state;
    np_outlook_init(&outlook, 64);
    assert_int_equal(np_outlook_eta_s(&outlook, &order, &none, NOW_MS), 1);
    for (int i = 0; i < 50; i++)
        np_outlook_note(&outlook, 30000);
    assert_in_range(outlook.typical_ms, 29000, 30000);
    for (int i = 0; i < 200; i++)
        np_outlook_note(&outlook, 0);
    assert_in_range(outlook.typical_ms, 1, 10);
    assert_int_equal(np_outlook_eta_s(&outlook, &order, &none, NOW_MS), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_eta),
        cmocka_unit_test(test_eta_under_limits),
        cmocka_unit_test(test_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
