#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/jobs.h"

static uint32_t smallest(void *ctx, uint32_t bound)
{
    (void)ctx;
    (void)bound;
    return 0;
}

static uint32_t largest(void *ctx, uint32_t bound)
{
    (void)ctx;
    return bound ? bound - 1 : 0;
}

static void test_planner(void **state)
{
    struct np_jobs jobs;
    (void)state;
    np_jobs_init(&jobs);
    assert_true(np_jobs_next_due(&jobs) == NP_JOB_NEVER);
    assert_int_equal(np_jobs_take_due(&jobs, INT64_MAX), -1); /* "never" is not due even at the end of time */
    np_jobs_schedule(&jobs, 3, 100);
    np_jobs_schedule(&jobs, 3, 200); /* the earlier wins */
    np_jobs_schedule(&jobs, 5, 50);
    assert_int_equal(np_jobs_next_due(&jobs), 50);
    assert_int_equal(np_jobs_take_due(&jobs, 49), -1);
    assert_int_equal(np_jobs_take_due(&jobs, 100), 5);
    assert_int_equal(np_jobs_take_due(&jobs, 100), 3);
    assert_int_equal(np_jobs_take_due(&jobs, 100), -1);
    np_jobs_schedule(&jobs, 3, 100);
    np_jobs_reschedule(&jobs, 3, 500); /* later only when asked for */
    assert_int_equal(np_jobs_next_due(&jobs), 500);
    np_jobs_reschedule(&jobs, 3, NP_JOB_NEVER);
    assert_true(np_jobs_next_due(&jobs) == NP_JOB_NEVER);
    np_jobs_schedule(&jobs, NP_JOBS_MAX, 1); /* no such kind: nothing is written past the table */
    np_jobs_reschedule(&jobs, UINT32_MAX, 1);
    assert_true(np_jobs_next_due(&jobs) == NP_JOB_NEVER);
    np_jobs_schedule(&jobs, NP_JOBS_MAX - 1, -5); /* a time in the past is due at once */
    assert_int_equal(np_jobs_take_due(&jobs, 0), NP_JOBS_MAX - 1);
}

static void test_backoff_doubles_to_its_cap(void **state)
{
    static const int64_t wholes[] = {1000, 2000, 4000, 8000, 10000, 10000};
    struct np_backoff low = {.first_ms = 1000, .cap_ms = 10000}, high = low;
    (void)state;
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        assert_int_equal(np_backoff_fail(&low, 0, smallest, NULL), wholes[i] / 2);
        assert_int_equal(np_backoff_fail(&high, 0, largest, NULL), wholes[i]);
    }
    np_backoff_reset(&high);
    assert_int_equal(np_backoff_fail(&high, 0, largest, NULL), 1000);
}

static void test_backoff_never_overflows(void **state)
{
    struct np_backoff backoff = {.first_ms = 1000, .cap_ms = INT64_MAX / 4};
    (void)state;
    int64_t before = 0;
    for (int i = 0; i < 5000; i++) {
        int64_t delay = np_backoff_fail(&backoff, 0, smallest, NULL);
        assert_true(delay >= before && delay <= backoff.cap_ms);
        before = delay;
    }
    struct np_backoff odd = {.first_ms = 50, .cap_ms = 10}; /* a cap below the first delay holds too */
    assert_int_equal(np_backoff_fail(&odd, 0, largest, NULL), 10);
}

static void test_retry_after_is_a_floor(void **state)
{
    struct np_backoff backoff = {.first_ms = 1000, .cap_ms = 60000};
    (void)state;
    assert_int_equal(np_backoff_fail(&backoff, 30000, smallest, NULL), 30000);
    assert_int_equal(np_backoff_fail(&backoff, 30000, largest, NULL), 33000); /* up to a tenth later */
    assert_int_equal(np_backoff_fail(&backoff, 1, largest, NULL), 4000);      /* a small one shortens nothing */
    assert_int_equal(np_backoff_fail(&backoff, -5, largest, NULL), 8000);
    int64_t year = INT64_C(366) * 86400 * 1000;
    assert_true(np_backoff_fail(&backoff, year, smallest, NULL) >= year);
    assert_int_equal(backoff.failures, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planner),
        cmocka_unit_test(test_backoff_doubles_to_its_cap),
        cmocka_unit_test(test_backoff_never_overflows),
        cmocka_unit_test(test_retry_after_is_a_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
