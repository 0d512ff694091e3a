/* Text for monitoring systems, in both formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/metrics.h"

static char *write_all(enum np_metrics_format format)
{
    struct np_metrics metrics;
    struct np_metrics_label labels[] = {{"zone", "."}, {"server", "a\"b\\c\nd\x7f\xff"}};
    np_metrics_init(&metrics, format);
    np_metrics_family(&metrics, "x_queries", NP_METRIC_COUNTER, "Queries.");
    np_metrics_sample(&metrics, labels, 1, 18446744073709551615u);
    np_metrics_family(&metrics, "x_queries", NP_METRIC_COUNTER, "Queries.");
    np_metrics_sample(&metrics, labels, 2, 0);
    np_metrics_family(&metrics, "x_age_seconds", NP_METRIC_GAUGE, "Age.");
    np_metrics_sample_real(&metrics, NULL, 0, 0.0018);
    np_metrics_family(&metrics, "x_time_seconds", NP_METRIC_HISTOGRAM, "Time.");
    np_metrics_bucket(&metrics, NULL, 0, 2.56e-07, 1);
    np_metrics_bucket(&metrics, labels, 1, 1, 2);
    np_metrics_bucket(&metrics, labels, 1, HUGE_VAL, 3);
    np_metrics_sum(&metrics, labels, 1, 1.5, 3);
    return np_metrics_finish(&metrics);
}

#define COMMON                                                                                                         \
    "x_queries_total{zone=\".\"} 18446744073709551615\n"                                                               \
    "x_queries_total{zone=\".\",server=\"a\\\"b\\\\c?d??\"} 0\n"                                                       \
    "# TYPE x_age_seconds gauge\n# HELP x_age_seconds Age.\nx_age_seconds 0.0018\n"                                    \
    "# TYPE x_time_seconds histogram\n# HELP x_time_seconds Time.\n"                                                   \
    "x_time_seconds_bucket{le=\"2.56e-07\"} 1\n"                                                                       \
    "x_time_seconds_bucket{zone=\".\",le=\"1.0\"} 2\n"                                                                 \
    "x_time_seconds_bucket{zone=\".\",le=\"+Inf\"} 3\n"                                                                \
    "x_time_seconds_sum{zone=\".\"} 1.5\nx_time_seconds_count{zone=\".\"} 3\n# EOF\n"

static void test_formats(void **state)
{
    (void)state;
    char *text = write_all(NP_METRICS_PROMETHEUS);
    assert_string_equal(text, "# TYPE x_queries_total counter\n# HELP x_queries_total Queries.\n" COMMON);
    free(text);
    text = write_all(NP_METRICS_OPENMETRICS);
    assert_string_equal(text, "# TYPE x_queries counter\n# HELP x_queries Queries.\n" COMMON);
    free(text);
}

static void test_limit(void **state)
{
    (void)state;
    struct np_metrics metrics;
    np_metrics_init(&metrics, NP_METRICS_PROMETHEUS);
    np_metrics_family(&metrics, "x", NP_METRIC_GAUGE, "X.");
    for (int i = 0; i < NP_METRICS_MAX / 4; i++)
        np_metrics_sample(&metrics, NULL, 0, 1);
    assert_null(np_metrics_finish(&metrics));
    char *text = np_metrics_finish(&metrics);
    assert_string_equal(text, "# EOF\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats), cmocka_unit_test(test_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
