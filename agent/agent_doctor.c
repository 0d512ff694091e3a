#include "agent/agent_doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"

#define OFFERED_MAX    7 /* with two gateways, the own resolver and the zone's servers they fill NP_PROBE_SERVERS_MAX */
#define GATEWAYS_MAX   2
#define HANDSHAKE_MS   2500
#define PUSH_SETTLE_MS 30000 /* so long after a push the zone may still have what was before */
#define DNS_PORT       53

_Static_assert(OFFERED_MAX + GATEWAYS_MAX + 1 + NP_AGENT_SERVERS_MAX == NP_PROBE_SERVERS_MAX, "all have a place");

/* One handshake under way. It outlives its round where that ends first. */
struct np_doctor_call {
    struct np_agent_doctor *doctor; /* NULL: nobody waits for it any more */
    struct np_doctor_shake *shake;
    struct np_doctor_call **place;
    struct np_stream *stream;
    int64_t begin_ms;
};

static void conclude(struct np_agent_doctor *d);

static void part_over(struct np_agent_doctor *d)
{
    if (--d->open_parts == 0 && d->running)
        conclude(d);
}

/* Handshakes. */

static void on_shaken(void *ctx, struct np_stream *stream)
{
    struct np_doctor_call *call = ctx;
    if (call->doctor) {
        call->shake->over = true;
        call->shake->took_ms = np_agent_now_ms(call->doctor->agent) - call->begin_ms;
        call->shake->has_digest = np_stream_peer_digest(stream, call->shake->digest);
    }
    np_stream_close(stream);
}

static size_t on_bytes(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len)
{
    (void)ctx;
    (void)stream;
    (void)data;
    return len;
}

static void on_gone(void *ctx, int err, const char *why)
{
    struct np_doctor_call *call = ctx;
    struct np_agent_doctor *d = call->doctor;
    if (d) {
        if (!call->shake->over) {
            call->shake->over = true;
            call->shake->err = err ? err : NP_E_CLOSED;
            snprintf(call->shake->why, sizeof call->shake->why, "%s", why);
        }
        *call->place = NULL;
    }
    free(call);
    if (d)
        part_over(d);
}

/* A call that the loop ends; NULL where there is no memory. */
static struct np_doctor_call *new_call(struct np_agent_doctor *d, struct np_doctor_shake *shake,
                                       struct np_doctor_call **place, struct np_stream_options *out_options)
{
    struct np_doctor_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->doctor = d;
    call->shake = shake;
    call->place = place;
    call->begin_ms = np_agent_now_ms(d->agent);
    *out_options = (struct np_stream_options){
        .loop = &d->agent->loop,
        .events = {.on_ready = on_shaken, .on_data = on_bytes, .on_closed = on_gone},
        .ctx = call,
        .handshake_ms = HANDSHAKE_MS,
        .close_ms = 200,
    };
    return call;
}

static void failed_at_once(struct np_doctor_call *call, int rc)
{
    call->shake->over = true;
    call->shake->err = rc;
    snprintf(call->shake->why, sizeof call->shake->why, "%s", np_strerror(rc));
    free(call);
}

/* Where the front serves https: the first such listener that is open. */
static bool find_listener(const struct np_agent *agent, enum np_listen_kind kind, struct np_endpoint *out)
{
    for (size_t i = 0; i < agent->listeners.count; i++) {
        const struct np_listener *item = &agent->listeners.items[i];
        if (item->kind != kind || !item->wanted || item->fd < 0 ||
            np_addr_classify(&item->local.addr) == NP_ADDR_LINK_LOCAL)
            continue;
        *out = item->local;
        return true;
    }
    return false;
}

static void shake_front(struct np_agent_doctor *d)
{
    struct np_agent *agent = d->agent;
    struct np_stream_options options;
    struct np_stream_target target = {.server_name = agent->state.name};
    d->front = (struct np_doctor_shake){0};
    if (!agent->front || !agent->state.has_chain || !find_listener(agent, NP_LISTEN_HTTPS, &target.remote))
        return;
    d->front.asked = true;
    d->front.remote = target.remote;
    struct np_doctor_call *call = new_call(d, &d->front, &d->front_call, &options);
    if (!call)
        return;
    int rc = np_stream_connect_public(&options, &target, &call->stream);
    if (rc) {
        failed_at_once(call, rc);
        return;
    }
    d->front_call = call;
    d->open_parts++;
}

