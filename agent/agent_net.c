#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/agent_private.h"
#include "agent/own_names.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define FRAME_LISTEN      NP_FRAME('L', 'S', 'T', 'N')
#define FRAME_DROP        NP_FRAME('D', 'R', 'O', 'P')
#define FRAME_VIEW        NP_FRAME('V', 'I', 'E', 'W')
#define FRAME_CERTIFICATE NP_FRAME('C', 'E', 'R', 'T')
#define FRAME_SETTINGS    NP_FRAME('C', 'O', 'N', 'F')
#define FRAME_NEWS        NP_FRAME('N', 'E', 'W', 'S')
#define FRAME_FORGET      NP_FRAME('F', 'R', 'G', 'T')
#define FRAME_READY       NP_FRAME('R', 'E', 'D', 'Y')
#define FRAME_STATS       NP_FRAME('S', 'T', 'A', 'T')

static const char *child_name(const struct np_agent *agent, const struct np_child *child)
{
    return child == agent->front ? "front" : "resolver";
}

void np_agent_tell(struct np_agent *agent, struct np_child *child, uint32_t type, const char *text, const int *fds,
                   size_t fd_count)
{
    int rc = np_child_send(child, type, text, strlen(text), fds, fd_count);
    if (rc && rc != NP_E_CLOSED) /* closed: feed() will come with the next process */
        np_warning("%s: cannot be told the news: %s", child_name(agent, child), np_strerror(rc));
}

static void send_listeners(struct np_agent *agent, struct np_child *child, enum np_listener_filter filter)
{
    int fds[NP_CHANNEL_FDS_MAX];
    size_t count;
    char *json;
    enum np_listener_owner owner = child == agent->front ? NP_LISTEN_FOR_FRONT : NP_LISTEN_FOR_RESOLVER;
    if (!child || np_listeners_encode(&agent->listeners, owner, filter, &json, fds, &count) || !json)
        return;
    if (filter == NP_LISTENERS_GONE)
        np_agent_tell(agent, child, FRAME_DROP, json, NULL, 0);
    else
        np_agent_tell(agent, child, FRAME_LISTEN, json, fds, count);
    free(json);
}

static json_t *leaf_names(const struct np_agent *agent)
{
    struct np_x509 leaf;
    json_t *names = json_array();
    if (names && np_enrol_leaf(&agent->state, &leaf) == 0) {
        for (size_t i = 0; i < leaf.name_count; i++)
            json_array_append_new(names, json_string(leaf.names[i]));
    }
    return names;
}

static void send_certificate(struct np_agent *agent, struct np_child *child)
{
    uint8_t der[NP_KEY_SEC1_LEN];
    char key[NP_BASE64URL_LEN(NP_KEY_SEC1_LEN)];
    if (!child || !agent->state.has_chain)
        return;
    np_key_encode_sec1(&agent->state.tls, der);
    np_base64url_encode(der, sizeof der, key);
    json_t *object = json_pack("{s:o,s:s,s:s}", "names", leaf_names(agent), "chain", agent->state.chain, "key", key);
    char *json = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (json) {
        np_agent_tell(agent, child, FRAME_CERTIFICATE, json, NULL, 0);
        np_wipe(json, strlen(json));
        free(json);
    }
    np_wipe(der, sizeof der);
    np_wipe(key, sizeof key);
}

static void send_settings(struct np_agent *agent, struct np_child *child)
{
    char *json = np_front_settings_encode(&agent->config->front);
    if (json)
        np_agent_tell(agent, child, FRAME_SETTINGS, json, NULL, 0);
    free(json);
}

void np_agent_send_certificate(struct np_agent *agent)
{
    send_certificate(agent, agent->front);
}

void np_agent_drop_certificate(struct np_agent *agent)
{
    if (agent->front)
        np_agent_tell(agent, agent->front, FRAME_FORGET, "", NULL, 0);
}

int np_agent_ask_counters(struct np_agent *agent)
{
    if (!agent->resolver || !np_child_status(agent->resolver).ready)
        return NP_E_CLOSED;
    return np_child_send(agent->resolver, FRAME_STATS, NULL, 0, NULL, 0);
}

/* A new process knows nothing: all of it, the view last, since it is ready after that. */
static void feed(void *ctx, struct np_child *child)
{
    struct np_agent *agent = ctx;
    send_listeners(agent, child, NP_LISTENERS_OPEN);
    if (child == agent->front) {
        send_settings(agent, child);
        send_certificate(agent, child);
    }
    np_agent_dot_feed(agent, child);
    if (child == agent->front && agent->news_json)
        np_agent_tell(agent, child, FRAME_NEWS, agent->news_json, NULL, 0);
    if (agent->view_json)
        np_agent_tell(agent, child, FRAME_VIEW, agent->view_json, NULL, 0);
}

