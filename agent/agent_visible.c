#include <stdio.h>
#include <string.h>

#include "agent/agent_private.h"
#include "agent/certificate/renew.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define SERVERS_MS 3600000 /* name servers seldom move; asked anew at the latest then */
#define PROBE_MS   1500
#define FIRST_MS   100   /* a zone server that is quick has it by then */
#define PACE_MAX   30000 /* between two questions */
#define GIVE_UP_MS 600000

static void next(struct np_agent *agent)
{
    struct np_visible *v = &agent->visible;
    int64_t pace_ms = (int64_t)FIRST_MS << (v->tries < 16 ? v->tries : 16);
    v->tries++;
    np_jobs_reschedule(&agent->jobs, NP_JOB_VISIBLE,
                       np_agent_now_ms(agent) + (pace_ms < PACE_MAX ? pace_ms : PACE_MAX));
    np_agent_arm(agent);
}

static void end(struct np_agent *agent, enum np_visible_state state, const char *text)
{
    struct np_visible *v = &agent->visible;
    v->state = state;
    np_jobs_reschedule(&agent->jobs, NP_JOB_VISIBLE, NP_JOB_NEVER);
    np_agent_event_step(agent, state == NP_VISIBLE_YES ? NP_HAPPENED_VISIBLE : NP_HAPPENED_INVISIBLE, text);
    if (state == NP_VISIBLE_YES)
        np_agent_doctor_plan(agent, (agent->state.ttl_s > 0 ? agent->state.ttl_s : 60) * 1000);
}

/* What one server says. Without AA it is not the zone's server that speaks. */
static bool take_answer(const struct np_probe_server *server, struct np_addresses *out)
{
    for (int k = NP_PROBE_OWN4; k <= NP_PROBE_OWN6; k++) {
        const struct np_probe_answer *a = &server->answers[k];
        if (a->state != NP_PROBE_ANSWERED || !a->aa)
            return false;
        for (size_t i = 0; i < a->address_count; i++) {
            if (a->addresses[i].family == AF_INET && out->v4_count < NP_WIRE_V4_MAX)
                out->v4[out->v4_count++] = a->addresses[i];
            else if (a->addresses[i].family == AF_INET6 && out->v6_count < NP_WIRE_V6_MAX)
                out->v6[out->v6_count++] = a->addresses[i];
        }
    }
    return true;
}

static void on_probed(void *ctx, const struct np_probe_server *servers, size_t count)
{
    struct np_agent *agent = ctx;
    struct np_visible *v = &agent->visible;
    size_t asked = 0, right = 0;
    char text[NP_EVENT_TEXT_MAX];
    v->probe = NULL;
    for (size_t i = 0; i < count; i++) {
        struct np_addresses found = {0};
        if (!take_answer(&servers[i], &found))
            continue;
        asked++;
        right += np_renew_same_addresses(&found, &v->wanted);
    }
    v->asked = asked;
    v->right = right;
    if (asked > 0 && right == asked) {
        snprintf(text, sizeof text, "%zu of %zu name server addresses that answer show it", right, asked);
        end(agent, NP_VISIBLE_YES, text);
    } else if (np_agent_now_ms(agent) - v->begin_ms >= GIVE_UP_MS) {
        snprintf(text, sizeof text,
                 asked ? "HQ has taken it, but only %zu of %zu name server addresses show it"
                       : "none of the zone's name servers can be asked",
                 right, asked);
        end(agent, NP_VISIBLE_NO, text);
    } else {
        next(agent);
    }
}

static void probe(struct np_agent *agent)
{
    const struct np_agent_servers *s = &agent->zone_servers;
    struct np_visible *v = &agent->visible;
    struct np_probe_server servers[NP_AGENT_SERVERS_MAX];
    struct np_probe_names names = {.zone = {.len = 0}};
    memset(servers, 0, sizeof servers);
    for (size_t i = 0; i < s->count; i++)
        servers[i] = (struct np_probe_server){
            .server = s->found[i], .role = NP_PROBE_ZONE, .asked = {[NP_PROBE_OWN4] = true, [NP_PROBE_OWN6] = true}};
    if (np_name_parse(agent->state.name, &names.own) || s->count == 0 ||
        np_probe_start(&agent->loop, &names, servers, s->count, PROBE_MS, on_probed, agent, &v->probe))
        on_probed(agent, NULL, 0); /* none could be asked */
}

void np_agent_visible_servers(struct np_agent *agent)
{
    if (agent->visible.state == NP_VISIBLE_ASKING && !agent->visible.probe)
        probe(agent);
}

void np_agent_visible_due(struct np_agent *agent)
{
    struct np_agent_servers *s = &agent->zone_servers;
    if (agent->visible.state != NP_VISIBLE_ASKING || agent->visible.probe)
        return;
    if (s->count > 0 && np_agent_now_ms(agent) - s->found_ms < SERVERS_MS) {
        probe(agent);
        return;
    }
    s->for_visible = true;
    np_agent_servers_want(agent);
}

void np_agent_visible_start(struct np_agent *agent, const struct np_addresses *wanted)
{
    struct np_visible *v = &agent->visible;
    np_agent_visible_stop(agent);
    if (agent->state.nameserver_count == 0)
        return;
    v->state = NP_VISIBLE_ASKING;
    v->wanted = *wanted;
    v->begin_ms = np_agent_now_ms(agent);
    v->tries = 0;
    next(agent);
}

void np_agent_visible_stop(struct np_agent *agent)
{
    struct np_visible *v = &agent->visible;
    np_probe_cancel(v->probe);
    v->probe = NULL;
    v->state = NP_VISIBLE_UNKNOWN;
    agent->zone_servers.for_visible = false;
    np_jobs_reschedule(&agent->jobs, NP_JOB_VISIBLE, NP_JOB_NEVER);
}
