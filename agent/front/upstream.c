#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

static void start(struct np_front_upstream *upstream);

/* The end of one. */

/* Frees it once both its sides are gone; it is not to be touched afterwards. */
static void settle(struct np_front_upstream *upstream)
{
    struct np_front *front = upstream->front;
    if (upstream->tls || upstream->plain)
        return;
    for (size_t i = 0; i < NP_FRONT_UPSTREAMS_MAX; i++) {
        if (front->upstreams[i] == upstream)
            front->upstreams[i] = NULL;
    }
    front->upstream_count--;
    free(upstream);
}

/* Ends in peace: what was written still leaves. */
static void end(struct np_front_upstream *upstream)
{
    if (upstream->ending)
        return;
    upstream->ending = true;
    if (upstream->tls)
        np_stream_close(upstream->tls);
    if (upstream->plain)
        np_tcp_close(upstream->plain);
}

static void abort_now(struct np_front_upstream *upstream)
{
    upstream->ending = true;
    if (upstream->tls)
        np_stream_abort(upstream->tls);
    if (upstream->plain)
        np_tcp_abort(upstream->plain);
    settle(upstream);
}

static enum np_peer_reason reason_of(int err)
{
    switch (err) {
    case NP_E_NAME:
        return NP_PEER_NAME;
    case NP_E_CHAIN:
        return NP_PEER_UNTRUSTED;
    case NP_E_DATE:
        return NP_PEER_DATE;
    case NP_E_NOT_FOUND:
        return NP_PEER_UNKNOWN;
    case NP_E_LIMIT:
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
        return NP_PEER_LIMIT;
    case NP_E_TLS:
    case NP_E_CLOSED:
    case -ECONNRESET:
        return NP_PEER_NO_TLS;
    case -ECONNREFUSED:
        return NP_PEER_REFUSED;
    default:
        return NP_PEER_UNREACHABLE;
    }
}

static void tell_failure(struct np_front *front, uint32_t id, int err, const char *why)
{
    struct np_peer_message message = {.id = id, .reason = reason_of(err)};
    np_text_sanitize(why ? why : np_strerror(err), message.why, sizeof message.why);
    front->stats.upstream_failed[message.reason]++;
    if (front->peer)
        (void)np_peer_send_take(front->peer, NP_PEER_FAILED, &message,
                                -1); /* it waits for no longer than its questions */
}

/* It never came about. */
static void fail(struct np_front_upstream *upstream, int err, const char *why)
{
    tell_failure(upstream->front, upstream->id, err, why);
    upstream->ending = true;
    settle(upstream);
}

/* The plain side: the resolver's end of the pair is at its other end. */

static size_t on_plain_data(void *ctx, struct np_tcp *tcp, const uint8_t *data, size_t len)
{
    struct np_front_upstream *upstream = ctx;
    (void)tcp;
    return upstream->tls ? np_stream_write(upstream->tls, data, len) : len;
}

static void on_plain_writable(void *ctx, struct np_tcp *tcp)
{
    struct np_front_upstream *upstream = ctx;
    (void)tcp;
    if (upstream->tls)
        np_stream_resume(upstream->tls);
}

/* The resolver needs it no more. */
static void on_plain_eof(void *ctx, struct np_tcp *tcp)
{
    (void)tcp;
    end(ctx);
}

static void on_plain_closed(void *ctx, int err)
{
    struct np_front_upstream *upstream = ctx;
    (void)err;
    upstream->plain = NULL;
    end(upstream);
    settle(upstream);
}

static const struct np_tcp_events plain_events = {
    .on_data = on_plain_data,
    .on_writable = on_plain_writable,
    .on_eof = on_plain_eof,
    .on_closed = on_plain_closed,
};

/* Sessions, so that the next connection to the same server costs it and us little. */

