#include <string.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define DNS_PORT 53

/* Everybody who asked is told, once. */
static void finish(struct np_agent *agent)
{
    struct np_agent_servers *s = &agent->zone_servers;
    bool visible = s->for_visible, doctor = s->for_doctor;
    s->asking = s->for_visible = s->for_doctor = false;
    if (s->next_count > 0) {
        memcpy(s->found, s->next, sizeof s->found);
        s->count = s->next_count;
        s->found_ms = np_agent_now_ms(agent);
    }
    if (visible)
        np_agent_visible_servers(agent);
    if (doctor)
        np_agent_doctor_servers(agent);
}

static void on_found(void *ctx, int err, const char *why, const struct np_addr *addresses, size_t count)
{
    struct np_agent_lookup *slot = ctx;
    struct np_agent *agent = slot->agent;
    struct np_agent_servers *s = &agent->zone_servers;
    bool families[2] = {false, false};
    slot->lookup = NULL;
    if (err)
        np_debug("the zone's servers: %s", why);
    /* One address of each family: the others lead to the same server, or to the same set of them. */
    for (size_t i = 0; i < count && s->next_count < NP_AGENT_SERVERS_MAX; i++) {
        bool *had = &families[addresses[i].family == AF_INET6];
        if (!*had)
            s->next[s->next_count++] = (struct np_endpoint){addresses[i], DNS_PORT};
        *had = true;
    }
    if (--s->pending == 0)
        finish(agent);
}

void np_agent_servers_want(struct np_agent *agent)
{
    struct np_agent_servers *s = &agent->zone_servers;
    if (s->asking)
        return;
    s->asking = true;
    s->next_count = 0;
    s->pending = 1; /* this function's own: the look-ups may all fail to start */
    for (size_t i = 0; i < NP_AGENT_NAMESERVERS_MAX && i < agent->state.nameserver_count; i++) {
        s->lookups[i] = (struct np_agent_lookup){.agent = agent};
        int rc = np_lookup_start(&agent->loop, agent->state.nameservers[i], agent->lookup_servers,
                                 agent->lookup_server_count, on_found, &s->lookups[i], &s->lookups[i].lookup);
        if (rc == 0)
            s->pending++;
        else
            np_debug("the zone's servers: %s", np_strerror(rc));
    }
    if (--s->pending == 0)
        finish(agent);
}

void np_agent_servers_stop(struct np_agent *agent)
{
    struct np_agent_servers *s = &agent->zone_servers;
    for (size_t i = 0; i < NP_AGENT_NAMESERVERS_MAX; i++) {
        if (s->lookups[i].lookup)
            np_lookup_cancel(s->lookups[i].lookup);
        s->lookups[i].lookup = NULL;
    }
    s->asking = s->for_visible = s->for_doctor = false;
    s->pending = 0;
}

void np_agent_servers_forget(struct np_agent *agent)
{
    np_agent_servers_stop(agent);
    agent->zone_servers.count = 0;
    agent->zone_servers.found_ms = 0;
}
