/* tally: what is counted in a phase: times in microseconds with their percentiles, answers by status, and what CPU and
 * memory a process took. */
#ifndef TESTS_BENCH_FLEET_TALLY_H
#define TESTS_BENCH_FLEET_TALLY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TALLY_STATUS_MAX 600 /* HTTP statuses are below */

/* Times, all of them kept. */
struct tally_times {
    uint32_t *us;
    size_t count, room;
};

/* The requests of one kind. */
struct tally_requests {
    struct tally_times times; /* from the first byte sent, or the connection begun for it, to the whole answer */
    uint64_t statuses[TALLY_STATUS_MAX];
    uint64_t failed; /* no answer */
    uint64_t early;  /* sent before the Retry-After of a 429 or 503 had passed */
};

/* A process's use so far. */
struct tally_use {
    double cpu_s;
    long peak_rss_kib;
};

/* Adds a time. */
void tally_add(struct tally_times *times, uint64_t us);

/* {"count", "p50", "p90", "p99", "max"}, in milliseconds. Sorts. */
json_t *tally_times_json(struct tally_times *times);

/* The same with "statuses", "failed", "early". */
json_t *tally_requests_json(struct tally_requests *requests);

/* Forgets, for the next phase. */
void tally_times_clear(struct tally_times *times);
/* See tally_times_clear. */
void tally_requests_clear(struct tally_requests *requests);

/* CPU time of all threads and the highest resident size of a process; zeros when it is gone. */
struct tally_use tally_process(pid_t pid);

/* Its highest resident size counts from now on. */
void tally_reset_peak(pid_t pid);

/* The first child of a process, 0: it has none. */
pid_t tally_child(pid_t pid);

#endif
