#include "resolver/resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "resolver/base/admit.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/pace.h"
#include "resolver/base/random.h"
#include "resolver/blocked.h"
#include "resolver/forward.h"
#include "resolver/limit.h"
#include "resolver/local.h"
#include "resolver/padding.h"
#include "resolver/peer.h"
#include "resolver/recall.h"
#include "resolver/special.h"

#define LOOPBACK_IFINDEX 1  /* in every network namespace of Linux */
#define TIMED_EVERY      17 /* answers: two looks at the clock for each would be 2 % of what one costs */
#define SLEEP_LEAST_MS   500
#define SLEEP_LOOK_MS    1000  /* how long after a sleep answers may still be as young as before */
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
    struct np_latency local, cached; /* of one answer in TIMED_EVERY that needed no upstream */
    unsigned until_timed;
    struct np_limit limit;
    struct np_blocked blocked;
    struct np_pace blocked_lines; /* in the log */
    struct np_recall recall;
    int64_t slept_ms;      /* how long the machine has slept since it began */
    int64_t sleep_look_ms; /* when that is looked at again */
    unsigned open;         /* server and forward, until both are closed */
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
    size_t out_len = verdict == NP_LIMIT_TRUNCATE ? np_local_truncated(&resolver->view, packet, len, out, size) : 0;
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