static void on_frame(void *ctx, struct np_child *child, struct np_frame *frame)
{
    struct np_agent *agent = ctx;
    if (frame->type == FRAME_READY)
        np_info("%s is ready (pid %d)", child_name(agent, child), (int)np_child_status(child).pid);
    else if (frame->type == FRAME_STATS && child == agent->resolver)
        np_agent_take_counters(agent, frame);
}

static void on_died(void *ctx, struct np_child *child, int status)
{
    struct np_agent *agent = ctx;
    const char *name = child_name(agent, child);
    if (status >= 0 && WIFSIGNALED(status))
        np_warning("%s was ended by signal %d; it is started again", name, WTERMSIG(status));
    else if (status >= 0 && WIFEXITED(status))
        np_warning("%s ended with status %d; it is started again", name, WEXITSTATUS(status));
    else
        np_warning("%s ended; it is started again", name);
    np_agent_event(agent, NP_HAPPENED_PROCESS, "the %s process ended and is started again", name);
}

bool np_agent_certificate_valid(const struct np_agent *agent)
{
    struct np_x509 leaf;
    int64_t now_s = np_agent_judged_s(agent);
    if (np_enrol_leaf(&agent->state, &leaf) || now_s < leaf.not_before_s || now_s > leaf.not_after_s)
        return false;
    for (size_t i = 0; i < leaf.name_count; i++) {
        if (strcmp(leaf.names[i], agent->state.name) == 0)
            return true;
    }
    return false;
}

static void view_names(const struct np_agent *agent, struct np_view *view)
{
    struct np_x509 leaf;
    bool has_leaf = np_enrol_leaf(&agent->state, &leaf) == 0;
    struct np_own_names names = {
        .name = agent->state.name,
        .san = agent->state.san,
        .san_count = agent->state.san_count,
        .aliases = agent->config->aliases,
        .alias_count = agent->config->alias_count,
        .leaf = has_leaf ? &leaf : NULL,
        .leaf_valid = has_leaf && np_agent_certificate_valid(agent),
        .https = agent->config->https,
        .dot = agent->config->dot,
    };
    np_own_names_to_view(&names, view);
}

static void make_view(const struct np_agent *agent, struct np_view *view)
{
    const struct np_agent_config *c = agent->config;
    np_view_init(view);
    view->role = c->policy.role;
    view->serial = agent->view_serial;
    view_names(agent, view);
    np_address_choice_to_view(&agent->choice, view);
    memcpy(view->allow, c->allow, sizeof c->allow);
    view->allow_count = c->allow_count;
    memcpy(view->upstreams, agent->servers, sizeof agent->servers);
    view->upstream_count = agent->server_count;
    memcpy(view->forwards, c->forwards, sizeof c->forwards);
    view->forward_count = c->forward_count;
    view->rate_limit = c->rate_limit;
    view->https_port = c->https_port;
    view->dot_port = c->dot_port;
    view->inflight_limit = c->inflight_limit;
    view->rebind_filter = c->rebind_filter;
    memcpy(view->rebind_allow, c->rebind_allow, sizeof c->rebind_allow);
    view->rebind_count = c->rebind_count;
    view->canary = c->canary;
    view->mode = c->mode;
    view->cache = c->cache;
}

/* The wall-clock moment at which the certificate's validity changes next. */
static void plan_certificate(struct np_agent *agent)
{
    struct np_x509 leaf;
    int64_t now_s = np_agent_judged_s(agent), wait_ms = NP_CERTIFICATE_LOOK_MS;
    if (np_enrol_leaf(&agent->state, &leaf)) {
        np_jobs_reschedule(&agent->jobs, NP_JOB_CERTIFICATE, NP_JOB_NEVER);
        return;
    }
    int64_t change_s = now_s < leaf.not_before_s ? leaf.not_before_s : leaf.not_after_s + 1;
    if (change_s > now_s && (change_s - now_s) * 1000 < wait_ms)
        wait_ms = (change_s - now_s) * 1000;
    np_jobs_reschedule(&agent->jobs, NP_JOB_CERTIFICATE, np_agent_now_ms(agent) + wait_ms);
}

