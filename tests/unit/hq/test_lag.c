/* The age of the oldest change that is not confirmed, from versions alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "hq/admin/lag.h"

static void test_lag(void **state)
{
    struct np_lag *lag = calloc(1, sizeof *lag);
    (void)state;
    static const struct {
        int64_t at_s, oldest, newest, wanted_s;
    } rows[] = {
        {1, 0, 100, 0},    /* nothing is waiting */
        {2, 101, 101, 0},  /* a change came in this second */
        {3, 101, 101, 1},  /* and waits */
        {4, 101, 150, 2},  /* others came behind it */
        {5, 120, 150, 1},  /* it is confirmed; the oldest came in second 4 */
        {6, 150, 150, 2},  /* likewise */
        {7, 0, 150, 0},    /* all is confirmed */
        {8, 90, 150, 7},   /* marked again by a restore: older than all we know */
        {9, 151, 5000, 0}, /* more in a second than seconds pass */
        {10, 4000, 9000, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        np_lag_note(lag, rows[i].at_s * 1000, rows[i].oldest, rows[i].newest);
        assert_int_equal(lag->lag_ms, rows[i].wanted_s * 1000);
    }
    free(lag);
}

static void test_more_than_an_hour(void **state)
{
    struct np_lag *lag = calloc(1, sizeof *lag);
    (void)state;
    for (int64_t s = 1; s <= 3 * NP_LAG_SAMPLES; s++) {
        np_lag_note(lag, s * 1000, 5, 10 * s);
        int64_t wanted_s = s - 1 < NP_LAG_SAMPLES ? s - 1 : NP_LAG_SAMPLES - 1;
        assert_int_equal(lag->lag_ms, wanted_s * 1000);
    }
    np_lag_note(lag, 3 * NP_LAG_SAMPLES * 1000 + 1000, 30 * NP_LAG_SAMPLES - 95, 30 * NP_LAG_SAMPLES + 1);
    assert_int_equal(lag->lag_ms, 10 * 1000);
    free(lag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lag), cmocka_unit_test(test_more_than_an_hour)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
