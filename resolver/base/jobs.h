/* jobs: the job planner and the retry policy. Pure: times come in, times go out; the owner arms one timer.
 *
 * A planner holds one due time for each of a small fixed number of job kinds. Scheduling a kind that is already planned
 * keeps the earlier time (use np_jobs_reschedule to move it later). Retry is full jitter, doubling to a cap
 * (first, 2*first, ... cap; the delay is random in [half, whole]), and never earlier than a server's Retry-After. */
#ifndef RESOLVER_BASE_JOBS_H
#define RESOLVER_BASE_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/random.h"

#define NP_JOBS_MAX  16 /* kinds in one planner: an agent has fourteen */
#define NP_JOB_NEVER INT64_MAX

/* The planner: due_ms[kind], NP_JOB_NEVER where nothing is planned. */
struct np_jobs {
    int64_t due_ms[NP_JOBS_MAX];
};

/* Nothing planned. */
void np_jobs_init(struct np_jobs *jobs);

/* Plans kind (below NP_JOBS_MAX) for due_ms unless an earlier time is planned already. */
void np_jobs_schedule(struct np_jobs *jobs, unsigned kind, int64_t due_ms);

/* Plans kind for due_ms whatever was planned; NP_JOB_NEVER cancels. */
void np_jobs_reschedule(struct np_jobs *jobs, unsigned kind, int64_t due_ms);

/* The earliest due time, NP_JOB_NEVER when nothing is planned. */
int64_t np_jobs_next_due(const struct np_jobs *jobs);

/* Takes the kind whose time is the earliest at or before now_ms out of the plan. Returns it, or -1 when none is due. */
int np_jobs_take_due(struct np_jobs *jobs, int64_t now_ms);

/* Retry state of one activity. */
struct np_backoff {
    int64_t first_ms; /* delay after the first failure */
    int64_t cap_ms;   /* the delay never grows past this */
    unsigned failures;
};

/* Delay before the next try, counting one more failure. retry_after_ms (0: none) is a floor, up to 10 % is added to it.
 */
int64_t np_backoff_fail(struct np_backoff *backoff, int64_t retry_after_ms, np_random_below_fn *below, void *ctx);

/* Forgets the failures: call when the state changed, not merely when a request succeeded. */
void np_backoff_reset(struct np_backoff *backoff);

#endif