void np_agent_update_view(struct np_agent *agent)
{
    char *json;
    plan_certificate(agent);
    make_view(agent, &agent->view);
    int rc = np_view_encode(&agent->view, &json);
    if (rc == 0 && agent->view_json && strcmp(json, agent->view_json) == 0) {
        free(json);
        return;
    }
    if (rc == 0) {
        /* Something differs: the serial of the SOA moves with it. */
        free(json);
        agent->view.serial = ++agent->view_serial;
        rc = np_view_encode(&agent->view, &json);
    }
    if (rc) {
        np_error("view for the resolver: %s", np_strerror(rc));
        return;
    }
    free(agent->view_json);
    agent->view_json = json;
    /* The front first: it must know an upstream when the resolver asks for a stream to it. */
    if (agent->front)
        np_agent_tell(agent, agent->front, FRAME_VIEW, json, NULL, 0);
    if (agent->resolver)
        np_agent_tell(agent, agent->resolver, FRAME_VIEW, json, NULL, 0);
    np_agent_send_news(agent);
}

static void log_listeners(struct np_agent *agent)
{
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < agent->listeners.count; i++) {
        struct np_listener *item = &agent->listeners.items[i];
        if (!item->wanted || item->error == item->reported)
            continue;
        item->reported = item->error;
        np_endpoint_format(&item->local, text);
        if (item->error == -EACCES)
            np_warning("%s %s: %s (ports under 1024 need CAP_NET_BIND_SERVICE)", np_listener_kind_name(item->kind),
                       text, np_strerror(item->error));
        else if (item->error)
            np_warning("%s %s: %s; it is tried again", np_listener_kind_name(item->kind), text,
                       np_strerror(item->error));
        else
            np_info("%s %s: listening now", np_listener_kind_name(item->kind), text);
    }
}

void np_agent_listen(struct np_agent *agent)
{
    int64_t due_ms = np_listeners_open(&agent->listeners, np_agent_now_ms(agent));
    log_listeners(agent);
    send_listeners(agent, agent->resolver, NP_LISTENERS_FRESH);
    send_listeners(agent, agent->front, NP_LISTENERS_FRESH);
    np_listeners_settle(&agent->listeners);
    np_jobs_reschedule(&agent->jobs, NP_JOB_LISTEN, due_ms);
}

/* On port 53 of loopback something else answers. */
bool np_agent_is_self(const struct np_agent *agent, const struct np_endpoint *server)
{
    const struct np_agent_config *c = agent->config;
    if (!c->dns || server->port != c->dns_port)
        return false;
    if (np_addr_classify(&server->addr) == NP_ADDR_LOOPBACK)
        return c->dns_loopback;
    for (size_t i = 0; i < agent->network.address_count; i++) {
        struct np_addr own = agent->network.addresses[i].prefix.addr, other = server->addr;
        own.scope = other.scope = 0;
        if (np_addr_equal(&own, &other))
            return true;
    }
    return false;
}

/* What the configuration names, or else the files that it names. Returns how many. */
static size_t find_upstreams(const struct np_agent *agent, struct np_view_upstream out_found[NP_VIEW_UPSTREAMS_MAX])
{
    const struct np_agent_config *c = agent->config;
    struct np_endpoint plain[NP_VIEW_UPSTREAMS_MAX];
    memset(out_found, 0, NP_VIEW_UPSTREAMS_MAX * sizeof *out_found);
    if (c->upstream_count) {
        memcpy(out_found, c->upstreams, sizeof c->upstreams);
        return c->upstream_count;
    }
    size_t count = 0;
    for (size_t i = 0; i < c->upstream_file_count; i++)
        count = np_upstreams_read(c->upstream_files[i], plain, count, NP_VIEW_UPSTREAMS_MAX);
    for (size_t i = 0; i < count; i++)
        out_found[i].endpoint = plain[i];
    return count;
}

/* The agent's own look-ups are in clear text: they go to those servers alone that may be asked so, or else to our own
 * resolver, which asks over TLS. */
static void set_lookup_servers(struct np_agent *agent)
{
    size_t count = 0;
    for (size_t i = 0; i < agent->server_count; i++)
        count += np_view_upstream_clear(&agent->servers[i], &agent->lookup_servers[count]);
    if (count == 0 && agent->has_lookup)
        agent->lookup_servers[count++] = agent->lookup_local;
    agent->lookup_server_count = count;
    np_hqclient_set_servers(agent->hq, agent->lookup_servers, count);
}

static void say_none(const struct np_agent *agent)
{
    const struct np_agent_config *c = agent->config;
    np_warning("no DNS server to forward to: %s names none", c->upstream_count ? "upstream" : c->upstream_files[0]);
}

