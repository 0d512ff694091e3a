/* agent/events: the ring, and the steps of a change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/events.h"

static struct np_events events;

static int setup(void **state)
{
    (void)state;
    memset(&events, 0, sizeof events);
    return 0;
}

static void test_empty(void **state)
{
    (void)state;
    assert_null(np_events_after(&events, 0));
    assert_null(np_events_after(&events, 7));
    assert_false(np_events_step(&events, NP_HAPPENED_ANSWERED, 1, 1, "no change yet"));
    assert_null(np_events_after(&events, 0));
}

static void test_a_change(void **state)
{
    static const struct {
        enum np_happening what;
        int64_t took_ms;
    } steps[] = {
        {NP_HAPPENED_SEEN, 0}, {NP_HAPPENED_ANSWERED, 30}, {NP_HAPPENED_PUSHED, 1100}, {NP_HAPPENED_VISIBLE, 1300}};
    uint64_t number = 0;
    (void)state;
    np_events_change(&events, 5000, 100, "eth0: 192.168.1.9");
    for (size_t i = 1; i < 4; i++)
        assert_true(np_events_step(&events, steps[i].what, 5000 + steps[i].took_ms, 101, "192.168.1.9"));
    assert_false(np_events_step(&events, NP_HAPPENED_ANSWERED, 9000, 101, "twice"));
    for (size_t i = 0; i < 4; i++) {
        const struct np_event *event = np_events_after(&events, number);
        assert_non_null(event);
        assert_int_equal(event->what, steps[i].what);
        assert_int_equal(event->took_ms, steps[i].took_ms);
        assert_int_equal(event->change, 1);
        assert_int_equal(event->number, ++number);
    }
    assert_null(np_events_after(&events, number));
}

/* A push that no change led to (HQ had lost it) is told, and belongs to none. */
static void test_push_without_a_change(void **state)
{
    (void)state;
    np_events_change(&events, 5000, 100, "a");
    assert_true(np_events_step(&events, NP_HAPPENED_PUSHED, 6000, 101, "a"));
    assert_true(np_events_step(&events, NP_HAPPENED_VISIBLE, 6100, 101, "a"));
    assert_true(np_events_step(&events, NP_HAPPENED_PUSHED, 3600000, 4000, "a again"));
    const struct np_event *event = np_events_after(&events, 3);
    assert_int_equal(event->what, NP_HAPPENED_PUSHED);
    assert_int_equal(event->change, 0);
    assert_int_equal(event->took_ms, -1);
    np_events_change(&events, 3700000, 4100, "b");
    assert_true(np_events_step(&events, NP_HAPPENED_ANSWERED, 3700010, 4100, "b"));
    assert_int_equal(np_events_after(&events, 5)->change, 2);
}

static void test_ring(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3 * NP_EVENTS_MAX + 7; i++) {
        np_events_add(&events, NP_HAPPENED_HQ, i, i, "x");
        assert_int_equal(np_events_after(&events, i - 1)->number, i);
        assert_null(np_events_after(&events, i));
    }
    unsigned count = 0;
    uint64_t at = 0;
    for (const struct np_event *event; (event = np_events_after(&events, at)); at = event->number, count++)
        assert_true(count == 0 || event->number == at + 1);
    assert_int_equal(count, NP_EVENTS_MAX);
    assert_int_equal(at, 3 * NP_EVENTS_MAX + 7);
}

static void test_text(void **state)
{
    char text[2 * NP_EVENT_TEXT_MAX];
    (void)state;
    np_events_add(&events, NP_HAPPENED_HQ, 0, 0, "a\nb\033[31m\177");
    assert_string_equal(np_events_after(&events, 0)->text, "a?b?[31m?");
    memset(text, 'x', sizeof text);
    memcpy(text + NP_EVENT_TEXT_MAX - 2, "\303\274", 2); /* a letter of two bytes across the cut */
    text[sizeof text - 1] = 0;
    np_events_add(&events, NP_HAPPENED_HQ, 0, 0, text);
    assert_int_equal(strlen(np_events_after(&events, 1)->text), NP_EVENT_TEXT_MAX - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, setup),
        cmocka_unit_test_setup(test_a_change, setup),
        cmocka_unit_test_setup(test_push_without_a_change, setup),
        cmocka_unit_test_setup(test_ring, setup),
        cmocka_unit_test_setup(test_text, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