static void on_hq_found(void *ctx, int err, const char *why, const struct np_addr *addresses, size_t count)
{
    struct np_agent_doctor *d = ctx;
    struct np_agent *agent = d->agent;
    struct np_stream_options options;
    struct np_doctor_call *call = NULL;
    d->hq_lookup = NULL;
    int rc = err;
    if (!err && count > 0 && (call = new_call(d, &d->hq, &d->hq_call, &options))) {
        /* IPv4 where there is one: a home without IPv6 is no fault of HQ's. */
        size_t at = 0;
        while (at + 1 < count && addresses[at].family != AF_INET)
            at++;
        d->hq.remote = (struct np_endpoint){addresses[at], agent->config->hq.port};
        rc = np_stream_connect(&options, &d->hq.remote, agent->config->hq.host, agent->anchors,
                               np_agent_judged_s(agent), &call->stream);
        if (rc == 0) {
            d->hq_call = call; /* this part goes on */
            return;
        }
        failed_at_once(call, rc);
    } else {
        d->hq.over = true;
        d->hq.err = err ? err : NP_E_DNS;
        snprintf(d->hq.why, sizeof d->hq.why, "%s", why);
    }
    part_over(d);
}

static void shake_hq(struct np_agent_doctor *d)
{
    struct np_agent *agent = d->agent;
    d->hq = (struct np_doctor_shake){.asked = true};
    int rc = np_lookup_start(&agent->loop, agent->config->hq.host, agent->lookup_servers, agent->lookup_server_count,
                             on_hq_found, d, &d->hq_lookup);
    if (rc == 0) {
        d->open_parts++;
        return;
    }
    d->hq.over = true;
    d->hq.err = rc;
    snprintf(d->hq.why, sizeof d->hq.why, "%s",
             rc == NP_E_MISSING ? "no DNS server is known to look it up at" : np_strerror(rc));
}

static void drop_call(struct np_doctor_call **place)
{
    struct np_doctor_call *call = *place;
    if (!call)
        return;
    *place = NULL;
    call->doctor = NULL;
    np_stream_abort(call->stream);
}

/* Probes. */

/* Answers come into the places that their servers have in the round. */
static void take_answers(struct np_agent_doctor *d, const struct np_probe_server *servers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < d->count; k++) {
            if (d->servers[k].role == servers[i].role && d->servers[k].server.port == servers[i].server.port &&
                np_addr_equal(&d->servers[k].server.addr, &servers[i].server.addr))
                d->servers[k] = servers[i];
        }
    }
}

static void on_home_probed(void *ctx, const struct np_probe_server *servers, size_t count)
{
    struct np_agent_doctor *d = ctx;
    d->home = NULL;
    take_answers(d, servers, count);
    part_over(d);
}

static void on_zone_probed(void *ctx, const struct np_probe_server *servers, size_t count)
{
    struct np_agent_doctor *d = ctx;
    d->zone = NULL;
    take_answers(d, servers, count);
    part_over(d);
}

static bool is_listed(const struct np_agent_doctor *d, const struct np_endpoint *server)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->servers[i].server.port == server->port && np_addr_equal(&d->servers[i].server.addr, &server->addr))
            return true;
    }
    return false;
}

static void add_server(struct np_agent_doctor *d, const struct np_endpoint *server, enum np_probe_role role)
{
    struct np_probe_server *place = &d->servers[d->count];
    if (d->count == NP_PROBE_SERVERS_MAX || (role != NP_PROBE_ZONE && is_listed(d, server)))
        return;
    *place = (struct np_probe_server){.server = *server, .role = role};
    place->asked[NP_PROBE_OWN4] = place->asked[NP_PROBE_OWN6] = true;
    if (role != NP_PROBE_SELF)
        place->asked[NP_PROBE_REBIND] = place->asked[NP_PROBE_PLAIN] = true;
    place->asked[NP_PROBE_VERSION] = role == NP_PROBE_OFFERED || role == NP_PROBE_GATEWAY;
    d->count++;
}

/* Those of the lease, also where the configuration names others for this box: other devices of the home ask them. */
static void add_offered(struct np_agent_doctor *d)
{
    const struct np_agent *agent = d->agent;
    struct np_endpoint found[OFFERED_MAX], clear;
    size_t count = 0;
    for (size_t i = 0; i < agent->config->upstream_file_count; i++)
        count = np_upstreams_read(agent->config->upstream_files[i], found, count, OFFERED_MAX);
    for (size_t i = 0; i < agent->server_count && count < OFFERED_MAX; i++) {
        if (np_view_upstream_clear(&agent->servers[i], &clear))
            found[count++] = clear;
    }
    for (size_t i = 0; i < count; i++) {
        if (!np_agent_is_self(agent, &found[i]))
            add_server(d, &found[i], NP_PROBE_OFFERED);
    }
}

