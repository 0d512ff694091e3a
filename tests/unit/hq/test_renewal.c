/* When certificates are renewed, what a check-in says, and how long a device was away: the pure decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hq/acme/renewal.h"
#include "hq/api/judge.h"

#define DAY INT64_C(86400)
#define NOW INT64_C(1790000000)

/* For 90 days and for 30 seconds: within 2 % around two thirds, always before a quarter is left, spread over all of
 * it, and the same each time. */
static void test_points(void **state)
{
    (void)state;
    static const int64_t lives_s[] = {30, 60, 6 * 3600, 6 * DAY, 45 * DAY, 90 * DAY};
    for (size_t i = 0; i < sizeof lives_s / sizeof *lives_s; i++) {
        double life_ms = (double)lives_s[i] * 1000;
        struct np_renewal_window window;
        int tenths[10] = {0};
        np_renewal_window_of_life(NOW, NOW + lives_s[i], &window);
        for (int n = 0; n < 500; n++) {
            char device[24];
            snprintf(device, sizeof device, "device-%d", n);
            int64_t point = np_renewal_point(&window, device);
            double part = (double)(point - NOW * 1000) / life_ms;
            assert_true(part >= 0.6465 && part <= 0.6868);
            assert_int_equal(point, np_renewal_point(&window, device));
            assert_false(np_renewal_is_urgent(NOW, NOW + lives_s[i], point));
            tenths[(point - window.from_ms) * 10 / (window.until_ms - window.from_ms)]++;
        }
        for (int k = 0; k < 10; k++)
            assert_in_range(tenths[k], 20, 90);
    }
}

static void test_a_window_of_the_ca(void **state)
{
    (void)state;
    struct np_renewal_window window = {NOW * 1000, NOW * 1000 + 10};
    int64_t point = np_renewal_point(&window, "device");
    assert_in_range(point, NOW * 1000, NOW * 1000 + 9);
    window.until_ms = window.from_ms; /* a moment, or nonsense */
    assert_int_equal(np_renewal_point(&window, "device"), NOW * 1000);
}

static void test_urgent_from_a_quarter_on(void **state)
{
    (void)state;
    assert_false(np_renewal_is_urgent(NOW, NOW + 100, (NOW + 75) * 1000 - 1));
    assert_true(np_renewal_is_urgent(NOW, NOW + 100, (NOW + 75) * 1000));
    assert_true(np_renewal_is_urgent(NOW, NOW + 100, (NOW + 1000) * 1000));
}

static void test_away_without_hqs_own_outages(void **state)
{
    (void)state;
    struct np_store_outage outages[] = {{NOW - 10 * DAY, NOW - 6 * DAY}, {NOW - 50 * DAY, NOW - 39 * DAY}};
    static const struct {
        int64_t seen_s;
        size_t outages;
        int64_t absent_s;
    } rows[] = {
        {NOW - 5 * DAY, 2, 5 * DAY},   /* seen after both */
        {NOW - 8 * DAY, 2, 6 * DAY},   /* in the middle of one */
        {NOW - 20 * DAY, 2, 16 * DAY}, /* before one */
        {NOW - 60 * DAY, 2, 45 * DAY}, /* before both */
        {NOW - 60 * DAY, 0, 60 * DAY}, /* no outages known */
        {NOW + 100, 2, 0},             /* the clock was set back */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(np_renewal_absent_s(rows[i].seen_s, NOW, outages, rows[i].outages), rows[i].absent_s);
}

static struct np_renewal_facts at(double part)
{
    int64_t life_ms = 60 * DAY * 1000;
    return (struct np_renewal_facts){.credential = NP_CREDENTIAL_FACTORY_SECRET,
                                     .order = NP_ORDER_DONE,
                                     .not_before_s = NOW,
                                     .not_after_s = NOW + 60 * DAY,
                                     .now_ms = NOW * 1000 + (int64_t)((double)life_ms * part)};
}

static void test_decisions(void **state)
{
    (void)state;
    struct np_renewal_action action;
    struct np_renewal_facts facts = at(0.67);
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.what, NP_RENEWAL_ORDER);
    assert_int_equal(action.priority, NP_PRIORITY_ROUTINE);
    assert_int_equal(action.due_ms, facts.now_ms + NP_RENEWAL_LOOK_MAX);

    facts = at(0.76);
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.priority, NP_PRIORITY_URGENT);
    facts.credential = NP_CREDENTIAL_OPEN;
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.priority, NP_PRIORITY_OPEN);

    /* Ended certificates of devices that are there are renewed too. */
    facts = at(3);
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.what, NP_RENEWAL_ORDER);

    facts = at(0.67);
    facts.absent_s = 30 * DAY;
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.what, NP_RENEWAL_ORDER);
    facts.absent_s = 31 * DAY;
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.what, NP_RENEWAL_PARK);
    assert_int_equal(action.due_ms, facts.now_ms + NP_RENEWAL_PARK_MS);

    facts = at(0.67);
    facts.device = NP_DEVICE_BLOCKED;
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.what, NP_RENEWAL_PARK);
}

