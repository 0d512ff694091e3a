#include "tests/bench/fleet/tally.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tally_add(struct tally_times *times, uint64_t us)
{
    if (times->count == times->room) {
        times->room = times->room ? times->room * 2 : 1024;
        times->us = realloc(times->us, times->room * sizeof *times->us);
        if (!times->us)
            abort();
    }
    times->us[times->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The smallest time that this share of all does not exceed. */
static double percentile_ms(const struct tally_times *times, unsigned percent)
{
    return times->count ? times->us[(times->count - 1) * percent / 100] / 1000.0 : 0.0;
}

json_t *tally_times_json(struct tally_times *times)
{
    if (times->count)
        qsort(times->us, times->count, sizeof *times->us, compare);
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)times->count, "p50", percentile_ms(times, 50),
                     "p90", percentile_ms(times, 90), "p99", percentile_ms(times, 99), "max",
                     percentile_ms(times, 100));
}

json_t *tally_requests_json(struct tally_requests *requests)
{
    json_t *json = tally_times_json(&requests->times), *statuses = json_object();
    for (int status = 0; status < TALLY_STATUS_MAX; status++) {
        char text[16];
        snprintf(text, sizeof text, "%d", status);
        if (requests->statuses[status])
            json_object_set_new(statuses, text, json_integer((json_int_t)requests->statuses[status]));
    }
    json_object_set_new(json, "statuses", statuses);
    json_object_set_new(json, "failed", json_integer((json_int_t)requests->failed));
    json_object_set_new(json, "early", json_integer((json_int_t)requests->early));
    return json;
}

void tally_times_clear(struct tally_times *times)
{
    times->count = 0;
}

void tally_requests_clear(struct tally_requests *requests)
{
    struct tally_times times = requests->times;
    memset(requests, 0, sizeof *requests);
    requests->times = times;
    tally_times_clear(&requests->times);
}

/* ---- Processes ---- */

/* Nanoseconds that a thread has run. */
static uint64_t thread_ns(pid_t pid, const char *thread)
{
    char path[64 + 256];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &ns) != 1)
        ns = 0;
    fclose(file);
    return ns;
}

static long peak_rss_kib(pid_t pid)
{
    char path[64], line[128];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kib;
}

struct tally_use tally_process(pid_t pid)
{
    struct tally_use use = {.peak_rss_kib = peak_rss_kib(pid)};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] != '.')
            use.cpu_s += (double)thread_ns(pid, entry->d_name) / 1e9;
    }
    if (folder)
        closedir(folder);
    return use;
}

void tally_reset_peak(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)pid);
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    fputs("5", file);
    fclose(file);
}

pid_t tally_child(pid_t pid)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &child) != 1)
        child = 0;
    fclose(file);
    return child;
}
