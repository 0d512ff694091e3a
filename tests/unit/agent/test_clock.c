/* By which time certificates are judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/identity/clock.h"

static void floor_is_the_build(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s();
    assert_true(build > 1700000000);
    np_clock_init(&clock, 0);
    assert_int_equal(np_clock_judge(&clock, 0), build);
    assert_false(np_clock_believed(&clock, build - 1));
    assert_true(np_clock_believed(&clock, build));
    assert_int_equal(np_clock_judge(&clock, build + 5), build + 5);
}

static void only_forward(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s();
    np_clock_init(&clock, build + 1000);
    assert_int_equal(clock.floor_s, build + 1000);
    assert_false(np_clock_raise(&clock, build + 999));
    assert_true(np_clock_raise(&clock, build + 1001));
    assert_int_equal(np_clock_judge(&clock, build), build + 1001);
    assert_false(np_clock_raise(&clock, INT64_MAX));
    assert_false(np_clock_raise(&clock, build + 11 * NP_CLOCK_YEAR_S));
    assert_false(np_clock_raise(&clock, -1));
    np_clock_init(&clock, INT64_MAX);
    assert_int_equal(clock.floor_s, build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(floor_is_the_build), cmocka_unit_test(only_forward)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