static struct np_front_session *find_session(struct np_front *front, const struct np_view_upstream *server)
{
    uint64_t now = uv_now(front->loop);
    for (size_t i = 0; i < NP_FRONT_SESSIONS_MAX; i++) {
        struct np_front_session *session = &front->upstream_sessions[i];
        if (session->made_ms && now - session->made_ms < NP_FRONT_SESSION_MS &&
            np_view_upstream_equal(&session->server, server))
            return session;
    }
    return NULL;
}

/* Keeps the stream's session in place of the server's old one, or else of the oldest. */
static void keep_session(struct np_front_upstream *upstream)
{
    struct np_front *front = upstream->front;
    struct np_front_session *place = find_session(front, &upstream->server);
    for (size_t i = 0; i < NP_FRONT_SESSIONS_MAX && !place; i++) {
        if (!front->upstream_sessions[i].made_ms)
            place = &front->upstream_sessions[i];
    }
    for (size_t i = 0; i < NP_FRONT_SESSIONS_MAX && !place; i++)
        place = &front->upstream_sessions[i];
    br_ssl_session_parameters parameters;
    if (np_stream_session(upstream->tls, &parameters)) {
        front->stats.upstream_resumed++; /* and keeps the age that it was judged at */
    } else if (parameters.session_id_len == sizeof parameters.session_id) {
        place->server = upstream->server;
        place->parameters = parameters;
        place->made_ms = uv_now(front->loop) + 1; /* never 0 */
    }
    np_wipe(&parameters, sizeof parameters);
}

static void forget_session(struct np_front *front, const struct np_view_upstream *server)
{
    struct np_front_session *session = find_session(front, server);
    if (session)
        np_wipe(session, sizeof *session);
}

void np_front_upstreams_forget(struct np_front *front)
{
    np_wipe(front->upstream_sessions, sizeof front->upstream_sessions);
}

/* The TLS side. */

/* Gives the resolver one end of a pair and relays to the other. */
static int hand_over(struct np_front_upstream *upstream)
{
    struct np_front *front = upstream->front;
    struct np_peer_message message = {.id = upstream->id};
    int pair[2];
    if (!front->peer)
        return NP_E_CLOSED;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    int rc = np_tcp_accept(front->loop, &plain_events, upstream, pair[0], &upstream->plain);
    if (rc) {
        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    return np_peer_send_take(front->peer, NP_PEER_STREAM, &message, pair[1]);
}

static void on_tls_ready(void *ctx, struct np_stream *stream)
{
    struct np_front_upstream *upstream = ctx;
    (void)stream;
    upstream->ready = true;
    upstream->front->stats.upstream_opened++;
    keep_session(upstream);
    if (hand_over(upstream))
        end(upstream);
}

static size_t on_tls_data(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len)
{
    struct np_front_upstream *upstream = ctx;
    (void)stream;
    return upstream->plain && !upstream->ending ? np_tcp_write(upstream->plain, data, len) : len;
}

static void on_tls_writable(void *ctx, struct np_stream *stream)
{
    struct np_front_upstream *upstream = ctx;
    (void)stream;
    if (upstream->plain)
        np_tcp_resume(upstream->plain);
}

static void on_tls_closed(void *ctx, int err, const char *why)
{
    struct np_front_upstream *upstream = ctx;
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    upstream->tls = NULL;
    np_debug("upstream %s: %s", np_view_upstream_format(&upstream->server, text), why);
    if (upstream->ready || upstream->ending) {
        end(upstream);
        settle(upstream);
        return;
    }
    /* A server may have forgotten a session in a way that breaks the handshake: the next one is whole. */
    forget_session(upstream->front, &upstream->server);
    fail(upstream, err ? err : NP_E_CLOSED, why);
}

static const struct np_stream_events tls_events = {
    .on_ready = on_tls_ready,
    .on_data = on_tls_data,
    .on_writable = on_tls_writable,
    .on_closed = on_tls_closed,
};

/* The beginning. */

static int64_t steady_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec;
}

