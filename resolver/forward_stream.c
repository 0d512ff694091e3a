#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/forward_private.h"
#include "resolver/padding.h"

#define SPREAD      16   /* questions on one before another is opened: some servers answer one after the other */
#define SPREAD_TLS  64   /* ... over TLS, where another one costs a handshake */
#define OPEN_MAX_MS 8000 /* for a stream over TLS to come: whoever opens it has given up long before */

/* Takes the connection out of every table. */
static void unlink_connection(struct connection *connection)
{
    struct remote *remote = connection->remote;
    struct connection **at = &remote->forward->connections;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    remote->forward->connection_count--;
    for (size_t i = 0; i < NP_FORWARD_CONNECTIONS_PER_UPSTREAM; i++) {
        if (remote->connections[i] == connection)
            remote->connections[i] = NULL;
    }
}

static void connection_free(struct connection *connection)
{
    struct remote *remote = connection->remote;
    free(connection);
    np_forward_remote_release(remote);
}

static int choose_connection(struct remote *remote, struct connection **out_connection);
static void put_on(struct connection *connection, struct pending *pending);

/* What the end of a connection with questions on it tells. Returns true when they are to be asked on another one: an
 * upstream may close one just as we send (RFC 7766 section 6.2.4), or take a few questions on each, or not bear more
 * than one at a time, and then what it had answered may be lost with the rest. */
static bool may_go_on(struct connection *connection, int64_t now)
{
    struct np_upstream *state = &connection->remote->state;
    bool together = connection->active - connection->unsent > 1;
    if (connection->answers == 0 && !together) {
        np_upstream_lost_stream(state, now);
        return false;
    }
    np_upstream_cut_stream(state, now, connection->answers);
    return true;
}

/* Puts a question of an ended connection onto another one. */
static void move(struct pending *pending)
{
    struct question *question = pending->question;
    struct remote *remote = pending->remote;
    struct connection *other;
    unsigned how = pending->try.how;
    enum np_stream_why why = pending->try.why;
    if (pending->unsent && choose_connection(remote, &other) == 0) {
        pending->connection->tries[pending->place] = NULL;
        put_on(other, pending);
        return;
    }
    np_forward_try_end(pending);
    if (np_forward_stream_send(question, remote, how, why))
        np_forward_unreachable(question, remote);
}

/* Ends the connection; its questions go elsewhere. */
static void connection_end(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    unlink_connection(connection);
    bool go_on = connection->active > 0 && may_go_on(connection, (int64_t)uv_now(connection->remote->forward->loop));
    for (size_t i = 0; i < NP_FORWARD_STREAM_QUERIES; i++) {
        if (connection->tries[i] && go_on)
            move(connection->tries[i]);
        else if (connection->tries[i])
            np_forward_stream_lost(connection->tries[i]);
    }
    if (connection->stream)
        np_dns_stream_close(connection->stream);
    else
        connection_free(connection);
}

/* The upstream ended the connection, or talks nonsense on it. Before its questions are moved, what that tells of TLS:
 * nothing, where several were on it together (see may_go_on), or none at all. */
static void connection_cut(struct connection *connection)
{
    unsigned sent = connection->active - connection->unsent;
    bool asked = connection->active > 0 || connection->abandoned > 0;
    if (connection->tls && !connection->closing && !connection->retired && connection->answers == 0 && asked &&
        sent <= 1)
        np_forward_dot_cut(connection->remote);
    connection_end(connection);
}

/* Before the loop waits again, what the connection has to send leaves together. */
static void flush_later(struct connection *connection)
{
    struct np_forward *forward = connection->remote->forward;
    connection->dirty = true;
    if (!uv_is_active((uv_handle_t *)&forward->flush))
        uv_prepare_start(&forward->flush, np_forward_stream_flush);
}

void np_forward_stream_flush(uv_prepare_t *prepare)
{
    struct np_forward *forward = prepare->data;
    uv_prepare_stop(prepare);
    for (struct connection *connection = forward->connections, *next; connection; connection = next) {
        next = connection->next;
        bool dirty = connection->dirty;
        connection->dirty = false;
        if (dirty && connection->stream)
            np_dns_stream_flush(connection->stream);
    }
}

