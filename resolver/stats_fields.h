/* stats_fields: the one table of what the resolver counts, and the two of how it is shown: stats.c makes JSON of it,
 * stats_metrics.c metrics. Included by these alone. */
#ifndef RESOLVER_STATS_FIELDS_H
#define RESOLVER_STATS_FIELDS_H

#include <stddef.h>

#include "resolver/base/metrics.h"
#include "resolver/stats.h"

/* A number: a uint64_t at offset of struct np_stats. In JSON it is group.name; as a metric it is a sample of family,
 * with label="value" where there is one. help is the family's, in its first row; the rows of a family stand together.
 */
struct np_stats_field {
    const char *group, *name;
    size_t offset;
    enum np_metrics_type type;
    const char *family, *label, *value, *help;
};

/* A histogram: a struct np_latency at offset. name is its member of "latency" and the label "path". */
struct np_stats_histogram {
    const char *name;
    size_t offset;
};

/* The fields; group NULL after the last one. */
extern const struct np_stats_field np_stats_fields[];

/* The histograms; name NULL after the last one. */
extern const struct np_stats_histogram np_stats_histograms[];

/* The number that the field stands for. */
uint64_t np_stats_get(const struct np_stats *stats, const struct np_stats_field *field);

/* Sets it. */
void np_stats_set(struct np_stats *stats, const struct np_stats_field *field, uint64_t value);

#endif
