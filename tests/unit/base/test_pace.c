#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolver/base/pace.h"

static void test_burst(void **state)
{
    (void)state;
    struct np_pace pace;
    uint64_t missed = 99;
    np_pace_init(&pace, 3, 1000, 5000);
    for (int i = 0; i < 3; i++) {
        assert_true(np_pace_take(&pace, 5000, &missed));
        assert_int_equal(missed, 0);
    }
    missed = 99;
    for (int i = 0; i < 7; i++)
        assert_false(np_pace_take(&pace, 5999, &missed));
    assert_int_equal(missed, 99);
    assert_true(np_pace_take(&pace, 6000, &missed));
    assert_int_equal(missed, 7);
    assert_false(np_pace_take(&pace, 6000, &missed));
}

static void test_rate(void **state)
{
    (void)state;
    struct np_pace pace;
    uint64_t missed;
    int granted = 0;
    np_pace_init(&pace, 2, 1000, 0);
    /* asked every 300 ms for 30 s: the burst, then once a second, nothing lost to rounding */
    for (int64_t now = 0; now < 30000; now += 300)
        granted += np_pace_take(&pace, now, &missed);
    assert_int_equal(granted, 2 + 29);
}

static void test_refill_is_bounded(void **state)
{
    (void)state;
    struct np_pace pace;
    uint64_t missed;
    np_pace_init(&pace, 2, 1, 0);
    assert_true(np_pace_take(&pace, 0, &missed));
    for (int i = 0; i < 2; i++)
        assert_true(np_pace_take(&pace, INT64_MAX / 2, &missed));
    assert_false(np_pace_take(&pace, INT64_MAX / 2, &missed));
    assert_false(np_pace_take(&pace, 0, &missed)); /* a clock that goes back grants nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_refill_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
