#include "resolver/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

/* Renamed into place, so that no reader sees half of it; not synced, since nobody needs it after a power cut. */
static int write_file(const char *path, const char *text)
{
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644), rc = 0;
    if (fd < 0)
        return -errno;
    for (size_t done = 0, len = strlen(text); done < len && rc == 0;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = n == 0 ? -EIO : -errno;
    }
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc)
        unlink(temporary);
    return rc;
}

static int write_metrics(const struct np_report *report, const struct np_stats *stats)
{
    struct np_metrics metrics;
    np_metrics_init(&metrics, NP_METRICS_PROMETHEUS);
    np_stats_write_metrics(stats, &metrics);
    char *text = np_metrics_finish(&metrics);
    int rc = text ? write_file(report->path, text) : -ENOMEM;
    free(text);
    return rc;
}

static void log_stats(const struct np_stats *stats)
{
    const struct np_stats_answers *a = &stats->answers;
    char zone[NP_NAME_TEXT_MAX], server[NP_VIEW_UPSTREAM_TEXT_MAX];
    np_notice("queries: %llu own, %llu special, %llu cached, %llu forwarded, of these %llu blocked, %llu failed; "
              "%llu errors, %llu dropped, %llu truncated, %llu over the rate",
              (unsigned long long)a->own, (unsigned long long)a->special, (unsigned long long)a->cached,
              (unsigned long long)a->forwarded, (unsigned long long)a->blocked, (unsigned long long)a->failed,
              (unsigned long long)a->errors, (unsigned long long)a->dropped, (unsigned long long)a->truncated,
              (unsigned long long)a->over_rate);
    for (size_t i = 0; i < stats->upstream_count; i++) {
        const struct np_forward_upstream *upstream = &stats->upstreams[i];
        np_notice("upstream %.300s for %.300s: %s, %llu answers, %llu failures, %lld us",
                  np_view_upstream_format(&upstream->server, server), np_name_format(&upstream->zone, zone),
                  upstream->alive ? "alive" : "silent", (unsigned long long)upstream->answers,
                  (unsigned long long)upstream->failures, (long long)upstream->srtt_us);
    }
}

/* Returns the file's error, which is logged when it is news. */
static int report(struct np_report *report, bool logs)
{
    struct np_stats *stats = malloc(sizeof *stats);
    int rc = stats ? 0 : -ENOMEM;
    if (stats)
        np_resolver_stats(report->resolver, stats);
    if (stats && logs)
        log_stats(stats);
    if (stats && report->path)
        rc = write_metrics(report, stats);
    if (rc && rc != report->failure)
        np_error("%s: %s", report->path ? report->path : "counters", np_strerror(rc));
    report->failure = rc;
    free(stats);
    return rc;
}

static void timer_callback(uv_timer_t *timer)
{
    (void)report(timer->data, false);
}

int np_report_start(struct np_report *out, uv_loop_t *loop, struct np_resolver *resolver, const char *path)
{
    *out = (struct np_report){.resolver = resolver, .path = path};
    uv_timer_init(loop, &out->timer);
    out->timer.data = out;
    if (path)
        uv_timer_start(&out->timer, timer_callback, NP_REPORT_MS, NP_REPORT_MS);
    return path ? report(out, false) : 0;
}

void np_report_now(struct np_report *now)
{
    (void)report(now, true);
}

void np_report_stop(struct np_report *stopped)
{
    if (stopped->path)
        (void)report(stopped, false);
    uv_close((uv_handle_t *)&stopped->timer, NULL);
}