/* Reads the upstreams. True when they differ from those in force. */
static bool update_upstreams(struct np_agent *agent)
{
    struct np_view_upstream found[NP_VIEW_UPSTREAMS_MAX];
    size_t count = find_upstreams(agent, found), kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!np_agent_is_self(agent, &found[i].endpoint))
            found[kept++] = found[i];
    }
    if (count - kept > agent->own_server_count)
        np_warning("%zu of %zu DNS servers to forward to are this box itself: not asked", count - kept, count);
    agent->own_server_count = count - kept;
    bool same = kept == agent->server_count;
    for (size_t i = 0; same && i < kept; i++)
        same = np_view_upstream_equal(&found[i], &agent->servers[i]);
    if (same)
        return false;
    memcpy(agent->servers, found, sizeof found);
    agent->server_count = kept;
    set_lookup_servers(agent);
    if (kept == 0)
        say_none(agent);
    return true;
}

static void on_upstreams(void *ctx)
{
    struct np_agent *agent = ctx;
    if (agent->stopping || !update_upstreams(agent))
        return;
    np_info("%zu DNS servers to forward to", agent->server_count);
    np_agent_update_view(agent);
    np_agent_doctor_plan(agent, NP_DOCTOR_MOVED_MS);
    np_agent_enrol_simple(agent, NP_EVENT_ROUTE);
}

static bool same_routes(const struct np_network *a, const struct np_network *b)
{
    if (a->route_count != b->route_count)
        return false;
    for (size_t i = 0; i < a->route_count; i++) {
        const struct np_default_route *x = &a->routes[i], *y = &b->routes[i];
        if (x->family != y->family || x->ifindex != y->ifindex || !np_addr_equal(&x->gateway, &y->gateway))
            return false;
    }
    return true;
}

static void log_choice(const struct np_agent *agent)
{
    const struct np_address_choice *choice = &agent->choice;
    for (size_t i = 0; i < choice->missing_lan_count; i++)
        np_warning("lan interface %s does not exist now", choice->missing_lan[i]);
    for (size_t i = 0; i < choice->interface_count; i++) {
        const struct np_choice_interface *link = &choice->interfaces[i];
        char v4[NP_ADDR_TEXT_MAX] = "-", v6[NP_ADDR_TEXT_MAX] = "-";
        if (link->v4_count)
            np_addr_format(&link->v4[0].addr, v4);
        if (link->v6_count)
            np_addr_format(&link->v6[0].addr, v6);
        np_info("LAN interface %s: %zu IPv4 (%s), %zu IPv6 (%s)", link->name, link->v4_count, v4, link->v6_count, v6);
    }
}

static bool is_usable(const struct np_address_choice *choice)
{
    for (size_t i = 0; i < choice->interface_count; i++) {
        if (choice->interfaces[i].v4_count || choice->interfaces[i].v6_count)
            return true;
    }
    return false;
}

static void remember(struct np_agent *agent, const struct np_addr *addr)
{
    for (size_t i = 0; i < agent->past_count; i++) {
        if (np_addr_equal(&agent->past[i], addr))
            return;
    }
    memmove(agent->past + 1, agent->past, (NP_DOCTOR_PAST_MAX - 1) * sizeof *agent->past);
    agent->past[0] = *addr;
    if (agent->past_count < NP_DOCTOR_PAST_MAX)
        agent->past_count++;
}

/* What was offered to HQ may live on in somebody's cache. */
static void remember_past(struct np_agent *agent, const struct np_addresses *before)
{
    for (size_t i = 0; i < before->v4_count; i++)
        remember(agent, &before->v4[i]);
    for (size_t i = 0; i < before->v6_count; i++)
        remember(agent, &before->v6[i]);
}

