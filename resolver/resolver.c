#include "resolver/resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/admit.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/pace.h"
#include "resolver/base/random.h"
#include "resolver/blocked.h"
#include "resolver/cache.h"
#include "resolver/forward.h"
#include "resolver/limit.h"
#include "resolver/local.h"
#include "resolver/packed.h"
#include "resolver/padding.h"
#include "resolver/peer.h"
#include "resolver/special.h"

#define LOOPBACK_IFINDEX 1     /* in every network namespace of Linux */
#define BLOCKED_LINES    10    /* at once: a page with a few bad names */
#define BLOCKED_LINE_MS  30000 /* then one in so long, whatever a page does */

struct np_resolver {
    uv_loop_t *loop;
    struct np_view view;
    struct np_admit admit;
    struct np_server *server;
    struct np_forward *forward;
    struct np_peer *peer; /* the front; NULL: there is none */
    struct np_stats_answers answers;
    struct np_limit limit;
    struct np_blocked blocked;
    struct np_pace blocked_lines; /* in the log */
    struct np_cache *cache;       /* NULL: none is wanted, or there is no memory for it */
    unsigned open;                /* server and forward, until both are closed */
    long packed_len;
    union {
        struct np_packed head;
        uint8_t bytes[NP_PACKED_MAX];
    } packed; /* the upstream's answer that judge saw, for the clients who are told next */
    uint8_t out[NP_DNS_MESSAGE_MAX];
};

static bool admit_client(void *ctx, const struct np_client *client)
{
    const struct np_resolver *resolver = ctx;
    return np_admit(&resolver->admit, &client->remote.addr, client->ifindex);
}

/* Over TCP a client is held back by the stream itself, and what comes from this box is its own forwarder's clients. */
static enum np_limit_verdict limit(struct np_resolver *resolver, const struct np_client *client)
{
    if (client->tcp || client->ifindex == LOOPBACK_IFINDEX)
        return NP_LIMIT_PASS;
    return np_limit_query(&resolver->limit, &client->remote.addr, (uint32_t)uv_now(resolver->loop));
}

/* A query over the rate. */
static long serve_limited(struct np_resolver *resolver, enum np_limit_verdict verdict, const uint8_t *packet,
                          size_t len, uint8_t *out, size_t size)
{
    size_t out_len = verdict == NP_LIMIT_TRUNCATE ? np_local_truncated(packet, len, out, size) : 0;
    if (out_len > 0)
        resolver->answers.truncated++;
    else
        resolver->answers.over_rate++;
    return (long)out_len;
}

static int64_t now_ms(const struct np_resolver *resolver)
{
    return (int64_t)uv_now(resolver->loop);
}

/* Counts what the filter blocked, and says so, though not as often as strangers like. */
static void note_blocked(struct np_resolver *resolver, const struct np_name *qname, uint16_t qtype,
                         const struct np_addr *found)
{
    char text[NP_NAME_TEXT_MAX], addr[NP_ADDR_TEXT_MAX], more[64] = "";
    struct np_name name = *qname;
    uint64_t missed;
    resolver->answers.blocked++;
    np_blocked_add(&resolver->blocked, &name, qtype, found, now_ms(resolver));
    if (!np_pace_take(&resolver->blocked_lines, now_ms(resolver), &missed))
        return;
    np_name_lower(&name);
    if (missed > 0)
        snprintf(more, sizeof more, " (and %llu others, not logged)", (unsigned long long)missed);
    np_info("rebinding filter: %.300s type %u %s%s%s", np_name_format(&name, text), qtype,
            found->family == AF_UNSPEC ? "answered malformed" : "named ",
            found->family == AF_UNSPEC ? "" : np_addr_format(found, addr), more);
}

static size_t give_blocked(struct np_resolver *resolver, const struct np_client *client, const struct np_query *query,
                           const struct np_addr *found, uint8_t *out, size_t size)
{
    note_blocked(resolver, &query->qname, query->qtype, found);
    return np_local_blocked(&resolver->view, client, query, out, size);
}

static size_t give_packed(const struct np_client *client, const struct np_query *query, const struct np_packed *packed,
                          uint32_t age_s, uint8_t *out)
{
    /* No upstream is trusted to validate for us as yet: AD is never shown. */
    struct np_packed_how how = {.age_s = age_s, .ad = false, .ede = NP_EDE_NONE};
    return np_packed_write(packed, query, &how, out, np_query_limit(query, client->tcp));
}

/* The answer from the cache; 0: there is none. */
static size_t recall(struct np_resolver *resolver, const struct np_client *client, const struct np_query *query,
                     uint8_t *out, size_t size)
{
    struct np_cache_key key = {&query->qname, query->qtype, query->dnssec_ok, (query->flags & NP_FLAG_CD) != 0};
    struct np_cache_found found;
    if (!resolver->cache)
        return 0;
    np_cache_find(resolver->cache, &key, now_ms(resolver), &found);
    if (found.state != NP_CACHE_FRESH)
        return 0;
    if (!found.packed)
        return give_blocked(resolver, client, query, &found.blocked, out, size);
    return give_packed(client, query, found.packed, found.age_s, out);
}