/* Sends what waits for its turn, as far as the stream takes it. */
static void pump(struct connection *connection)
{
    uint8_t packet[QUERY_SIZE_MAX];
    struct remote *remote = connection->remote;
    if (!connection->open || connection->closing)
        return;
    unsigned window =
        np_upstream_pipeline(&remote->state, (int64_t)uv_now(remote->forward->loop), NP_FORWARD_STREAM_QUERIES);
    for (size_t i = 0; i < NP_FORWARD_STREAM_QUERIES && connection->unsent > 0; i++) {
        struct pending *pending = connection->tries[i];
        if (!pending || !pending->unsent)
            continue;
        if (connection->active - connection->unsent + connection->abandoned >= window)
            break;
        size_t len = np_forward_write(pending, packet, sizeof packet);
        if (connection->tls) {
            len = np_padding_add(packet, len, sizeof packet, NP_PADDING_QUERY);
            pending->try.sent_us = np_forward_us(); /* it waited for a handshake, which says nothing of the server */
        }
        if (np_dns_stream_send(connection->stream, packet, len))
            break; /* full: drained is told */
        pending->unsent = false;
        connection->unsent--;
        flush_later(connection);
    }
}

/* Events of the stream. */

static void on_opened(void *ctx)
{
    struct connection *connection = ctx;
    connection->open = true;
    pump(connection);
}

/* Gives the message to the try, if it answers it. */
static bool received(struct pending *pending, const uint8_t *message, size_t len)
{
    pending->answered = true; /* it may be gone afterwards */
    if (np_forward_received(pending, message, len))
        return true;
    pending->answered = false;
    return false;
}

static void answered(struct connection *connection)
{
    connection->answers++;
    if (connection->tls)
        np_forward_dot_answered(connection->remote);
}

static void on_message(void *ctx, const uint8_t *message, size_t len)
{
    struct connection *connection = ctx;
    struct np_forward *forward = connection->remote->forward;
    uint16_t id = len >= 2 ? (uint16_t)(message[0] << 8 | message[1]) : 0;
    size_t place = 0;
    while (place < NP_FORWARD_STREAM_QUERIES && (connection->ids[place] != id || !connection->tries[place]))
        place++;
    connection->heard_ms = (int64_t)uv_now(forward->loop);
    if (len >= NP_DNS_HEADER_LEN && place < NP_FORWARD_STREAM_QUERIES &&
        received(connection->tries[place], message, len)) {
        answered(connection);
        pump(connection);
        return;
    }
    if (connection->abandoned > 0) {
        connection->abandoned--;
        answered(connection);
        forward->stats.late++;
        np_upstream_lives(&connection->remote->state, connection->heard_ms);
        pump(connection);
        return;
    }
    forward->stats.foreign++;
    if (++connection->foreign > NP_FORWARD_STREAM_FOREIGN_MAX)
        connection_cut(connection);
}

static void on_drained(void *ctx)
{
    pump(ctx);
}

static void on_ended(void *ctx, int rc)
{
    (void)rc;
    connection_cut(ctx);
}

static void on_closed(void *ctx)
{
    struct connection *connection = ctx;
    struct np_forward *forward = connection->remote->forward;
    connection_free(connection);
    np_forward_handle_closed(forward);
}

int np_forward_stream_opened(struct connection *connection, int fd)
{
    static const struct np_dns_stream_events events = {on_opened, on_message, on_drained, on_ended, on_closed};
    struct np_forward *forward = connection->remote->forward;
    int rc = np_dns_stream_new(forward->loop, fd, &events, connection, &connection->stream);
    if (rc)
        return rc;
    forward->handles++;
    return 0;
}

void np_forward_stream_failed(struct connection *connection)
{
    connection_end(connection);
}

/* Begins a connection in place of the remote's. */
static int connection_start(struct remote *remote, size_t place, bool tls)
{
    struct np_forward *forward = remote->forward;
    if (forward->connection_count >= NP_FORWARD_CONNECTIONS_MAX)
        return NP_E_LIMIT;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->remote = remote;
    connection->serial = ++forward->connection_serial;
    connection->active_ms = connection->heard_ms = (int64_t)uv_now(forward->loop);
    connection->next = forward->connections;
    forward->connections = connection;
    forward->connection_count++;
    remote->connections[place] = connection;
    remote->references++;
    np_forward_need_sweep(forward);
    int rc = tls ? np_forward_dot_open(connection) : np_forward_tcp_open(connection);
    if (rc)
        connection_end(connection);
    return rc;
}

