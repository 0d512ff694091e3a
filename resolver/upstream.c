#include "resolver/upstream.h"

#define US         1000
#define SAMPLE_MAX (1000 * US) /* a slow domain is no slow server: one sample must not spoil the rest of the day */

static void measure(struct np_upstream *upstream, int64_t rtt_us)
{
    if (rtt_us < 0)
        rtt_us = 0;
    if (rtt_us > SAMPLE_MAX)
        rtt_us = SAMPLE_MAX;
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

void np_upstream_lives(struct np_upstream *upstream, int64_t now_ms)
{
    upstream->timeouts = upstream->probes = 0;
    upstream->last_answer_ms = now_ms;
    upstream->answers++;
}

void np_upstream_answered(struct np_upstream *upstream, int64_t now_ms, int64_t rtt_us)
{
    if (np_upstream_is_dead(upstream))
        upstream->measured = false; /* what it was before it went says nothing about what has come back */
    measure(upstream, rtt_us);
    np_upstream_lives(upstream, now_ms);
}

void np_upstream_failed(struct np_upstream *upstream, int64_t now_ms, int64_t waited_ms)
{
    /* What it cost to wait for it: a server that loses packets falls behind one that is slower but does not. */
    if (waited_ms > 0 && upstream->measured)
        measure(upstream, waited_ms * US);
    if (upstream->timeouts == 0)
        upstream->probe_ms = now_ms; /* one packet may be lost anywhere: seen again at once */
    upstream->failures++;
    if (upstream->timeouts < 1000)
        upstream->timeouts++;
}

void np_upstream_probed(struct np_upstream *upstream, int64_t now_ms)
{
    int64_t delay = NP_UPSTREAM_PROBE_FIRST_MS;
    if (upstream->measured && upstream->timeouts == 0)
        return; /* alive: this only measures it */
    for (unsigned i = 0; i < upstream->probes && delay < NP_UPSTREAM_PROBE_CAP_MS; i++)
        delay *= 2;
    if (upstream->probes < 1000)
        upstream->probes++;
    np_upstream_failed(upstream, now_ms, 0);
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
    if (++upstream->edns_strikes < NP_UPSTREAM_EDNS_STRIKES)
        return;
    upstream->edns_strikes = 0;
    upstream->edns_seen = false;
    upstream->plain_until_ms = now_ms + NP_UPSTREAM_FORGIVE_MS;
}

void np_upstream_kept_edns(struct np_upstream *upstream)
{
    upstream->edns_strikes = 0;
    upstream->edns_seen = true;
}

void np_upstream_cut_stream(struct np_upstream *upstream, int64_t now_ms, uint64_t answers)
{
    unsigned limit = answers < 1 ? 1 : answers > 1000 ? 1000 : (unsigned)answers;
    if (upstream->pipeline == 0 || limit < upstream->pipeline || now_ms >= upstream->pipeline_until_ms)
        upstream->pipeline = limit;
    upstream->pipeline_until_ms = now_ms + NP_UPSTREAM_FORGIVE_MS;
}

void np_upstream_lost_stream(struct np_upstream *upstream, int64_t now_ms)
{
    upstream->no_stream_until_ms = now_ms + NP_UPSTREAM_NO_STREAM_MS;
}

bool np_upstream_echoed(struct np_upstream *upstream, int64_t now_ms, unsigned bits)
{
    bool paused = upstream->loop_until_ms != 0 && now_ms < upstream->loop_until_ms + NP_UPSTREAM_LOOP_MS;
    if (!paused && now_ms - upstream->echo_ms > NP_UPSTREAM_ECHO_MS)
        upstream->loop_bits = 0;
    upstream->echo_ms = now_ms;
    upstream->loop_bits += bits;
    if (upstream->loop_bits < NP_UPSTREAM_LOOP_BITS)
        return false;
    upstream->loop_bits = NP_UPSTREAM_LOOP_BITS / 2; /* after the pause one more question tells */
    upstream->loop_until_ms = now_ms + NP_UPSTREAM_LOOP_MS;
    return true;
}

void np_upstream_resolved(struct np_upstream *upstream)
{
    upstream->loop_bits = 0;
}

bool np_upstream_may_ask(const struct np_upstream *upstream, int64_t now_ms)
{
    return !upstream->itself && now_ms >= upstream->loop_until_ms;
}

bool np_upstream_checks_case(const struct np_upstream *upstream, int64_t now_ms)
{
    return now_ms >= upstream->case_until_ms;
}

bool np_upstream_has_edns(const struct np_upstream *upstream, int64_t now_ms)
{
    return now_ms >= upstream->plain_until_ms;
}

unsigned np_upstream_pipeline(const struct np_upstream *upstream, int64_t now_ms, unsigned max)
{
    bool known = upstream->pipeline > 0 && now_ms < upstream->pipeline_until_ms;
    return known && upstream->pipeline < max ? upstream->pipeline : max;
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

int64_t np_upstream_late(const struct np_upstream *upstream)
{
    int64_t late = (upstream->srtt_us + 4 * upstream->var_us) / US, rto = np_upstream_rto(upstream);
    if (!upstream->measured)
        late = NP_UPSTREAM_RTO_FIRST_MS / 4;
    if (late < NP_UPSTREAM_LATE_MIN_MS)
        late = NP_UPSTREAM_LATE_MIN_MS;
    return late < rto ? late : rto;
}

int64_t np_upstream_stream_wait(const struct np_upstream *upstream)
{
    int64_t wait = 2 * np_upstream_rto(upstream);
    if (wait < NP_UPSTREAM_STREAM_MIN_MS)
        return NP_UPSTREAM_STREAM_MIN_MS;
    return wait < NP_UPSTREAM_STREAM_MAX_MS ? wait : NP_UPSTREAM_STREAM_MAX_MS;
}

bool np_upstream_wants_ping(struct np_upstream *upstream, int64_t start_ms, int64_t now_ms)
{
    if (upstream->last_answer_ms > start_ms || now_ms < upstream->ping_ms)
        return false;
    upstream->ping_ms = now_ms + NP_UPSTREAM_PING_MS;
    return true;
}