/* RFC 8467: over TLS, and for a client that padded its query, the size of the answer says as little as it can. */
static size_t pad(const struct np_client *client, const struct np_query *query, uint8_t *out, size_t len, size_t size)
{
    if (len == 0 || !client->tls || !query->padding)
        return len;
    return np_padding_add(out, len, size, NP_PADDING_RESPONSE);
}

/* As serve; *query is the query where it could be read that far. */
static long serve_query(struct np_resolver *resolver, const struct np_ticket *ticket, const uint8_t *packet, size_t len,
                        struct np_query *query, uint8_t *out, size_t size)
{
    size_t out_len;
    enum np_limit_verdict limited = limit(resolver, &ticket->client);
    if (limited != NP_LIMIT_PASS)
        return serve_limited(resolver, limited, packet, len, out, size);
    switch (np_local_answer(&resolver->view, &ticket->client, packet, len, query, out, size, &out_len)) {
    case NP_LOCAL_OWN:
        resolver->answers.own++;
        return (long)out_len;
    case NP_LOCAL_SPECIAL:
        resolver->answers.special++;
        return (long)out_len;
    case NP_LOCAL_ERROR:
        resolver->answers.errors++;
        return (long)out_len;
    case NP_LOCAL_FORWARD:
        break;
    default:
        resolver->answers.dropped++;
        return 0;
    }
    if ((out_len = recall(resolver, &ticket->client, query, out, size)) > 0) {
        resolver->answers.cached++;
        return (long)out_len;
    }
    resolver->answers.forwarded++;
    if (np_forward_ask(resolver->forward, ticket, query) == 0)
        return -1;
    return (long)np_local_busy(&ticket->client, query, out, size);
}

static long serve(void *ctx, const struct np_ticket *ticket, const uint8_t *packet, size_t len, uint8_t *out,
                  size_t size)
{
    struct np_query query = {.padding = false};
    long n = serve_query(ctx, ticket, packet, len, &query, out, size);
    return n > 0 ? (long)pad(&ticket->client, &query, out, (size_t)n, size) : n;
}

static void filter(struct np_resolver *resolver, struct np_forward_result *result)
{
    /* A zone that the owner sends to a server of his own is home's: its addresses are private by nature. */
    if (!np_special_forward(&resolver->view, result->qname))
        result->filter = np_rebind_check(&resolver->view, result->message, result->len, &result->found);
}

/* Sees each upstream answer once: filters it, packs it for the clients, keeps it. Of what the filter blocks nothing is
 * kept. */
static void judge(void *ctx, struct np_forward_result *result)
{
    struct np_resolver *resolver = ctx;
    struct np_cache_key key = {result->qname, result->qtype, result->dnssec_ok, result->checking_disabled};
    struct np_packed_life life;
    filter(resolver, result);
    resolver->packed_len = np_packed_make(result->message, result->len, result->filter == NP_REBIND_PASS,
                                          &resolver->packed, sizeof resolver->packed, &life);
    if (resolver->packed_len < 0 || !resolver->cache)
        return;
    if (result->filter == NP_REBIND_BLOCK)
        np_cache_put_blocked(resolver->cache, &key, &result->found, &life, now_ms(resolver));
    else
        np_cache_put(resolver->cache, &key, &resolver->packed.head, (size_t)resolver->packed_len, &life,
                     now_ms(resolver));
}

static void answered(void *ctx, const struct np_ticket *ticket, const struct np_query *query,
                     const struct np_forward_result *result)
{
    struct np_resolver *resolver = ctx;
    const struct np_client *client = &ticket->client;
    uint8_t *out = resolver->out;
    size_t len = 0;
    if (result->message && result->filter == NP_REBIND_BLOCK)
        len = give_blocked(resolver, client, query, &result->found, out, sizeof resolver->out);
    else if (result->message && resolver->packed_len > 0)
        len = give_packed(client, query, &resolver->packed.head, 0, out);
    if (len == 0) {
        resolver->answers.failed++;
        len = np_local_offline(&resolver->view, client, query, result->message ? NP_EDE_OTHER : result->ede, out,
                               sizeof resolver->out);
    }
    len = pad(client, query, out, len, sizeof resolver->out);
    np_server_reply(resolver->server, ticket, out, len);
}

static void part_closed(void *ctx)
{
    struct np_resolver *resolver = ctx;
    if (--resolver->open > 0)
        return;
    np_cache_free(resolver->cache);
    free(resolver);
}

