#include "resolver/base/jobs.h"

void np_jobs_init(struct np_jobs *jobs)
{
    for (unsigned kind = 0; kind < NP_JOBS_MAX; kind++)
        jobs->due_ms[kind] = NP_JOB_NEVER;
}

void np_jobs_schedule(struct np_jobs *jobs, unsigned kind, int64_t due_ms)
{
    if (kind < NP_JOBS_MAX && due_ms < jobs->due_ms[kind])
        jobs->due_ms[kind] = due_ms;
}

void np_jobs_reschedule(struct np_jobs *jobs, unsigned kind, int64_t due_ms)
{
    if (kind < NP_JOBS_MAX)
        jobs->due_ms[kind] = due_ms;
}

static unsigned earliest(const struct np_jobs *jobs)
{
    unsigned best = 0;
    for (unsigned kind = 1; kind < NP_JOBS_MAX; kind++) {
        if (jobs->due_ms[kind] < jobs->due_ms[best])
            best = kind;
    }
    return best;
}

int64_t np_jobs_next_due(const struct np_jobs *jobs)
{
    return jobs->due_ms[earliest(jobs)];
}

int np_jobs_take_due(struct np_jobs *jobs, int64_t now_ms)
{
    unsigned kind = earliest(jobs);
    if (jobs->due_ms[kind] == NP_JOB_NEVER || jobs->due_ms[kind] > now_ms)
        return -1;
    jobs->due_ms[kind] = NP_JOB_NEVER;
    return (int)kind;
}

int64_t np_backoff_fail(struct np_backoff *backoff, int64_t retry_after_ms, np_random_below_fn *below, void *ctx)
{
    int64_t delay = backoff->first_ms;
    for (unsigned i = 0; i < backoff->failures && delay < backoff->cap_ms; i++)
        delay *= 2;
    if (delay > backoff->cap_ms)
        delay = backoff->cap_ms;
    if (backoff->failures < 1000)
        backoff->failures++;
    int64_t half = delay / 2;
    delay = half + (int64_t)below(ctx, (uint32_t)(half > UINT32_MAX - 1 ? UINT32_MAX : half + 1));
    if (retry_after_ms > 0) {
        int64_t tenth = retry_after_ms / 10;
        int64_t floor =
            retry_after_ms + (int64_t)below(ctx, (uint32_t)(tenth > UINT32_MAX - 1 ? UINT32_MAX : tenth + 1));
        if (delay < floor)
            delay = floor;
    }
    return delay;
}

void np_backoff_reset(struct np_backoff *backoff)
{
    backoff->failures = 0;
}