/* One order a device: whatever is not at its end counts. */
static void test_one_order(void **state)
{
    (void)state;
    for (int order = NP_ORDER_QUEUED; order <= NP_ORDER_DEAD; order++) {
        struct np_renewal_action action;
        struct np_renewal_facts facts = at(0.8);
        facts.order = (enum np_order_state)order;
        np_renewal_decide(&facts, &action);
        assert_int_equal(action.what,
                         order == NP_ORDER_DONE || order == NP_ORDER_DEAD ? NP_RENEWAL_ORDER : NP_RENEWAL_LOOK);
        assert_true(action.due_ms > facts.now_ms);
    }
}

/* Failures back off to a day, and never stop. */
static void test_backoff(void **state)
{
    (void)state;
    int64_t last = 0;
    struct np_renewal_action action;
    for (int64_t attempts = 0; attempts < 1000; attempts++) {
        struct np_renewal_facts facts = at(0.7);
        facts.order = NP_ORDER_DEAD;
        facts.attempts = attempts;
        np_renewal_decide(&facts, &action);
        assert_int_equal(action.what, NP_RENEWAL_ORDER);
        int64_t pause = action.due_ms - facts.now_ms;
        assert_true(pause >= last && pause <= NP_RENEWAL_RETRY_MAX);
        last = pause;
    }
    assert_int_equal(last, NP_RENEWAL_RETRY_MAX);
    /* A certificate of a minute is looked at in seconds. */
    struct np_renewal_facts facts = {
        .order = NP_ORDER_QUEUED, .not_before_s = NOW, .not_after_s = NOW + 60, .now_ms = NOW * 1000};
    np_renewal_decide(&facts, &action);
    assert_int_equal(action.due_ms, facts.now_ms + 1500);
}

static void test_order(void **state)
{
    (void)state;
    struct np_order last = {.id = "old",
                            .device = "d",
                            .key = {7},
                            .csr = {1, 2, 3},
                            .csr_len = 3,
                            .authorizations = {{.name = "a.example", .url = "https://x/1", .txt = "t"}},
                            .authorization_count = 1,
                            .state = NP_ORDER_DONE,
                            .order_url = "https://x/2",
                            .certificate_url = "https://x/3",
                            .error = "e",
                            .attempts = 4,
                            .next_try_ms = 9},
                    order;
    np_renewal_order(&last, "new", 3, NP_PRIORITY_URGENT, 1000, &order);
    struct np_order wanted = {.id = "new",
                              .device = "d",
                              .key = {7},
                              .csr = {1, 2, 3},
                              .csr_len = 3,
                              .authorizations = {{.name = "a.example"}},
                              .authorization_count = 1,
                              .priority = NP_PRIORITY_URGENT,
                              .renews = 3,
                              .created_ms = 1000,
                              .updated_ms = 1000};
    assert_string_equal(order.authorizations[0].url, "");
    assert_memory_equal(&order, &wanted, sizeof wanted);
}

/* ---- Check-in ---- */

static void test_next_checkin(void **state)
{
    (void)state;
    static const int64_t intervals_s[] = {60, 3600, DAY, 20 * DAY};
    for (size_t i = 0; i < sizeof intervals_s / sizeof *intervals_s; i++) {
        int64_t interval = intervals_s[i], slot = -1;
        for (int64_t now = NOW; now < NOW + 2 * interval; now += interval / 7 + 1) {
            int64_t next = np_judge_next_checkin("device", now, interval);
            assert_true(next >= interval / 2 && next <= interval + interval / 2);
            if (slot >= 0)
                assert_int_equal((now + next) % interval, slot); /* its own second, whenever it asks */
            slot = (now + next) % interval;
        }
    }
    int64_t first = np_judge_next_checkin("a", NOW, DAY);
    assert_int_not_equal(first, np_judge_next_checkin("b", NOW, DAY));
    assert_true(np_judge_next_checkin("a", NOW, 30 * DAY) <= 30 * DAY);
    assert_true(np_judge_next_checkin("a", NOW, 1) >= 1);
}

