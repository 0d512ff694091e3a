#include "resolver/forward_private.h"

const struct np_forward_stats *np_forward_stats(const struct np_forward *forward)
{
    return &forward->stats;
}

size_t np_forward_inflight(const struct np_forward *forward)
{
    return forward->inflight;
}

const char *np_forward_health_name(enum np_forward_health health)
{
    static const char *const names[] = {"untried", "alive", "suspect", "dead", "loop", "itself"};
    return (unsigned)health < sizeof names / sizeof *names ? names[health] : "unknown";
}

static enum np_forward_health health_of(const struct np_upstream *state, int64_t now)
{
    if (state->itself)
        return NP_FORWARD_ITSELF;
    if (!np_upstream_may_ask(state, now))
        return NP_FORWARD_LOOP;
    if (np_upstream_is_dead(state))
        return NP_FORWARD_DEAD;
    if (state->timeouts > 0)
        return NP_FORWARD_SUSPECT;
    return state->last_answer_ms ? NP_FORWARD_ALIVE : NP_FORWARD_UNTRIED;
}

static struct np_forward_upstream describe(const struct np_forward *forward, const struct np_name *zone,
                                           const struct remote *remote)
{
    const struct np_upstream *state = &remote->state;
    int64_t now = (int64_t)uv_now(forward->loop);
    struct np_forward_upstream upstream = {
        .zone = *zone,
        .server = remote->server,
        .health = health_of(state, now),
        .alive = !np_upstream_is_dead(state),
        .measured = state->measured,
        .checks_case = np_upstream_checks_case(state, now),
        .edns = np_upstream_has_edns(state, now),
        .srtt_us = state->srtt_us,
        .answered_ms = state->last_answer_ms ? now - state->last_answer_ms : -1,
        .answers = state->answers,
        .failures = state->failures,
        .asked = remote->asked,
        .timeouts = remote->timeouts,
        .errors = remote->errors,
        .streamed = remote->streamed,
        .tls = remote->tls,
    };
    for (size_t i = 0; i < NP_FORWARD_CONNECTIONS_PER_UPSTREAM; i++)
        upstream.connections += remote->connections[i] != NULL;
    return upstream;
}

size_t np_forward_upstreams(const struct np_forward *forward, struct np_forward_upstream *out_upstreams, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < forward->group_count; i++) {
        const struct group *group = &forward->groups[i];
        for (size_t k = 0; k < group->count && count < max; k++)
            out_upstreams[count++] = describe(forward, &group->zone, group->remotes[k]);
    }
    return count;
}