int np_resolver_new(uv_loop_t *loop, struct np_resolver **out_resolver)
{
    struct np_resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver)
        return -ENOMEM;
    uint64_t key[2];
    np_random_bytes(key, sizeof key);
    np_limit_init(&resolver->limit, key);
    resolver->loop = loop;
    np_view_init(&resolver->view);
    resolver->view.cache = 0; /* none before the first view */
    np_pace_init(&resolver->blocked_lines, BLOCKED_LINES, BLOCKED_LINE_MS, (int64_t)uv_now(loop));
    int rc = np_server_new(loop, serve, admit_client, resolver, &resolver->server);
    if (rc) {
        free(resolver);
        return rc;
    }
    resolver->open = 1;
    rc = np_forward_new(loop, judge, answered, resolver, &resolver->forward);
    if (rc) {
        np_server_close(resolver->server, part_closed, resolver);
        return rc;
    }
    resolver->open = 2;
    *out_resolver = resolver;
    return 0;
}

/* Makes the cache fit the view that comes: its size, and nothing in it that the view would judge or ask otherwise. */
static void fit_cache(struct np_resolver *resolver, const struct np_view *view)
{
    int rc = 0;
    if (resolver->cache && (!np_rebind_same(&resolver->view, view) || !np_view_same_forwards(&resolver->view, view)))
        np_cache_flush(resolver->cache);
    if (view->cache == 0) {
        np_cache_free(resolver->cache);
        resolver->cache = NULL;
    } else if (!resolver->cache) {
        uint64_t key;
        np_random_bytes(&key, sizeof key);
        rc = np_cache_new(view->cache, key, &resolver->cache);
    } else if (view->cache != np_cache_stats(resolver->cache)->size) {
        rc = np_cache_resize(resolver->cache, view->cache);
    }
    if (rc)
        np_warning("cache of %u bytes: %s", view->cache, np_strerror(rc));
}

int np_resolver_set_view(struct np_resolver *resolver, const struct np_view *view)
{
    int rc = np_forward_set_upstreams(resolver->forward, view);
    if (rc)
        return rc;
    fit_cache(resolver, view);
    resolver->view = *view;
    np_limit_set_rate(&resolver->limit, view->rate_limit);
    if (np_view_admit(view, &resolver->admit))
        np_warning("more than %d LAN subnets: those past that are not served", NP_ADMIT_SUBNETS_MAX);
    return 0;
}

struct np_server *np_resolver_server(struct np_resolver *resolver)
{
    return resolver->server;
}

static void blocked_stats(const struct np_resolver *resolver, struct np_stats *stats)
{
    const struct np_blocked_name *top[NP_BLOCKED_MAX];
    int64_t now_ms = (int64_t)uv_now(resolver->loop);
    stats->blocked_count = np_blocked_top(&resolver->blocked, top, NP_BLOCKED_MAX);
    for (size_t i = 0; i < stats->blocked_count; i++) {
        stats->blocked[i] = *top[i];
        stats->blocked[i].last_ms = now_ms - top[i]->last_ms;
    }
}

/* A LAN client whose TLS the front ends. The front has admitted it; what is admitted here is what our own view says. */
static void peer_frame(void *ctx, uint32_t type, const struct np_peer_message *message, int *fd)
{
    struct np_resolver *resolver = ctx;
    if (type == NP_PEER_CLIENT && np_server_adopt(resolver->server, *fd, &message->client) == 0)
        *fd = -1;
}

static void peer_gone(void *ctx)
{
    struct np_resolver *resolver = ctx;
    np_peer_close(resolver->peer);
    resolver->peer = NULL;
}

void np_resolver_set_peer_take(struct np_resolver *resolver, int fd)
{
    static const struct np_peer_events events = {peer_frame, peer_gone};
    np_peer_close(resolver->peer);
    resolver->peer = NULL;
    int rc = np_peer_new(resolver->loop, fd, &events, resolver, &resolver->peer);
    if (!rc)
        return;
    np_error("stream channel: %s", np_strerror(rc));
    close(fd);
}

void np_resolver_stats(const struct np_resolver *resolver, struct np_stats *out_stats)
{
    memset(out_stats, 0, sizeof *out_stats);
    out_stats->answers = resolver->answers;
    out_stats->server = *np_server_stats(resolver->server);
    out_stats->forward = *np_forward_stats(resolver->forward);
    if (resolver->cache)
        out_stats->cache = *np_cache_stats(resolver->cache);
    out_stats->inflight = np_forward_inflight(resolver->forward);
    out_stats->upstream_count = np_forward_upstreams(resolver->forward, out_stats->upstreams, NP_STATS_UPSTREAMS_MAX);
    blocked_stats(resolver, out_stats);
}

void np_resolver_close(struct np_resolver *resolver)
{
    np_peer_close(resolver->peer);
    resolver->peer = NULL;
    np_forward_close(resolver->forward, part_closed, resolver);
    np_server_close(resolver->server, part_closed, resolver);
}
