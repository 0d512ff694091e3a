#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define DNS_PORT 53

static void ask_next(struct np_agent *agent);

static void report(struct np_agent *agent, int rc, const struct np_addresses *found)
{
    struct np_enrol_event event = {.type = NP_EVENT_ZONE, .rc = rc, .addresses = found};
    np_jobs_reschedule(&agent->jobs, NP_JOB_ZONE, NP_JOB_NEVER);
    agent->zone_asking = false;
    unsigned before = agent->enrol.compared;
    np_agent_enrol(agent, &event);
    if (agent->enrol.compared != before) {
        char list[NP_EVENT_TEXT_MAX];
        np_warning("the zone does not have what HQ promised: pushed again");
        np_agent_event(agent, NP_HAPPENED_DIFFERS, "the zone had %s; pushed again",
                       np_agent_list(found, list, sizeof list));
    }
}

static void on_own_name(void *ctx, int err, const char *why, const struct np_addr *addresses, size_t count)
{
    struct np_agent *agent = ctx;
    struct np_addresses found = {0};
    agent->zone_lookup = NULL;
    if (err && err != NP_E_NOT_FOUND) {
        np_debug("the zone: %s: %s", agent->state.nameservers[agent->zone_server], why);
        agent->zone_server++;
        ask_next(agent);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (addresses[i].family == AF_INET && found.v4_count < NP_WIRE_V4_MAX)
            found.v4[found.v4_count++] = addresses[i];
        else if (addresses[i].family == AF_INET6 && found.v6_count < NP_WIRE_V6_MAX)
            found.v6[found.v6_count++] = addresses[i];
    }
    np_info("the zone has %zu IPv4 and %zu IPv6 addresses for %s", found.v4_count, found.v6_count, agent->state.name);
    report(agent, 0, &found);
}

static void on_server(void *ctx, int err, const char *why, const struct np_addr *addresses, size_t count)
{
    struct np_agent *agent = ctx;
    struct np_endpoint servers[NP_LOOKUP_ADDRESSES_MAX];
    agent->zone_lookup = NULL;
    for (size_t i = 0; i < count; i++)
        servers[i] = (struct np_endpoint){.addr = addresses[i], .port = DNS_PORT};
    if (!err)
        err = np_lookup_start(&agent->loop, agent->state.name, servers, count, on_own_name, agent, &agent->zone_lookup);
    if (err) {
        np_debug("the zone: %s", why);
        agent->zone_server++;
        ask_next(agent);
    }
}

static void ask_next(struct np_agent *agent)
{
    int rc = NP_E_DNS;
    while (agent->zone_server < agent->state.nameserver_count) {
        rc = np_lookup_start(&agent->loop, agent->state.nameservers[agent->zone_server], agent->lookup_servers,
                             agent->lookup_server_count, on_server, agent, &agent->zone_lookup);
        if (rc == 0)
            return;
        agent->zone_server++;
    }
    np_info("the zone cannot be asked for the own name: %s", np_strerror(rc));
    report(agent, rc, NULL);
}

void np_agent_ask_zone(struct np_agent *agent)
{
    np_agent_zone_stop(agent);
    agent->zone_server = 0;
    agent->zone_asking = true;
    np_jobs_reschedule(&agent->jobs, NP_JOB_ZONE, np_agent_now_ms(agent)); /* from the loop, not from inside a step */
}

void np_agent_zone_due(struct np_agent *agent)
{
    if (!agent->zone_asking)
        return;
    if (!agent->zone_lookup && agent->zone_server == 0) {
        np_jobs_reschedule(&agent->jobs, NP_JOB_ZONE, np_agent_now_ms(agent) + NP_ZONE_DEADLINE_MS);
        ask_next(agent);
        return;
    }
    np_agent_zone_stop(agent);
    np_info("the zone cannot be asked for the own name: no answer in %d s", NP_ZONE_DEADLINE_MS / 1000);
    report(agent, -ETIMEDOUT, NULL);
}

void np_agent_zone_stop(struct np_agent *agent)
{
    if (agent->zone_lookup)
        np_lookup_cancel(agent->zone_lookup);
    agent->zone_lookup = NULL;
    agent->zone_asking = false;
    np_jobs_reschedule(&agent->jobs, NP_JOB_ZONE, NP_JOB_NEVER);
}