/* The connection for the next question: the least busy one, or a new one when all are busy and the remote has room. */
static int choose_connection(struct remote *remote, struct connection **out_connection)
{
    struct connection *best = NULL;
    size_t room = NP_FORWARD_CONNECTIONS_PER_UPSTREAM, count = 0;
    enum np_upstream_way way = np_forward_way(remote);
    bool tls = way == NP_UPSTREAM_TLS;
    unsigned window =
        np_upstream_pipeline(&remote->state, (int64_t)uv_now(remote->forward->loop), tls ? SPREAD_TLS : SPREAD);
    if (way == NP_UPSTREAM_NOT_NOW)
        return NP_E_TLS;
    for (size_t i = 0; i < NP_FORWARD_CONNECTIONS_PER_UPSTREAM; i++) {
        struct connection *connection = remote->connections[i];
        if (!connection)
            room = i;
        if (!connection || connection->tls != tls)
            continue;
        count++;
        if (!best || connection->active < best->active)
            best = connection;
    }
    bool more = room < NP_FORWARD_CONNECTIONS_PER_UPSTREAM && (!tls || count < NP_FORWARD_TLS_PER_UPSTREAM);
    if ((!best || best->active >= window) && more) {
        int rc = connection_start(remote, room, tls);
        if (!rc)
            best = remote->connections[room];
        else if (!best)
            return rc;
    }
    if (!best)
        return NP_E_LIMIT;
    *out_connection = best;
    return best->active < NP_FORWARD_STREAM_QUERIES ? 0 : NP_E_LIMIT;
}

static bool id_taken(const struct connection *connection, uint16_t id)
{
    for (size_t i = 0; i < NP_FORWARD_STREAM_QUERIES; i++) {
        if (connection->tries[i] && connection->ids[i] == id)
            return true;
    }
    return false;
}

/* Gives the try, which is on no connection, a place. There is one. */
static void put_on(struct connection *connection, struct pending *pending)
{
    struct np_forward *forward = connection->remote->forward;
    size_t place = 0;
    while (connection->tries[place])
        place++;
    do {
        np_forward_random(forward, &pending->id, sizeof pending->id);
    } while (id_taken(connection, pending->id));
    pending->place = (uint8_t)place;
    pending->connection = connection;
    pending->unsent = true;
    connection->ids[place] = pending->id;
    connection->tries[place] = pending;
    connection->active++;
    connection->unsent++;
    connection->active_ms = (int64_t)uv_now(forward->loop);
    pump(connection);
}

int np_forward_stream_send(struct question *question, struct remote *remote, unsigned how, enum np_stream_why why)
{
    struct connection *connection;
    int rc = choose_connection(remote, &connection);
    if (rc)
        return rc;
    int64_t now = (int64_t)uv_now(remote->forward->loop);
    struct np_try try = np_try_init_stream(&question->attempt, np_forward_index(question, remote), &remote->state, how,
                                           why, now, np_forward_us());
    struct pending *pending = np_forward_try(question, remote, try);
    if (!pending)
        return NP_E_LIMIT;
    *(connection->tls ? &remote->forward->stats.sent_tls : &remote->forward->stats.sent_tcp) += 1;
    remote->streamed++;
    put_on(connection, pending);
    return 0;
}

/* Closes one that is not needed any more. Not from inside connection_end, which goes on with its tries. */
static void close_if_idle(struct connection *connection)
{
    if (connection->retired && connection->active == 0)
        connection_end(connection);
}

void np_forward_stream_silent(struct connection *connection, int64_t wait_ms)
{
    struct remote *remote = connection->remote;
    int64_t now = (int64_t)uv_now(remote->forward->loop);
    bool opening = connection->tls && !connection->open; /* whoever opens it has a deadline of his own */
    if (opening || connection->retired || connection->closing || now - connection->heard_ms < wait_ms)
        return;
    connection->retired = true;
    for (size_t i = 0; i < NP_FORWARD_CONNECTIONS_PER_UPSTREAM; i++) {
        if (remote->connections[i] == connection)
            remote->connections[i] = NULL;
    }
    if (connection->answers == 0)
        np_upstream_lost_stream(&remote->state, now);
    if (connection->answers == 0 && connection->tls)
        np_forward_dot_silent(remote);
}

void np_forward_stream_take_off(struct pending *pending)
{
    struct connection *connection = pending->connection;
    connection->tries[pending->place] = NULL;
    connection->active--;
    connection->abandoned += !pending->unsent && !pending->answered;
    connection->unsent -= pending->unsent;
    pending->unsent = false;
    connection->active_ms = (int64_t)uv_now(connection->remote->forward->loop);
    close_if_idle(connection);
}

void np_forward_stream_sweep(struct np_forward *forward, bool everything)
{
    int64_t now = (int64_t)uv_now(forward->loop);
    for (struct connection *connection = forward->connections, *next; connection; connection = next) {
        next = connection->next;
        int64_t idle_ms = connection->tls ? NP_FORWARD_TLS_IDLE_MS : NP_FORWARD_STREAM_IDLE_MS;
        bool lost = connection->tls && !connection->stream && now - connection->heard_ms >= OPEN_MAX_MS;
        if (lost && !everything)
            np_upstream_tls_failed(&connection->remote->tls, connection->remote->server.tls, NP_PEER_UNREACHABLE, now);
        if (everything || lost || (connection->active == 0 && now - connection->active_ms >= idle_ms))
            connection_end(connection);
    }
}