static void start(struct np_front_upstream *upstream)
{
    struct np_front *front = upstream->front;
    const struct np_view_upstream *server = &upstream->server;
    bool strict = server->tls == NP_TLS_STRICT;
    int64_t system_s = (int64_t)time(NULL), now_s = steady_s();
    const struct np_front_session *session = find_session(front, server);
    struct np_stream_options options = {
        .loop = front->loop,
        .events = tls_events,
        .ctx = upstream,
        .handshake_ms = NP_FRONT_UPSTREAM_MS,
        .idle_ms = NP_FRONT_UPSTREAM_IDLE_MS,
        .protocol = "dot",
    };
    struct np_stream_target target = {
        .remote = server->endpoint,
        .server_name = server->name,
        .rules = {.anchors = strict ? front->anchors : NULL,
                  .now_s = np_clock_judge(&front->clock, system_s, now_s),
                  .clock_believed = np_clock_believed(&front->clock, system_s, now_s)},
        .session = session ? &session->parameters : NULL,
    };
    upstream->waiting = false;
    if (strict && !front->anchors) {
        fail(upstream, NP_E_CHAIN, "there are no certificates to check it by (dot-anchors)");
        return;
    }
    int rc = np_stream_connect_public(&options, &target, &upstream->tls);
    if (rc)
        fail(upstream, rc, NULL);
}

static bool lists(const struct np_view_upstream *servers, size_t count, const struct np_view_upstream *server)
{
    for (size_t i = 0; i < count; i++) {
        if (np_view_upstream_equal(&servers[i], server))
            return true;
    }
    return false;
}

/* The resolver reads hostile packets: it gets streams to the servers that the agent named, and to nobody else. */
static bool is_known(const struct np_view *view, const struct np_view_upstream *server)
{
    bool known = lists(view->upstreams, view->upstream_count, server);
    for (size_t i = 0; i < view->forward_count && !known; i++)
        known = lists(view->forwards[i].to, view->forwards[i].to_count, server);
    return known;
}

void np_front_upstream_open(struct np_front *front, uint32_t id, const struct np_view_upstream *server)
{
    size_t slot = 0;
    while (slot < NP_FRONT_UPSTREAMS_MAX && front->upstreams[slot])
        slot++;
    struct np_front_upstream *upstream = slot < NP_FRONT_UPSTREAMS_MAX ? calloc(1, sizeof *upstream) : NULL;
    if (!upstream) {
        tell_failure(front, id, NP_E_LIMIT, "the front has too many streams");
        return;
    }
    upstream->front = front;
    upstream->id = id;
    upstream->server = *server;
    front->upstreams[slot] = upstream;
    front->upstream_count++;
    if (is_known(&front->view, server)) {
        start(upstream);
        return;
    }
    /* The resolver may have its view a moment before we have ours. */
    upstream->waiting = true;
    upstream->due_ms = uv_now(front->loop) + NP_FRONT_UPSTREAM_VIEW_MS;
    np_front_need_tick(front);
}

void np_front_upstreams_view(struct np_front *front)
{
    for (size_t i = 0; i < NP_FRONT_UPSTREAMS_MAX; i++) {
        struct np_front_upstream *upstream = front->upstreams[i];
        if (upstream && upstream->waiting && is_known(&front->view, &upstream->server))
            start(upstream);
    }
}

bool np_front_upstreams_tick(struct np_front *front)
{
    bool needed = false;
    for (size_t i = 0; i < NP_FRONT_UPSTREAMS_MAX; i++) {
        struct np_front_upstream *upstream = front->upstreams[i];
        if (!upstream || !upstream->waiting)
            continue;
        if (uv_now(front->loop) >= upstream->due_ms)
            fail(upstream, NP_E_NOT_FOUND, "the front knows of no such upstream");
        else
            needed = true;
    }
    return needed;
}

void np_front_upstreams_abort(struct np_front *front)
{
    for (size_t i = 0; i < NP_FRONT_UPSTREAMS_MAX; i++) {
        if (front->upstreams[i])
            abort_now(front->upstreams[i]);
    }
}
