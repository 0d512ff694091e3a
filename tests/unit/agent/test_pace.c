/* How many handshakes may begin: over all, and of one client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/front/pace.h"

static struct np_front_pace pace;

static struct np_addr client(const char *text)
{
    struct np_addr addr;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    return addr;
}

static unsigned take(const char *text, unsigned tries, int64_t now_ms)
{
    struct np_addr addr = client(text);
    unsigned taken = 0;
    for (unsigned i = 0; i < tries; i++)
        taken += np_front_pace_take(&pace, &addr, now_ms);
    return taken;
}

static void test_one_client_has_a_quarter(void **state)
{
    (void)state;
    np_front_pace_init(&pace, 100, 1000);
    assert_int_equal(take("10.0.0.1", 1000, 1000), 25);
    assert_int_equal(take("10.0.0.1", 1000, 1000), 0);
    assert_int_equal(take("10.0.0.1", 1000, 1040), 1); /* 25 a second */
    assert_int_equal(take("10.0.0.1", 1000, 2040), 25);
    assert_int_equal(take("10.0.0.1", 1000, 1000000), 25); /* no more is saved up */
}

static void test_all_together(void **state)
{
    unsigned taken = 0;
    char text[32];
    (void)state;
    np_front_pace_init(&pace, 100, 0);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "10.0.0.%d", i);
        taken += take(text, 1000, 5);
    }
    assert_int_equal(taken, 100);
    assert_int_equal(take("10.0.1.1", 10, 1005), 10); /* later there is some for others */
}

static void test_a_slow_processor_still_serves_a_browser(void **state)
{
    (void)state;
    np_front_pace_init(&pace, 4, 0);
    assert_int_equal(take("10.0.0.1", 1000, 0), NP_FRONT_PACE_BURST);
    assert_int_equal(take("10.0.0.1", 1000, 999), 0);
    assert_int_equal(take("10.0.0.1", 1000, 1000), 1); /* a quarter of four */
    np_front_pace_init(&pace, 1, 0);
    assert_int_equal(take("10.0.0.1", 1000, 0), NP_FRONT_PACE_BURST);
    assert_int_equal(take("10.0.0.1", 1000, 1000), 1);
}

static void test_a_network_is_one_client(void **state)
{
    (void)state;
    np_front_pace_init(&pace, 100, 0);
    assert_int_equal(take("fd42::1", 20, 0) + take("fd42::ffff", 20, 0), 25);
    assert_int_equal(take("fd42:0:0:1::1", 20, 0), 20);
}

/* The table is bounded; who comes back after many others has a full bucket, which the one over all still limits. */
static void test_many_clients(void **state)
{
    char text[32];
    (void)state;
    np_front_pace_init(&pace, 10000, 0);
    assert_int_equal(take("10.0.0.1", 2600, 0), 2500);
    for (int i = 0; i < 3 * NP_FRONT_PACE_CLIENTS; i++) {
        snprintf(text, sizeof text, "10.1.0.%d", i);
        assert_int_equal(take(text, 1, i), 1);
    }
    assert_int_equal(take("10.0.0.1", 1, 3 * NP_FRONT_PACE_CLIENTS), 1);
}

static void test_a_clock_that_stands_still_or_goes_back(void **state)
{
    (void)state;
    np_front_pace_init(&pace, 100, 1000);
    assert_int_equal(take("10.0.0.1", 10, 500), 10);
    assert_int_equal(take("10.0.0.1", 100, INT64_C(1) << 60), 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_client_has_a_quarter),
        cmocka_unit_test(test_all_together),
        cmocka_unit_test(test_a_slow_processor_still_serves_a_browser),
        cmocka_unit_test(test_a_network_is_one_client),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_a_clock_that_stands_still_or_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
