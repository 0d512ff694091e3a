#include "resolver/base/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE (16 * 1024)

void np_metrics_init(struct np_metrics *metrics, enum np_metrics_format format)
{
    memset(metrics, 0, sizeof *metrics);
    metrics->format = format;
}

/* Room for n more bytes and a NUL. */
static bool reserve(struct np_metrics *metrics, size_t n)
{
    size_t size = metrics->size ? metrics->size : FIRST_SIZE;
    while (size < metrics->len + n + 1)
        size *= 2;
    if (metrics->failed || size > NP_METRICS_MAX) {
        metrics->failed = true;
        return false;
    }
    if (size == metrics->size)
        return true;
    char *text = realloc(metrics->text, size);
    metrics->failed = !text;
    if (text) {
        metrics->text = text;
        metrics->size = size;
    }
    return text != NULL;
}

static void __attribute__((format(printf, 2, 3))) put(struct np_metrics *metrics, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && reserve(metrics, (size_t)n)) {
        vsnprintf(metrics->text + metrics->len, (size_t)n + 1, format, again);
        metrics->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* Both formats escape backslash, quote and newline; the last one never gets here. */
static void put_value(struct np_metrics *metrics, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            put(metrics, "\\%c", *value);
        else
            put(metrics, "%c", *value >= 0x20 && *value <= 0x7e ? *value : '?');
    }
}

/* The sample's name and labels; bound is a bucket's, or NULL. */
static void put_name(struct np_metrics *metrics, const char *suffix, const struct np_metrics_label *labels,
                     size_t count, const char *bound)
{
    put(metrics, "%s%s", metrics->family, suffix);
    for (size_t i = 0; i < count; i++) {
        put(metrics, "%s%s=\"", i ? "," : "{", labels[i].name);
        put_value(metrics, labels[i].value);
        put(metrics, "\"");
    }
    if (bound)
        put(metrics, "%sle=\"%s\"", count ? "," : "{", bound);
    put(metrics, "%s ", count || bound ? "}" : "");
}

static const char *sample_suffix(const struct np_metrics *metrics)
{
    return metrics->type == NP_METRIC_COUNTER ? "_total" : "";
}

void np_metrics_family(struct np_metrics *metrics, const char *name, enum np_metrics_type type, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    if (strcmp(metrics->family, name) == 0)
        return;
    snprintf(metrics->family, sizeof metrics->family, "%s", name);
    metrics->type = type;
    const char *suffix = metrics->format == NP_METRICS_PROMETHEUS ? sample_suffix(metrics) : "";
    put(metrics, "# TYPE %s%s %s\n# HELP %s%s %s\n", name, suffix, types[type], name, suffix, help);
}

void np_metrics_sample(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count, uint64_t value)
{
    put_name(metrics, sample_suffix(metrics), labels, count, NULL);
    put(metrics, "%" PRIu64 "\n", value);
}

void np_metrics_sample_real(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count,
                            double value)
{
    put_name(metrics, sample_suffix(metrics), labels, count, NULL);
    put(metrics, "%.15g\n", value);
}

void np_metrics_bucket(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count, double bound,
                       uint64_t cumulative)
{
    char text[32] = "+Inf";
    /* OpenMetrics wants bounds to look like numbers with a point, 1.0 and not 1. */
    if (!isinf(bound))
        snprintf(text, sizeof text, bound < 1e9 && (double)(int64_t)bound == bound ? "%.1f" : "%.15g", bound);
    put_name(metrics, "_bucket", labels, count, text);
    put(metrics, "%" PRIu64 "\n", cumulative);
}

void np_metrics_sum(struct np_metrics *metrics, const struct np_metrics_label *labels, size_t count, double sum,
                    uint64_t number)
{
    put_name(metrics, "_sum", labels, count, NULL);
    put(metrics, "%.15g\n", sum);
    put_name(metrics, "_count", labels, count, NULL);
    put(metrics, "%" PRIu64 "\n", number);
}

char *np_metrics_finish(struct np_metrics *metrics)
{
    put(metrics, "# EOF\n"); /* a comment in one format, the end in the other */
    char *text = metrics->failed ? NULL : metrics->text;
    if (metrics->failed)
        free(metrics->text);
    np_metrics_init(metrics, metrics->format);
    return text;
}
