#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver/latency.h"

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(np_latency_bound(0), 256);
    assert_int_equal(np_latency_bound(1), 320);
    assert_int_equal(np_latency_bound(4), 512);
    assert_int_equal(np_latency_bound(NP_LATENCY_BUCKETS - 1), INT64_MAX);
    assert_int_equal(np_latency_bound(NP_LATENCY_BUCKETS), INT64_MAX);
    for (size_t i = 1; i < NP_LATENCY_BUCKETS; i++)
        assert_true(np_latency_bound(i) > np_latency_bound(i - 1));
    assert_in_range(np_latency_bound(NP_LATENCY_BUCKETS - 2), 10000000000, 20000000000);
}

/* Each time goes into the first bucket whose bound it does not pass. */
static void test_buckets(void **state)
{
    (void)state;
    for (size_t i = 0; i < NP_LATENCY_BUCKETS - 1; i++) {
        struct np_latency latency = {0};
        np_latency_add(&latency, np_latency_bound(i));
        np_latency_add(&latency, np_latency_bound(i) + 1);
        assert_int_equal(latency.buckets[i], 1);
        assert_int_equal(latency.buckets[i + 1], 1);
    }
    struct np_latency latency = {0};
    np_latency_add(&latency, -5);
    np_latency_add(&latency, 0);
    np_latency_add(&latency, INT64_MAX);
    assert_int_equal(latency.buckets[0], 2);
    assert_int_equal(latency.buckets[NP_LATENCY_BUCKETS - 1], 1);
    assert_int_equal(latency.count, 3);
}

static void test_percentiles(void **state)
{
    (void)state;
    struct np_latency latency = {0};
    assert_int_equal(np_latency_percentile(&latency, 500), 0);
    for (int ns = 1; ns <= 10000; ns++)
        np_latency_add(&latency, ns);
    assert_in_range(np_latency_percentile(&latency, 500), 5000, 6000);
    assert_in_range(np_latency_percentile(&latency, 990), 9900, 11900);
    assert_in_range(np_latency_percentile(&latency, 1000), 10000, 12000);
    assert_in_range(np_latency_percentile(&latency, 1), 10, 256);
    for (int i = 0; i < 1000000; i++)
        np_latency_add(&latency, 60000000000);
    assert_int_equal(np_latency_percentile(&latency, 990), np_latency_bound(NP_LATENCY_BUCKETS - 2));
    assert_int_equal(latency.sum_ns, 10000ull * 10001 / 2 + 60000000000ull * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds), cmocka_unit_test(test_buckets),
                                       cmocka_unit_test(test_percentiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