static void add_gateways(struct np_agent_doctor *d)
{
    const struct np_network *network = &d->agent->network;
    size_t added = 0;
    for (size_t i = 0; i < network->route_count && added < GATEWAYS_MAX; i++) {
        struct np_endpoint gateway = {.addr = network->routes[i].gateway, .port = DNS_PORT};
        size_t before = d->count;
        if (gateway.addr.family == AF_UNSPEC || np_agent_is_self(d->agent, &gateway))
            continue;
        if (np_addr_classify(&gateway.addr) == NP_ADDR_LINK_LOCAL && gateway.addr.family == AF_INET6)
            gateway.addr.scope = network->routes[i].ifindex;
        add_server(d, &gateway, NP_PROBE_GATEWAY);
        added += d->count > before;
    }
}

static bool make_names(const struct np_agent *agent, struct np_probe_names *out)
{
    *out = (struct np_probe_names){.zone = {.len = 0}};
    if (!agent->state.name[0] || np_name_parse(agent->state.name, &out->own))
        return false;
    if (np_name_labels(&out->own) > 1)
        out->zone = np_name_parent(&out->own, 1);
    return true;
}

static void probe_home(struct np_agent_doctor *d)
{
    struct np_agent *agent = d->agent;
    struct np_probe_names names;
    struct np_endpoint self;
    add_offered(d);
    add_gateways(d);
    if (agent->resolver && find_listener(agent, NP_LISTEN_DNS_UDP, &self))
        add_server(d, &self, NP_PROBE_SELF);
    if (!make_names(agent, &names) || d->count == 0)
        return;
    if (np_probe_start(&agent->loop, &names, d->servers, d->count, 0, on_home_probed, d, &d->home) == 0)
        d->open_parts++;
}

/* The zone's servers are known, or cannot be found: those of before then. */
static void probe_zone(struct np_agent_doctor *d)
{
    const struct np_agent_servers *s = &d->agent->zone_servers;
    struct np_probe_names names;
    size_t first = d->count;
    d->wants_servers = false;
    np_jobs_reschedule(&d->agent->jobs, NP_JOB_DOCTOR_SERVERS, NP_JOB_NEVER);
    for (size_t i = 0; i < s->count; i++)
        add_server(d, &s->found[i], NP_PROBE_ZONE);
    if (d->count > first && make_names(d->agent, &names) &&
        np_probe_start(&d->agent->loop, &names, d->servers + first, d->count - first, NP_DOCTOR_ZONE_MS, on_zone_probed,
                       d, &d->zone) == 0)
        return; /* this part goes on */
    part_over(d);
}

void np_agent_doctor_servers(struct np_agent *agent)
{
    if (agent->doctor && agent->doctor->running && agent->doctor->wants_servers)
        probe_zone(agent->doctor);
}

/* Rounds. */

static void add_all(struct np_addresses *out, const struct np_choice_interface *link)
{
    for (size_t i = 0; i < link->v4_count && out->v4_count < NP_WIRE_V4_MAX; i++)
        out->v4[out->v4_count++] = link->v4[i].addr;
    for (size_t i = 0; i < link->v6_count && out->v6_count < NP_WIRE_V6_MAX; i++)
        out->v6[out->v6_count++] = link->v6[i].addr;
}

static void know(const struct np_agent_doctor *d, struct np_probe_facts *out)
{
    const struct np_agent *agent = d->agent;
    const struct np_enrol *e = &agent->enrol;
    memset(out, 0, sizeof *out);
    if (!agent->config->policy.local_only)
        out->published = e->has_pushed                ? e->pushed.published
                         : e->publisher.has_confirmed ? e->publisher.confirmed
                                                      : agent->choice.publish;
    bool settled = agent->visible.state != NP_VISIBLE_ASKING || d->begin_ms - agent->visible.begin_ms > PUSH_SETTLE_MS;
    out->confirmed = e->publisher.has_confirmed && settled;
    for (size_t i = 0; i < agent->choice.interface_count; i++)
        add_all(&out->local, &agent->choice.interfaces[i]);
    memcpy(out->past, agent->past, sizeof out->past);
    out->past_count = agent->past_count;
    out->homes_resolver = np_agent_is_homes_resolver(agent);
    out->hq_works = d->hq.asked ? d->hq.over && d->hq.err == 0 : e->last_contact_ms > 0 && !e->problem[0];
}