static void test_seen(void **state)
{
    (void)state;
    assert_false(np_judge_seen(NOW, NOW));
    assert_false(np_judge_seen(NOW - 3599, NOW));
    assert_true(np_judge_seen(NOW - 3600, NOW));
    assert_true(np_judge_seen(NOW + 1, NOW));
    assert_true(np_judge_seen(0, NOW));
}

/* n and not_after as the device says; -1: nothing installed. Package: 0 none. Times as parts of a life of 100 s that
 * begins at NOW. */
static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int64_t n, not_after, package_n, package_not_after, now;
        int order; /* -1: none */
        enum np_checkin_verdict verdict;
    } rows[] = {
        {"all is well", 1, 100, 1, 100, 10, NP_ORDER_DONE, NP_CHECKIN_KEEP},
        {"renewed", 1, 100, 2, 170, 70, NP_ORDER_DONE, NP_CHECKIN_FETCH},
        {"renewed, the clean-up is under way", 1, 100, 2, 170, 70, NP_ORDER_ISSUED, NP_CHECKIN_FETCH},
        {"renewal under way, time enough", 1, 100, 1, 100, 70, NP_ORDER_QUEUED, NP_CHECKIN_KEEP},
        {"renewal in backoff, time enough", 1, 100, 1, 100, 74, NP_ORDER_BACKOFF, NP_CHECKIN_KEEP},
        {"renewal under way, a quarter left", 1, 100, 1, 100, 75, NP_ORDER_CHALLENGED, NP_CHECKIN_WAIT},
        {"ended, renewal begun", 1, 100, 1, 100, 150, NP_ORDER_QUEUED, NP_CHECKIN_WAIT},
        {"ended, a new one is there", 1, 100, 2, 200, 150, NP_ORDER_DONE, NP_CHECKIN_FETCH},
        {"ended, no renewal could be begun", 1, 100, 1, 100, 150, NP_ORDER_DONE, NP_CHECKIN_SEND_CSR},
        {"nothing installed, package there", -1, 0, 1, 100, 10, NP_ORDER_DONE, NP_CHECKIN_FETCH},
        {"nothing installed, package ended", -1, 0, 1, 100, 150, NP_ORDER_FINALIZING, NP_CHECKIN_WAIT},
        {"first order under way", -1, 0, 0, 0, 10, NP_ORDER_ORDERED, NP_CHECKIN_WAIT},
        {"first order in backoff", -1, 0, 0, 0, 10, NP_ORDER_BACKOFF, NP_CHECKIN_WAIT},
        {"first order given up", -1, 0, 0, 0, 10, NP_ORDER_DEAD, NP_CHECKIN_SEND_CSR},
        {"no CSR yet", -1, 0, 0, 0, 10, -1, NP_CHECKIN_SEND_CSR},
        {"HQ has lost its orders", 1, 100, 0, 0, 10, -1, NP_CHECKIN_SEND_CSR},
        {"renewal given up, time enough", 1, 100, 1, 100, 70, NP_ORDER_DEAD, NP_CHECKIN_KEEP},
        {"renewal given up, a quarter left", 1, 100, 1, 100, 80, NP_ORDER_DEAD, NP_CHECKIN_SEND_CSR},
        {"another, older certificate of the same number", 1, 50, 1, 100, 10, NP_ORDER_DONE, NP_CHECKIN_FETCH},
        {"HQ's database went back, the certificate is good", 5, 100, 1, 90, 10, NP_ORDER_DONE, NP_CHECKIN_KEEP},
        {"a new key's order is under way", 1, 100, 0, 0, 10, NP_ORDER_QUEUED, NP_CHECKIN_KEEP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_judge_facts facts = {.installed = {rows[i].n >= 0, rows[i].n, NOW + rows[i].not_after},
                                       .has_package = rows[i].package_n > 0,
                                       .n = rows[i].package_n,
                                       .not_before_s = NOW + rows[i].package_not_after - 100,
                                       .not_after_s = NOW + rows[i].package_not_after,
                                       .has_order = rows[i].order >= 0,
                                       .order = (enum np_order_state)(rows[i].order >= 0 ? rows[i].order : 0),
                                       .now_s = NOW + rows[i].now};
        enum np_checkin_verdict verdict = np_judge_certificate(&facts);
        if (verdict != rows[i].verdict)
            fail_msg("%s: %d instead of %d", rows[i].what, verdict, rows[i].verdict);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_a_window_of_the_ca),
        cmocka_unit_test(test_urgent_from_a_quarter_on),
        cmocka_unit_test(test_away_without_hqs_own_outages),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_one_order),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_next_checkin),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
