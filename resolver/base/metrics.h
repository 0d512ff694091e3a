/* metrics: counters, gauges and histograms as text for a monitoring system: Prometheus' text format 0.0.4, which
 * node_exporter's textfile collector and promtool read, or OpenMetrics 1.0. They differ in one thing that no document
 * can have both ways: whether a counter's family carries the "_total" of its samples.
 *
 * Lifecycle: np_metrics_init, families with their samples (all samples of a family behind it), np_metrics_finish. An
 * error is kept until then. Names and help are the program's own, label values may be anybody's. Pure but for memory.
 */
#ifndef RESOLVER_BASE_METRICS_H
#define RESOLVER_BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_METRICS_MAX      (1024 * 1024) /* bytes: a few hundred samples take 40 KiB */
#define NP_METRICS_NAME_MAX 64            /* characters of a family's name, with NUL */

enum np_metrics_format { NP_METRICS_PROMETHEUS, NP_METRICS_OPENMETRICS };
enum np_metrics_type { NP_METRIC_COUNTER, NP_METRIC_GAUGE, NP_METRIC_HISTOGRAM };

/* A label: name="value". */
struct np_metrics_label {
    const char *name, *value;
};

/* The document. */
struct np_metrics {
    enum np_metrics_format format;
    char family[NP_METRICS_NAME_MAX];
    enum np_metrics_type type;
    char *text;
    size_t len, size;
    bool failed;
};

/* An empty document. */
void np_metrics_init(struct np_metrics *metrics, enum np_metrics_format format);

/* Begins a family. name is without "_total". A second call with the same name in a row does nothing. help is one line.
 */
void np_metrics_family(struct np_metrics *metrics, const char *name, enum np_metrics_type type, const char *help);

/* A sample of the family, a counter or gauge of whole numbers, with count labels. Bytes of a label value that are not
 * printable ASCII become '?'. */
void np_metrics_sample(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count, uint64_t value);

/* The same with a fraction: a gauge in seconds, say. value is finite. */
void np_metrics_sample_real(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count,
                            double value);

/* One bucket of a histogram, from the lowest bound up, the last one's being HUGE_VAL: how many were at or under bound.
 */
void np_metrics_bucket(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count, double bound,
                       uint64_t cumulative);

/* A histogram's sum and count, behind its buckets. */
void np_metrics_sum(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count, double sum,
                    uint64_t number);

/* Ends the document: malloc'd text (the caller frees it), or NULL when out of memory or over NP_METRICS_MAX. metrics is
 * empty then. */
char *np_metrics_finish(struct np_metrics *metrics);

#endif