static int64_t clock_ms(clockid_t id)
{
    struct timespec now;
    return clock_gettime(id, &now) ? 0 : now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The clock by which answers grow old, unlike the loop's also while the machine sleeps. */
static int64_t age_ms(struct np_resolver *resolver)
{
    int64_t now = now_ms(resolver);
    if (now >= resolver->sleep_look_ms) {
        int64_t slept = clock_ms(CLOCK_BOOTTIME) - clock_ms(CLOCK_MONOTONIC);
        if (slept > resolver->slept_ms + SLEEP_LEAST_MS) /* never back, by a rounding */
            resolver->slept_ms = slept;
        resolver->sleep_look_ms = now + SLEEP_LOOK_MS;
    }
    return now + resolver->slept_ms;
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

/* Counts what a client was told. */
static void count(struct np_resolver *resolver, const struct np_query *query, const struct np_recalled *recalled)
{
    if (recalled->kind == NP_RECALL_FAILURE)
        resolver->answers.failed++;
    else if (recalled->is_blocked)
        note_blocked(resolver, &query->qname, query->qtype, &recalled->blocked);
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
    struct np_recalled recalled;
    np_recall_query(&resolver->recall, &resolver->view, &ticket->client, query, age_ms(resolver), out, size, &recalled);
    if (recalled.len > 0) {
        count(resolver, query, &recalled);
        resolver->answers.cached++;
        if (recalled.refresh)
            (void)np_forward_refresh(resolver->forward, query); /* at a limit it is not asked anew: it runs out */
        return (long)recalled.len;
    }
    resolver->answers.forwarded++;
    int rc = np_forward_ask(resolver->forward, ticket, query);
    if (rc == 0)
        return -1;
    if (rc == NP_E_REFUSED)
        return (long)np_local_looped(&resolver->view, &ticket->client, query, out, size);
    return (long)np_local_busy(&ticket->client, query, out, size);
}

static long serve(void *ctx, const struct np_ticket *ticket, const uint8_t *packet, size_t len, uint8_t *out,
                  size_t size)
{
    struct np_resolver *resolver = ctx;
    struct np_query query = {.padding = false};
    bool timed = resolver->until_timed == 0;
    uint64_t begin = timed ? uv_hrtime() : 0, cached = resolver->answers.cached;
    resolver->until_timed = timed ? TIMED_EVERY - 1 : resolver->until_timed - 1;
    long n = serve_query(resolver, ticket, packet, len, &query, out, size);
    if (n > 0)
        n = (long)pad(&ticket->client, &query, out, (size_t)n, size);
    if (n > 0 && timed)
        np_latency_add(resolver->answers.cached == cached ? &resolver->local : &resolver->cached,
                       (int64_t)(uv_hrtime() - begin));
    return n;
}

static void judge(void *ctx, const struct np_forward_result *result)
{
    struct np_resolver *resolver = ctx;
    np_recall_take(&resolver->recall, &resolver->view, result, age_ms(resolver));
}

static void answered(void *ctx, const struct np_ticket *ticket, const struct np_query *query,
                     const struct np_forward_result *result)
{
    struct np_resolver *resolver = ctx;
    const struct np_client *client = &ticket->client;
    struct np_recalled recalled;
    np_recall_give(&resolver->recall, &resolver->view, client, query, age_ms(resolver), resolver->out,
                   sizeof resolver->out, &recalled);
    count(resolver, query, &recalled);
    if (result->looped && recalled.kind == NP_RECALL_FAILURE)
        recalled.len = np_local_looped(&resolver->view, client, query, resolver->out, sizeof resolver->out);
    size_t len = pad(client, query, resolver->out, recalled.len, sizeof resolver->out);
    np_server_reply(resolver->server, ticket, resolver->out, len);
}

static bool late(void *ctx, const struct np_ticket *ticket, const struct np_query *query)
{
    struct np_resolver *resolver = ctx;
    struct np_recalled recalled;
    np_recall_late(&resolver->recall, &resolver->view, &ticket->client, query, age_ms(resolver), resolver->out,
                   sizeof resolver->out, &recalled);
    if (recalled.len == 0)
        return false;
    count(resolver, query, &recalled);
    size_t len = pad(&ticket->client, query, resolver->out, recalled.len, sizeof resolver->out);
    np_server_reply(resolver->server, ticket, resolver->out, len);
    return true;
}

static bool is_offline(void *ctx, const struct np_name *qname)
{
    struct np_resolver *resolver = ctx;
    return np_forward_is_offline(resolver->forward, qname);
}

static bool is_own(void *ctx, const struct np_endpoint *endpoint, const struct np_addr *local)
{
    const struct np_resolver *resolver = ctx;
    return np_server_listens(resolver->server, endpoint, local);
}

static void part_closed(void *ctx)
{
    struct np_resolver *resolver = ctx;
    if (--resolver->open > 0)
        return;
    np_recall_deinit(&resolver->recall);
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
    np_recall_init(&resolver->recall, is_offline, resolver);
    np_pace_init(&resolver->blocked_lines, BLOCKED_LINES, BLOCKED_LINE_MS, (int64_t)uv_now(loop));
    int rc = np_server_new(loop, serve, admit_client, resolver, &resolver->server);
    if (rc) {
        free(resolver);
        return rc;
    }
    resolver->open = 1;
    static const struct np_forward_owner owner = {judge, answered, late, is_own};
    rc = np_forward_new(loop, &owner, resolver, &resolver->forward);
    if (rc) {
        np_server_close(resolver->server, part_closed, resolver);
        return rc;
    }
    resolver->open = 2;
    *out_resolver = resolver;
    return 0;
}

int np_resolver_set_view(struct np_resolver *resolver, const struct np_view *view)
{
    int rc = np_forward_set_upstreams(resolver->forward, view);
    if (rc)
        return rc;
    rc = np_recall_fit(&resolver->recall, &resolver->view, view);
    if (rc)
        np_warning("cache of %u bytes: %s", view->cache, np_strerror(rc));
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

/* Streams over TLS to the servers come from the front. While there is none, who waits is asked for again later. */
static void open_stream(void *ctx, uint32_t id, const struct np_view_upstream *server)
{
    struct np_resolver *resolver = ctx;
    struct np_peer_message message = {.id = id, .server = *server};
    if (resolver->peer)
        (void)np_peer_send_take(resolver->peer, NP_PEER_OPEN, &message, -1);
}

static void stream_failed(struct np_resolver *resolver, const struct np_peer_message *message)
{
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    struct np_view_upstream server;
    if (!np_forward_not_opened(resolver->forward, message->id, message->reason, &server))
        return;
    np_view_upstream_format(&server, text);
    if (server.tls == NP_TLS_STRICT)
        np_warning("upstream %s: no TLS: %s; it is not asked until there is", text, message->why);
    else
        np_notice("upstream %s: no TLS: %s; it is asked in clear text for now", text, message->why);
}

static void stream_opened(struct np_resolver *resolver, const struct np_peer_message *message, int *fd)
{
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    struct np_view_upstream server;
    if (np_forward_opened(resolver->forward, message->id, fd, &server))
        np_notice("upstream %s: TLS works again", np_view_upstream_format(&server, text));
}

static void peer_frame(void *ctx, uint32_t type, const struct np_peer_message *message, int *fd)
{
    struct np_resolver *resolver = ctx;
    switch (type) {
    case NP_PEER_CLIENT:
        /* The front has admitted it; what is admitted here is what our own view says. */
        if (np_server_adopt(resolver->server, *fd, &message->client) == 0)
            *fd = -1;
        break;
    case NP_PEER_STREAM:
        stream_opened(resolver, message, fd);
        break;
    case NP_PEER_FAILED:
        stream_failed(resolver, message);
        break;
    }
}

static void peer_gone(void *ctx)
{
    struct np_resolver *resolver = ctx;
    np_peer_close(resolver->peer);
    resolver->peer = NULL;
}

void np_resolver_expect_peer(struct np_resolver *resolver)
{
    np_forward_set_opener(resolver->forward, open_stream, resolver);
}

void np_resolver_set_peer_take(struct np_resolver *resolver, int fd)
{
    static const struct np_peer_events events = {peer_frame, peer_gone};
    np_peer_close(resolver->peer);
    resolver->peer = NULL;
    int rc = np_peer_new(resolver->loop, fd, &events, resolver, &resolver->peer);
    if (rc) {
        np_error("stream channel: %s", np_strerror(rc));
        close(fd);
        return;
    }
    np_forward_open_again(resolver->forward);
}

void np_resolver_stats(const struct np_resolver *resolver, struct np_stats *out_stats)
{
    memset(out_stats, 0, sizeof *out_stats);
    out_stats->answers = resolver->answers;
    out_stats->server = *np_server_stats(resolver->server);
    out_stats->forward = *np_forward_stats(resolver->forward);
    if (resolver->recall.cache)
        out_stats->cache = *np_cache_stats(resolver->recall.cache);
    out_stats->local = resolver->local;
    out_stats->cached = resolver->cached;
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
