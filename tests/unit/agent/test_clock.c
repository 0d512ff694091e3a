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
    np_clock_init(&clock, 0, 50);
    assert_int_equal(np_clock_judge(&clock, 0, 50), build);
    assert_false(np_clock_believed(&clock, build - 1, 50));
    assert_true(np_clock_believed(&clock, build, 50));
    assert_int_equal(np_clock_judge(&clock, build + 5, 50), build + 5);
}

static void only_forward(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s();
    np_clock_init(&clock, build + 1000, 50);
    assert_int_equal(clock.floor_s, build + 1000);
    assert_false(np_clock_raise(&clock, build + 999, 50));
    assert_true(np_clock_raise(&clock, build + 1001, 50));
    assert_int_equal(np_clock_judge(&clock, build, 50), build + 1001);
    assert_false(np_clock_raise(&clock, INT64_MAX, 50));
    assert_false(np_clock_raise(&clock, build + 11 * NP_CLOCK_YEAR_S, 50));
    assert_false(np_clock_raise(&clock, -1, 50));
    np_clock_init(&clock, INT64_MAX, 50);
    assert_int_equal(clock.floor_s, build);
}

/* A believed system clock outvotes an HQ that is years ahead; a clock that stands at 1970 has no vote. */
static void wrong_hq(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s(), now = build + 5000;
    np_clock_init(&clock, 0, 50);
    assert_false(np_clock_hear(&clock, now + NP_CLOCK_LEAD_S + 1, now, 60));
    assert_int_equal(clock.floor_s, build);
    assert_true(np_clock_hear(&clock, now + NP_CLOCK_LEAD_S, now, 60));
    np_clock_init(&clock, 0, 50);
    assert_true(np_clock_hear(&clock, build + 3 * NP_CLOCK_YEAR_S, 0, 60));
}

static void counts_on(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s();
    np_clock_init(&clock, 0, 50);
    assert_int_equal(np_clock_judge(&clock, 0, 80), build + 30);
    assert_true(np_clock_raise(&clock, build + 1000, 90));
    assert_int_equal(np_clock_floor(&clock, 90), build + 1000);
    assert_int_equal(np_clock_floor(&clock, 190), build + 1100);
    assert_int_equal(np_clock_floor(&clock, 89), build + 1000); /* a steady clock does not do this */
    assert_false(np_clock_believed(&clock, build + 1099, 190));
    assert_true(np_clock_believed(&clock, build + 1100, 190));
    /* A crystal that runs fast is put right by HQ, a repeated answer changes nothing. */
    assert_true(np_clock_raise(&clock, build + 1090, 190));
    assert_int_equal(np_clock_floor(&clock, 190), build + 1090);
    assert_false(np_clock_raise(&clock, build + 1090, 200));
    assert_int_equal(np_clock_floor(&clock, 200), build + 1100);
}

/* HQ's signature over our nonce says what time it is, whatever the system clock or an earlier floor say. */
static void signed_time(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s(), year = NP_CLOCK_YEAR_S, now = build + 3 * year;
    np_clock_init(&clock, build + 4 * year, 50); /* a floor that an HQ with a wrong clock gave */
    clock.wants_signed = true;
    assert_false(np_clock_hear(&clock, build + 5 * year, 0, 60)); /* no unsigned one while nothing is believed */
    assert_true(np_clock_sign(&clock, now, 60));
    assert_int_equal(np_clock_floor(&clock, 160), now + 100);
    assert_true(np_clock_believed(&clock, now + 100 - NP_CLOCK_LEAD_S, 160));
    assert_true(np_clock_believed(&clock, now + 100 + NP_CLOCK_LEAD_S, 160));
    assert_int_equal(np_clock_judge(&clock, now + 90, 160), now + 90);
    assert_int_equal(np_clock_judge(&clock, 0, 160), now + 100);
    assert_int_equal(np_clock_judge(&clock, now + 10 * year, 160), now + 100); /* a clock that is years ahead */
    assert_false(np_clock_hear(&clock, now + year, now + year, 160));
    assert_true(np_clock_hear(&clock, now + 110, 0, 160));
    assert_false(np_clock_sign(&clock, build - 1, 170));
    assert_false(np_clock_sign(&clock, build + 11 * year, 170));
    assert_int_equal(np_clock_floor(&clock, 160), now + 110);
}

/* To find HQ over DNS over TLS the system clock may be doubted; a signed time ends that. */
static void doubted(void **state)
{
    (void)state;
    struct np_clock clock;
    int64_t build = np_clock_build_s(), now = build + 1000, ahead = now + NP_CLOCK_YEAR_S;
    np_clock_init(&clock, now, 50);
    assert_int_equal(np_clock_judge(&clock, ahead, 60), ahead);
    clock.doubted = true;
    assert_false(np_clock_believed(&clock, ahead, 60));
    assert_int_equal(np_clock_judge(&clock, ahead, 60), now + 10);
    assert_true(np_clock_sign(&clock, ahead, 60));
    assert_int_equal(np_clock_judge(&clock, ahead + 5, 60), ahead + 5);
    assert_false(np_clock_differs(now, now + NP_CLOCK_LEAD_S) || np_clock_differs(now, now - NP_CLOCK_LEAD_S));
    assert_true(np_clock_differs(now, now + NP_CLOCK_LEAD_S + 1) && np_clock_differs(now + NP_CLOCK_LEAD_S + 1, now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(floor_is_the_build), cmocka_unit_test(only_forward),
                                       cmocka_unit_test(counts_on),          cmocka_unit_test(wrong_hq),
                                       cmocka_unit_test(signed_time),        cmocka_unit_test(doubted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
