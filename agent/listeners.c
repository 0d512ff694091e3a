#include "agent/listeners.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "resolver/base/jobs.h"
#include "resolver/server.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace of Linux */

const char *np_listener_kind_name(enum np_listen_kind kind)
{
    static const char *const names[] = {"dns-udp", "dns-tcp", "http", "https", "dot"};
    return names[kind];
}

enum np_listener_owner np_listener_owner(enum np_listen_kind kind)
{
    return kind == NP_LISTEN_DNS_UDP || kind == NP_LISTEN_DNS_TCP ? NP_LISTEN_FOR_RESOLVER : NP_LISTEN_FOR_FRONT;
}

static bool same_endpoint(const struct np_endpoint *a, const struct np_endpoint *b)
{
    return a->port == b->port && np_addr_equal(&a->addr, &b->addr);
}

static void want(struct np_listeners *l, const struct np_addr *addr, uint16_t port, enum np_listen_kind kind,
                 uint32_t ifindex)
{
    struct np_endpoint local = {.addr = *addr, .port = port};
    if (addr->family == AF_INET6 && np_addr_classify(addr) == NP_ADDR_LINK_LOCAL)
        local.addr.scope = ifindex;
    for (size_t i = 0; i < l->count; i++) {
        struct np_listener *item = &l->items[i];
        /* A socket is bound to its address (a link-local one has its interface in it), not to the interface: it lives
         * on when the address moves to another one, or a bridge is made anew. */
        if (item->kind == kind && same_endpoint(&item->local, &local)) {
            item->ifindex = ifindex;
            item->wanted = true;
            return;
        }
    }
    if (l->count == NP_LISTENERS_MAX) {
        l->over = true;
        return;
    }
    l->items[l->count++] =
        (struct np_listener){.local = local, .kind = kind, .ifindex = ifindex, .fd = -1, .wanted = true};
}

static void want_services(struct np_listeners *l, const struct np_agent_config *c, const struct np_addr *addr,
                          uint32_t ifindex)
{
    if (c->dns) {
        want(l, addr, c->dns_port, NP_LISTEN_DNS_UDP, ifindex);
        want(l, addr, c->dns_port, NP_LISTEN_DNS_TCP, ifindex);
    }
    if (c->dot)
        want(l, addr, c->dot_port, NP_LISTEN_DOT, ifindex);
    if (c->http)
        want(l, addr, c->http_port, NP_LISTEN_HTTP, ifindex);
    if (c->https)
        want(l, addr, c->https_port, NP_LISTEN_HTTPS, ifindex);
}

/* For a forwarder on this box: an address that never changes. */
static void want_loopback(struct np_listeners *l, const struct np_agent_config *c)
{
    static const uint8_t bytes[4] = {127, 0, 0, 1};
    struct np_addr loopback = np_addr_from_bytes(bytes, sizeof bytes);
    if (!c->dns_loopback)
        return;
    want(l, &loopback, c->dns_port, NP_LISTEN_DNS_UDP, LOOPBACK_IFINDEX);
    want(l, &loopback, c->dns_port, NP_LISTEN_DNS_TCP, LOOPBACK_IFINDEX);
}

void np_listeners_want(struct np_listeners *l, const struct np_agent_config *c, const struct np_address_choice *choice)
{
    l->over = false;
    for (size_t i = 0; i < l->count; i++)
        l->items[i].wanted = false;
    want_loopback(l, c);
    for (size_t i = 0; i < choice->interface_count; i++) {
        const struct np_choice_interface *link = &choice->interfaces[i];
        for (size_t j = 0; j < link->v4_count; j++)
            want_services(l, c, &link->v4[j].addr, link->index);
        for (size_t j = 0; j < link->v6_count; j++)
            want_services(l, c, &link->v6[j].addr, link->index);
        if (link->link_local.addr.family != AF_UNSPEC)
            want_services(l, c, &link->link_local.addr, link->index);
    }
}

int64_t np_listeners_open(struct np_listeners *l, int64_t now_ms)
{
    int64_t due_ms = NP_JOB_NEVER;
    for (size_t i = 0; i < l->count; i++) {
        struct np_listener *item = &l->items[i];
        if (!item->wanted || item->fd >= 0)
            continue;
        if (item->retry_ms <= now_ms) {
            int fd = np_server_open(&item->local, item->kind != NP_LISTEN_DNS_UDP);
            if (fd >= 0) {
                item->fd = fd;
                item->error = 0;
                item->fresh = true;
                item->failures = 0;
                continue;
            }
            int64_t delay_ms = (int64_t)NP_LISTENER_RETRY_MS << (item->failures < 16 ? item->failures : 16);
            item->error = fd;
            item->failures++;
            item->retry_ms = now_ms + (delay_ms < NP_LISTENER_RETRY_CAP_MS ? delay_ms : NP_LISTENER_RETRY_CAP_MS);
        }
        due_ms = item->retry_ms < due_ms ? item->retry_ms : due_ms;
    }
    return due_ms;
}

static bool takes(const struct np_listener *item, enum np_listener_filter filter)
{
    if (item->fd < 0)
        return false;
    switch (filter) {
    case NP_LISTENERS_OPEN:
        return item->wanted;
    case NP_LISTENERS_FRESH:
        return item->wanted && item->fresh;
    case NP_LISTENERS_GONE:
        return !item->wanted;
    }
    return false;
}

int np_listeners_encode(const struct np_listeners *l, enum np_listener_owner owner, enum np_listener_filter filter,
                        char **out_json, int out_fds[NP_CHANNEL_FDS_MAX], size_t *out_fd_count)
{
    json_t *array = json_array();
    size_t count = 0;
    if (!array)
        return -ENOMEM;
    for (size_t i = 0; i < l->count && count < NP_CHANNEL_FDS_MAX; i++) {
        const struct np_listener *item = &l->items[i];
        char address[NP_ADDR_TEXT_MAX];
        if (np_listener_owner(item->kind) != owner || !takes(item, filter))
            continue;
        if (json_array_append_new(array,
                                  json_pack("{s:s,s:i,s:s,s:I}", "address", np_addr_format(&item->local.addr, address),
                                            "port", (int)item->local.port, "kind", np_listener_kind_name(item->kind),
                                            "ifindex", (json_int_t)item->ifindex)) < 0) {
            json_decref(array);
            return -ENOMEM;
        }
        out_fds[count++] = item->fd;
    }
    char *json = count ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    if (count && !json)
        return -ENOMEM;
    *out_json = json;
    *out_fd_count = count;
    return 0;
}

void np_listeners_settle(struct np_listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->items[i].fresh = false;
}

void np_listeners_sweep(struct np_listeners *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct np_listener *item = &l->items[i];
        if (item->wanted)
            l->items[kept++] = *item;
        else if (item->fd >= 0)
            close(item->fd);
    }
    l->count = kept;
}

void np_listeners_close(struct np_listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->items[i].wanted = false;
    np_listeners_sweep(l);
}
