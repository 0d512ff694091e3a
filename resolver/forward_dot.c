#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/forward_private.h"

enum np_upstream_way np_forward_way(const struct remote *remote)
{
    const struct np_forward *forward = remote->forward;
    enum np_upstream_way way = np_upstream_way(&remote->tls, remote->server.tls, (int64_t)uv_now(forward->loop));
    if (way != NP_UPSTREAM_TLS || forward->open)
        return way;
    return remote->server.tls == NP_TLS_STRICT ? NP_UPSTREAM_NOT_NOW : NP_UPSTREAM_CLEAR; /* nobody does TLS for us */
}

bool np_forward_is_network(const struct remote *remote)
{
    return !remote->tls.failed || np_upstream_tls_is_network(remote->tls.reason);
}

/* The connection over TLS to the remote on which the question waits for an answer that may still come. */
static const struct connection *waits_on(const struct question *question, const struct remote *remote)
{
    for (const struct pending *pending = question->tries; pending; pending = pending->next) {
        const struct connection *connection = pending->connection;
        if (connection && connection->tls && !connection->retired && pending->remote == remote)
            return connection;
    }
    return NULL;
}

int np_forward_send(struct question *question, struct remote *remote, unsigned how)
{
    const struct connection *connection;
    switch (np_forward_way(remote)) {
    case NP_UPSTREAM_CLEAR:
        return np_forward_udp_send(question, remote, how);
    case NP_UPSTREAM_NOT_NOW:
        return NP_E_TLS;
    case NP_UPSTREAM_TLS:
        break;
    }
    connection = waits_on(question, remote);
    if (!connection)
        return np_forward_stream_send(question, remote, how, NP_STREAM_USUAL);
    /* Asking again there would get the same answer later. Where no stream has come in time, clear text is better than a
     * client that waits, if it is allowed. */
    if (!connection->open && remote->server.tls == NP_TLS_OPPORTUNISTIC)
        return np_forward_udp_send(question, remote, how);
    return 0;
}

int np_forward_dot_open(struct connection *connection)
{
    struct np_forward *forward = connection->remote->forward;
    connection->tls = true;
    forward->open(forward->open_ctx, (uint32_t)connection->serial, &connection->remote->server);
    return 0;
}

void np_forward_set_opener(struct np_forward *forward, np_forward_open_fn *open, void *ctx)
{
    forward->open = open;
    forward->open_ctx = ctx;
}

/* The connection that waits for the stream of that number. */
static struct connection *find_waiting(const struct np_forward *forward, uint32_t id)
{
    struct connection *connection = forward->connections;
    while (connection && !(connection->tls && !connection->stream && (uint32_t)connection->serial == id))
        connection = connection->next;
    return connection;
}

void np_forward_open_again(struct np_forward *forward)
{
    if (!forward->open)
        return;
    for (const struct connection *connection = forward->connections; connection; connection = connection->next) {
        if (connection->tls && !connection->stream)
            forward->open(forward->open_ctx, (uint32_t)connection->serial, &connection->remote->server);
    }
}

bool np_forward_opened(struct np_forward *forward, uint32_t id, int *fd, struct np_view_upstream *out_server)
{
    struct connection *connection = find_waiting(forward, id);
    if (!connection)
        return false;
    struct remote *remote = connection->remote;
    *out_server = remote->server;
    bool news = np_upstream_tls_opened(&remote->tls);
    remote->state.reached_ms = (int64_t)uv_now(forward->loop); /* its answers are worth waiting for */
    if (np_forward_stream_opened(connection, *fd))
        np_forward_stream_failed(connection);
    else
        *fd = -1;
    return news;
}

void np_forward_dot_answered(struct remote *remote)
{
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    if (np_upstream_tls_answered(&remote->tls))
        np_notice("upstream %s: answers over TLS again", np_view_upstream_format(&remote->server, text));
}

/* A stream to the remote gave no answer. */
static void no_dns(struct remote *remote, const char *what)
{
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    int64_t now = (int64_t)uv_now(remote->forward->loop);
    if (!np_upstream_tls_failed(&remote->tls, remote->server.tls, NP_PEER_NO_DNS, now))
        return;
    np_view_upstream_format(&remote->server, text);
    if (remote->server.tls == NP_TLS_STRICT)
        np_warning("upstream %s: TLS works, but it %s; it is asked less often until it answers", text, what);
    else
        np_notice("upstream %s: TLS works, but it %s; it is asked in clear text for now", text, what);
}

void np_forward_dot_cut(struct remote *remote)
{
    no_dns(remote, "ends the connection without an answer");
    /* A strict server has no other way to show that it lives; an opportunistic one is judged in clear text now. */
    if (remote->server.tls == NP_TLS_STRICT)
        np_upstream_failed(&remote->state, (int64_t)uv_now(remote->forward->loop), 0);
}

void np_forward_dot_silent(struct remote *remote)
{
    /* A strict server's silence counts as that of any other (np_attempt_timed_out): a pause would take the next
     * questions from one that only takes long for this one. */
    if (remote->server.tls == NP_TLS_OPPORTUNISTIC)
        no_dns(remote, "says nothing");
}

bool np_forward_not_opened(struct np_forward *forward, uint32_t id, enum np_peer_reason reason,
                           struct np_view_upstream *out_server)
{
    struct connection *connection = find_waiting(forward, id);
    if (!connection)
        return false;
    struct remote *remote = connection->remote;
    *out_server = remote->server;
    bool news = np_upstream_tls_failed(&remote->tls, remote->server.tls, reason, (int64_t)uv_now(forward->loop));
    np_forward_stream_failed(connection);
    return news;
}
