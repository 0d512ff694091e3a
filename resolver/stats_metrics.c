#include <math.h>
#include <stdio.h>
#include <string.h>

#include "resolver/stats_fields.h"

#define PREFIX     "nameplate_dns_"
#define FAMILY_MAX 64

static void write_fields(const struct np_stats *stats, struct np_metrics *metrics)
{
    static const struct np_metrics_label none = {NULL, NULL};
    char family[FAMILY_MAX];
    for (const struct np_stats_field *field = np_stats_fields; field->group; field++) {
        struct np_metrics_label label = field->label ? (struct np_metrics_label){field->label, field->value} : none;
        if (field->help)
            snprintf(family, sizeof family, PREFIX "%s", field->family);
        np_metrics_family(metrics, family, field->type, field->help ? field->help : "");
        np_metrics_sample(metrics, &label, field->label ? 1 : 0, np_stats_get(stats, field));
    }
}

/* Four buckets an octave are for percentiles; a monitoring system gets one an octave. */
static void write_histogram(const struct np_latency *latency, const char *path, struct np_metrics *metrics)
{
    struct np_metrics_label label = {"path", path};
    uint64_t cumulative = 0;
    for (size_t i = 0; i < NP_LATENCY_BUCKETS; i++) {
        cumulative += latency->buckets[i];
        if (i == NP_LATENCY_BUCKETS - 1)
            np_metrics_bucket(metrics, &label, 1, HUGE_VAL, cumulative);
        else if (i % 4 == 0)
            np_metrics_bucket(metrics, &label, 1, (double)np_latency_bound(i) / 1e9, cumulative);
    }
    np_metrics_sum(metrics, &label, 1, (double)latency->sum_ns / 1e9, cumulative);
}

static void write_latency(const struct np_stats *stats, struct np_metrics *metrics)
{
    np_metrics_family(metrics, PREFIX "answer_seconds", NP_METRIC_HISTOGRAM,
                      "From a query's being read to its answer's being ready; local and cached are a sample.");
    for (const struct np_stats_histogram *histogram = np_stats_histograms; histogram->name; histogram++) {
        struct np_latency latency;
        memcpy(&latency, (const char *)stats + histogram->offset, sizeof latency);
        write_histogram(&latency, histogram->name, metrics);
    }
}

/* One family of the upstreams; sample writes one of them. */
static void write_upstreams(const struct np_stats *stats, struct np_metrics *metrics,
                            void (*sample)(const struct np_forward_upstream *, struct np_metrics *,
                                           const struct np_metrics_label labels[2]))
{
    char zone[NP_NAME_TEXT_MAX], server[NP_VIEW_UPSTREAM_TEXT_MAX];
    for (size_t i = 0; i < stats->upstream_count; i++) {
        const struct np_forward_upstream *upstream = &stats->upstreams[i];
        struct np_metrics_label labels[] = {{"zone", np_name_format(&upstream->zone, zone)},
                                            {"server", np_view_upstream_format(&upstream->server, server)}};
        sample(upstream, metrics, labels);
    }
}

static void sample_up(const struct np_forward_upstream *upstream, struct np_metrics *metrics,
                      const struct np_metrics_label labels[2])
{
    np_metrics_family(metrics, PREFIX "upstream_up", NP_METRIC_GAUGE,
                      "1: the server answers; 0: it did not, several times in a row.");
    np_metrics_sample(metrics, labels, 2, upstream->alive);
}

static void sample_rtt(const struct np_forward_upstream *upstream, struct np_metrics *metrics,
                       const struct np_metrics_label labels[2])
{
    np_metrics_family(metrics, PREFIX "upstream_rtt_seconds", NP_METRIC_GAUGE,
                      "Smoothed round-trip time of the server.");
    if (upstream->measured)
        np_metrics_sample_real(metrics, labels, 2, (double)upstream->srtt_us / 1e6);
}

static void sample_answers(const struct np_forward_upstream *upstream, struct np_metrics *metrics,
                           const struct np_metrics_label labels[2])
{
    np_metrics_family(metrics, PREFIX "upstream_answers", NP_METRIC_COUNTER, "Tries that the server answered.");
    np_metrics_sample(metrics, labels, 2, upstream->answers);
}

static void sample_failures(const struct np_forward_upstream *upstream, struct np_metrics *metrics,
                            const struct np_metrics_label labels[2])
{
    np_metrics_family(metrics, PREFIX "upstream_failures", NP_METRIC_COUNTER,
                      "Tries that got no answer from the server.");
    np_metrics_sample(metrics, labels, 2, upstream->failures);
}

void np_stats_write_metrics(const struct np_stats *stats, struct np_metrics *metrics)
{
    write_fields(stats, metrics);
    write_latency(stats, metrics);
    write_upstreams(stats, metrics, sample_up);
    write_upstreams(stats, metrics, sample_rtt);
    write_upstreams(stats, metrics, sample_answers);
    write_upstreams(stats, metrics, sample_failures);
}