static void conclude(struct np_agent_doctor *d)
{
    struct np_agent *agent = d->agent;
    struct np_probe_facts facts;
    enum np_probe_verdict before = d->has_result ? d->result.verdict : NP_PROBE_UNTESTED;
    d->running = false;
    np_jobs_reschedule(&agent->jobs, NP_JOB_DOCTOR_END, NP_JOB_NEVER);
    know(d, &facts);
    np_probe_judge(&facts, d->servers, d->count, &d->result);
    if (!agent->state.name[0]) {
        d->result.verdict = NP_PROBE_UNTESTED;
        snprintf(d->result.summary, sizeof d->result.summary, "This box has no name yet.");
    }
    d->has_result = true;
    d->was_full = d->full;
    d->at_s = np_agent_judged_s(agent);
    d->at_ms = np_agent_now_ms(agent);
    d->took_ms = d->at_ms - d->begin_ms;
    if (d->result.verdict != before) {
        np_notice("doctor: %s: %s", np_probe_verdict_word(d->result.verdict), d->result.summary);
        np_agent_event(agent, NP_HAPPENED_DOCTOR, "%s: %s", np_probe_verdict_word(d->result.verdict),
                       d->result.summary);
    }
    np_agent_doctor_tell_front(agent);
    if (d->result.verdict != NP_PROBE_FINE && d->result.verdict != NP_PROBE_UNPUBLISHED)
        np_agent_doctor_plan(agent, NP_DOCTOR_TROUBLE_MS - np_random_below(NP_DOCTOR_TROUBLE_MS / 12));
    for (size_t i = 0; i < d->ticket_count; i++)
        np_control_answer_take(agent->control, d->tickets[i], np_agent_doctor_write(agent));
    d->ticket_count = 0;
    np_agent_was_busy(agent);
}

/* Gives up what has not come. */
static void abandon(struct np_agent_doctor *d)
{
    np_probe_cancel(d->home);
    np_probe_cancel(d->zone);
    if (d->hq_lookup)
        np_lookup_cancel(d->hq_lookup);
    d->home = d->zone = NULL;
    d->hq_lookup = NULL;
    d->wants_servers = false;
    drop_call(&d->front_call);
    drop_call(&d->hq_call);
    d->open_parts = 0;
    np_jobs_reschedule(&d->agent->jobs, NP_JOB_DOCTOR_SERVERS, NP_JOB_NEVER);
}

static void begin(struct np_agent_doctor *d, bool full)
{
    struct np_agent *agent = d->agent;
    d->running = true;
    d->full = full;
    d->count = 0;
    d->begin_ms = np_agent_now_ms(agent);
    d->open_parts = 1; /* this function's own */
    d->front = d->hq = (struct np_doctor_shake){0};
    probe_home(d);
    if (agent->state.nameserver_count > 0 && agent->state.name[0]) {
        d->open_parts++;
        d->wants_servers = agent->zone_servers.for_doctor = true;
        np_jobs_reschedule(&agent->jobs, NP_JOB_DOCTOR_SERVERS, d->begin_ms + NP_DOCTOR_SERVERS_MS);
        np_agent_servers_want(agent);
    }
    if (full) {
        shake_front(d);
        shake_hq(d);
    }
    np_jobs_reschedule(&agent->jobs, NP_JOB_DOCTOR_END, d->begin_ms + NP_DOCTOR_ROUND_MS);
    part_over(d);
    np_agent_arm(agent);
}

static struct np_agent_doctor *doctor_of(struct np_agent *agent)
{
    if (!agent->doctor && (agent->doctor = calloc(1, sizeof *agent->doctor)))
        agent->doctor->agent = agent;
    return agent->doctor;
}

void np_agent_doctor_asked(struct np_agent *agent, uint64_t ticket)
{
    struct np_agent_doctor *d = doctor_of(agent);
    if (!d || d->ticket_count == NP_CONTROL_CLIENTS_MAX) {
        np_control_answer_take(agent->control, ticket, strdup("{\"error\":\"too many ask at once\"}\n"));
        return;
    }
    d->tickets[d->ticket_count++] = ticket;
    if (d->running && !d->full)
        abandon(d);
    if (!d->running || !d->full)
        begin(d, true);
}

void np_agent_doctor_due(struct np_agent *agent)
{
    struct np_agent_doctor *d = doctor_of(agent);
    np_agent_doctor_plan(agent, NP_DOCTOR_DAY_MS - np_random_below(NP_DOCTOR_DAY_MS / 12));
    if (d && !d->running && agent->state.name[0] && agent->has_choice)
        begin(d, false);
}

void np_agent_doctor_servers_due(struct np_agent *agent)
{
    if (agent->doctor && agent->doctor->wants_servers)
        probe_zone(agent->doctor);
}

void np_agent_doctor_end_due(struct np_agent *agent)
{
    struct np_agent_doctor *d = agent->doctor;
    if (!d || !d->running)
        return;
    abandon(d);
    conclude(d);
}

void np_agent_doctor_plan(struct np_agent *agent, int64_t delay_ms)
{
    np_jobs_schedule(&agent->jobs, NP_JOB_DOCTOR, np_agent_now_ms(agent) + delay_ms);
    np_agent_arm(agent);
}

void np_agent_doctor_stop(struct np_agent *agent)
{
    if (!agent->doctor)
        return;
    abandon(agent->doctor);
    agent->doctor->running = false;
}
