#include "resolver/upstream.h"

#define US 1000

static void measure(struct np_upstream *upstream, int64_t rtt_ms)
{
    int64_t rtt_us = rtt_ms * US;
    if (!upstream->measured) {
        upstream->measured = true;
        upstream->srtt_us = rtt_us;
        upstream->var_us = rtt_us / 2;
        return;
    }
    int64_t error = rtt_us - upstream->srtt_us;
    upstream->var_us += ((error < 0 ? -error : error) - upstream->var_us) / 4;
    upstream->srtt_us += error / 8;
}

void np_upstream_answered(struct np_upstream *upstream, int64_t now_ms, int64_t rtt_ms)
{
    measure(upstream, rtt_ms);
    upstream->timeouts = 0;
    upstream->last_answer_ms = now_ms;
    upstream->answers++;
}

void np_upstream_failed(struct np_upstream *upstream, int64_t now_ms, int64_t waited_ms)
{
    /* The true time is longer than what was waited: enough to fall behind the others. */
    if (waited_ms > 0)
        measure(upstream, waited_ms * 2);
    upstream->failures++;
    if (upstream->timeouts < 1000)
        upstream->timeouts++;
    int64_t delay = NP_UPSTREAM_PROBE_FIRST_MS;
    for (unsigned i = NP_UPSTREAM_DEAD_AFTER; i < upstream->timeouts && delay < NP_UPSTREAM_PROBE_CAP_MS; i++)
        delay *= 2;
    upstream->probe_ms = now_ms + (delay < NP_UPSTREAM_PROBE_CAP_MS ? delay : NP_UPSTREAM_PROBE_CAP_MS);
}

void np_upstream_broke_case(struct np_upstream *upstream, int64_t now_ms)
{
    if (++upstream->case_strikes < NP_UPSTREAM_CASE_STRIKES)
        return;
    upstream->case_strikes = 0;
    upstream->case_until_ms = now_ms + NP_UPSTREAM_FORGIVE_MS;
}

void np_upstream_kept_case(struct np_upstream *upstream)
{
    upstream->case_strikes = 0;
}

void np_upstream_broke_edns(struct np_upstream *upstream, int64_t now_ms)
{
    upstream->plain_until_ms = now_ms + NP_UPSTREAM_FORGIVE_MS;
}

bool np_upstream_checks_case(const struct np_upstream *upstream, int64_t now_ms)
{
    return now_ms >= upstream->case_until_ms;
}

bool np_upstream_has_edns(const struct np_upstream *upstream, int64_t now_ms)
{
    return now_ms >= upstream->plain_until_ms;
}

bool np_upstream_is_dead(const struct np_upstream *upstream)
{
    return upstream->timeouts >= NP_UPSTREAM_DEAD_AFTER;
}

int64_t np_upstream_rto(const struct np_upstream *upstream)
{
    if (!upstream->measured)
        return NP_UPSTREAM_RTO_FIRST_MS;
    int64_t rto = (upstream->srtt_us + 4 * upstream->var_us) / US;
    if (rto < NP_UPSTREAM_RTO_MIN_MS)
        return NP_UPSTREAM_RTO_MIN_MS;
    return rto < NP_UPSTREAM_RTO_MAX_MS ? rto : NP_UPSTREAM_RTO_MAX_MS;
}

/* Is a better than b for this attempt? Fewest tries first, then the living, then the fastest; one never measured counts
 * as fast, so that each is tried once. */
static bool is_better(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t a, size_t b)
{
    if (attempt->sent[a] != attempt->sent[b])
        return attempt->sent[a] < attempt->sent[b];
    bool dead_a = np_upstream_is_dead(group[a]), dead_b = np_upstream_is_dead(group[b]);
    if (dead_a != dead_b)
        return dead_b;
    if (dead_a)
        return group[a]->probe_ms < group[b]->probe_ms;
    return group[a]->srtt_us < group[b]->srtt_us;
}

static int choose(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count,
                  np_random_below_fn *below, void *ctx)
{
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        /* With a SERVFAIL in hand only a living server that was not asked yet may still better it. */
        if (attempt->fallback_ms && (attempt->sent[i] > 0 || np_upstream_is_dead(group[i])))
            continue;
        if (!attempt->exhausted[i] && (best < 0 || is_better(attempt, group, i, (size_t)best)))
            best = (int)i;
    }
    /* A first try now and then measures another one: the fastest of last week need not be today's. */
    if (best < 0 || count < 2 || attempt->tries > 0 || below(ctx, NP_UPSTREAM_EXPLORE) != 0)
        return best;
    size_t other = below(ctx, (uint32_t)count);
    return attempt->exhausted[other] || np_upstream_is_dead(group[other]) ? best : (int)other;
}

int64_t np_attempt_deadline(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (group[i]->last_answer_ms >= attempt->start_ms && group[i]->last_answer_ms != 0)
            return attempt->start_ms + NP_ATTEMPT_DEADLINE_MS;
    }
    return attempt->start_ms + NP_ATTEMPT_OFFLINE_MS;
}

enum np_attempt_step np_attempt_next(const struct np_attempt *attempt, const struct np_upstream *const *group,
                                     size_t count, int64_t now_ms, np_random_below_fn *below, void *ctx,
                                     size_t *out_index, int64_t *out_due_ms)
{
    if (count > NP_VIEW_UPSTREAMS_MAX)
        count = NP_VIEW_UPSTREAMS_MAX;
    int64_t deadline = np_attempt_deadline(attempt, group, count);
    if (attempt->fallback_ms && attempt->fallback_ms + NP_ATTEMPT_GRACE_MS < deadline)
        deadline = attempt->fallback_ms + NP_ATTEMPT_GRACE_MS;
    if (now_ms >= deadline)
        return NP_ATTEMPT_GIVE_UP;
    int index = attempt->tries < NP_ATTEMPT_TRIES_MAX ? choose(attempt, group, count, below, ctx) : -1;
    if (index < 0) {
        if (attempt->active == 0)
            return NP_ATTEMPT_GIVE_UP;
        *out_due_ms = deadline;
        return NP_ATTEMPT_WAIT;
    }
    /* Half as long again each time round, so that a slow server is not flooded with the same question. */
    int64_t wait = np_upstream_rto(group[index]);
    for (unsigned i = 0; i < attempt->sent[index]; i++)
        wait += wait / 2;
    *out_index = (size_t)index;
    *out_due_ms = now_ms + wait < deadline ? now_ms + wait : deadline;
    return NP_ATTEMPT_SEND;
}

void np_attempt_sent(struct np_attempt *attempt, size_t index)
{
    attempt->tries++;
    if (index < NP_VIEW_UPSTREAMS_MAX && attempt->sent[index] < UINT8_MAX)
        attempt->sent[index]++;
}

int np_attempt_probe(const struct np_upstream *const *group, size_t count, size_t chosen, int64_t now_ms)
{
    for (size_t i = 0; i < count && i < NP_VIEW_UPSTREAMS_MAX; i++) {
        if (i != chosen && np_upstream_is_dead(group[i]) && now_ms >= group[i]->probe_ms)
            return (int)i;
    }
    return -1;
}