/* Make before break: new sockets, the new view, then the old sockets go. */
static void on_network(void *ctx, const struct np_network *network)
{
    struct np_agent *agent = ctx;
    struct np_address_choice *before = malloc(sizeof *before);
    if (!before || agent->stopping) {
        free(before);
        return;
    }
    bool rerouted = !same_routes(&agent->network, network), first = !agent->has_choice;
    bool cut_off = rerouted || np_network_lost_address(&agent->network, network);
    char list[NP_EVENT_TEXT_MAX];
    *before = agent->choice;
    agent->network = *network;
    np_addresses_choose(&agent->config->policy, network, &agent->choice);
    agent->has_choice = true;
    bool changed = first || !np_address_choice_equal(before, &agent->choice);
    bool published = first || !np_addresses_equal(&before->publish, &agent->choice.publish);
    if (published && !first)
        remember_past(agent, &before->publish);
    free(before);
    if (changed || published)
        np_agent_event_change(agent);
    if (changed) {
        log_choice(agent);
        np_agent_note_addresses(agent);
        np_listeners_want(&agent->listeners, agent->config, &agent->choice);
        np_agent_listen(agent);
    }
    rerouted = update_upstreams(agent) || rerouted;
    if ((rerouted || cut_off) && !first)
        np_hqclient_disconnect(agent->hq);
    np_agent_update_view(agent);
    if (changed || published)
        np_agent_event_step(agent, NP_HAPPENED_ANSWERED, np_agent_list(&agent->choice.primary, list, sizeof list));
    if (changed) {
        send_listeners(agent, agent->resolver, NP_LISTENERS_GONE);
        send_listeners(agent, agent->front, NP_LISTENERS_GONE);
        np_listeners_sweep(&agent->listeners);
    }
    if (changed || published) {
        struct np_enrol_event event = {
            .type = NP_EVENT_ADDRESSES, .addresses = &agent->choice.publish, .usable = is_usable(&agent->choice)};
        np_agent_enrol(agent, &event);
    }
    if (rerouted && !first) {
        np_agent_doctor_plan(agent, NP_DOCTOR_MOVED_MS);
        np_agent_enrol_simple(agent, NP_EVENT_ROUTE);
    }
    for (size_t i = 0; i < agent->config->upstream_file_count; i++)
        np_upstreams_look(agent->upstreams[i]);
    np_agent_arm(agent);
}

void np_agent_look_again(struct np_agent *agent)
{
    if (agent->stopping)
        return;
    np_netwatch_look(agent->watch);
    for (size_t i = 0; i < agent->config->upstream_file_count; i++)
        np_upstreams_look(agent->upstreams[i]);
    np_agent_update_view(agent);
    np_agent_enrol_simple(agent, NP_EVENT_TIMER);
}

/* The clock was set, or the machine was suspended: certificates are judged at another time now, and the network may be
 * another one. */
static void on_woken(void *ctx)
{
    struct np_agent *agent = ctx;
    np_info("the clock was set or the machine was suspended: everything is looked at again");
    np_agent_event(agent, NP_HAPPENED_CLOCK, "the clock was set, or the machine was suspended");
    np_agent_look_again(agent);
}

static int start_child(struct np_agent *agent, const char *verb, struct np_child **out_child)
{
    static const char *const levels[] = {"error", "warning", "notice", "info", "debug"};
    struct np_child_options options = {.verb = verb,
                                       .log_level = levels[agent->config->log_level - NP_LOG_ERROR],
                                       .events = {.feed = feed, .frame = on_frame, .died = on_died},
                                       .ctx = agent};
    int rc = np_child_new(&agent->loop, &options, out_child);
    if (rc == 0)
        rc = np_child_start(*out_child);
    if (rc)
        np_error("%s: %s", verb, np_strerror(rc));
    return rc;
}

int np_agent_net_start(struct np_agent *agent)
{
    const struct np_agent_config *c = agent->config;
    np_agent_dot_open(agent);
    if (!update_upstreams(agent) && c->dns && c->mode == NP_MODE_FULL)
        say_none(agent); /* as before: none */
    np_agent_update_view(agent);
    /* A child that cannot be started now is tried again; only what can never work ends the agent. */
    if (c->dns && start_child(agent, "child-resolver", &agent->resolver) && !agent->resolver)
        return NP_E_CLOSED;
    bool tls = np_agent_config_has_tls(c, NP_TLS_STRICT) || np_agent_config_has_tls(c, NP_TLS_OPPORTUNISTIC);
    if ((c->http || c->https || c->dot || (c->dns && tls)) && start_child(agent, "child-front", &agent->front) &&
        !agent->front)
        return NP_E_CLOSED;
    for (size_t i = 0; i < c->upstream_file_count; i++) {
        int rc = np_upstreams_new(&agent->loop, c->upstream_files[i], on_upstreams, agent, &agent->upstreams[i]);
        if (rc) {
            np_error("watching %s: %s", c->upstream_files[i], np_strerror(rc));
            return rc;
        }
    }
    int rc = np_netwatch_new(&agent->loop, NULL, on_network, agent, &agent->watch);
    if (rc) {
        np_error("watching the network: %s", np_strerror(rc));
        return rc;
    }
    rc = np_wake_new(&agent->loop, on_woken, agent, &agent->wake);
    if (rc)
        np_warning("setting the clock will not be noticed at once: %s", np_strerror(rc));
    return 0;
}
