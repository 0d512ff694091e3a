#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/forward_private.h"

#define SPREAD                                                                                                         \
    16 /* questions on a connection before another one is opened: some servers answer one after the other              \
        */

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

/* Asks the question of a connection that has ended again, on another one, or of somebody else. */
static void ask_again(struct try *try, bool of_use)
{
    struct question *question = try->question;
    struct remote *remote = try->remote;
    if (!of_use) {
        np_forward_try_failed(try);
        return;
    }
    np_forward_try_end(try);
    if (np_forward_stream_send(question, remote))
        np_forward_unreachable(question, remote);
}

/* Ends the connection. Its questions get a new one where it had been of use (an upstream may close an idle connection
 * just as we send, RFC 7766 section 6.2.4; or it takes a few questions on each); else they have failed. */
static void connection_end(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    unlink_connection(connection);
    bool of_use = connection->answers > 0 && !connection->remote->forward->closing;
    for (size_t i = 0; i < NP_FORWARD_STREAM_QUERIES; i++) {
        if (connection->tries[i])
            ask_again(connection->tries[i], of_use);
    }
    if (connection->stream)
        np_dns_stream_close(connection->stream);
    else
        connection_free(connection);
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
        if (connection->dirty && connection->stream)
            np_dns_stream_flush(connection->stream);
        connection->dirty = false;
    }
}

/* Sends what waits for its turn, as far as the stream takes it. */
static void pump(struct connection *connection)
{
    uint8_t packet[QUERY_SIZE_MAX];
    if (!connection->open || connection->closing)
        return;
    for (size_t i = 0; i < NP_FORWARD_STREAM_QUERIES && connection->unsent > 0; i++) {
        struct try *try = connection->tries[i];
        if (!try || !try->unsent)
            continue;
        size_t len = np_forward_write(try, packet, sizeof packet);
        if (np_dns_stream_send(connection->stream, packet, len))
            break; /* full: drained is told */
        try->unsent = false;
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

static void on_message(void *ctx, const uint8_t *message, size_t len)
{
    struct connection *connection = ctx;
    bool known = np_forward_received(connection->remote->forward, connection->tries, NP_FORWARD_STREAM_QUERIES, true,
                                     message, len);
    connection->answers += known;
    connection->foreign += !known;
    if (connection->foreign > NP_FORWARD_STREAM_FOREIGN_MAX)
        connection_end(connection);
}

static void on_drained(void *ctx)
{
    pump(ctx);
}

static void on_ended(void *ctx, int rc)
{
    (void)rc;
    connection_end(ctx);
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

struct connection *np_forward_stream_find(struct np_forward *forward, uint64_t serial)
{
    struct connection *connection = forward->connections;
    while (connection && connection->serial != serial)
        connection = connection->next;
    return connection;
}

/* Begins a connection in place of the remote's. */
static int connection_start(struct remote *remote, size_t place)
{
    struct np_forward *forward = remote->forward;
    if (forward->connection_count >= NP_FORWARD_CONNECTIONS_MAX)
        return NP_E_LIMIT;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->remote = remote;
    connection->serial = ++forward->connection_serial;
    connection->active_ms = (int64_t)uv_now(forward->loop);
    connection->next = forward->connections;
    forward->connections = connection;
    forward->connection_count++;
    remote->connections[place] = connection;
    remote->references++;
    np_forward_need_sweep(forward);
    int rc = np_forward_tcp_open(connection);
    if (rc)
        connection_end(connection);
    return rc;
}

/* The connection for the next question: the least busy one, or a new one when all are busy and the remote has room. */
static int choose_connection(struct remote *remote, struct connection **out_connection)
{
    struct connection *best = NULL;
    size_t room = NP_FORWARD_CONNECTIONS_PER_UPSTREAM;
    for (size_t i = 0; i < NP_FORWARD_CONNECTIONS_PER_UPSTREAM; i++) {
        struct connection *connection = remote->connections[i];
        if (!connection)
            room = i;
        else if (!best || connection->active < best->active)
            best = connection;
    }
    if ((!best || best->active >= SPREAD) && room < NP_FORWARD_CONNECTIONS_PER_UPSTREAM) {
        int rc = connection_start(remote, room);
        if (!rc)
            best = remote->connections[room];
        else if (!best)
            return rc;
    }
    *out_connection = best;
    return best->active < NP_FORWARD_STREAM_QUERIES ? 0 : NP_E_LIMIT;
}

static bool id_taken(const struct connection *connection, uint16_t id)
{
    for (size_t i = 0; i < NP_FORWARD_STREAM_QUERIES; i++) {
        if (connection->tries[i] && connection->tries[i]->id == id)
            return true;
    }
    return false;
}

int np_forward_stream_send(struct question *question, struct remote *remote)
{
    struct connection *connection;
    int rc = choose_connection(remote, &connection);
    if (rc)
        return rc;
    struct try *try = np_forward_try(question, remote, false);
    if (!try)
        return NP_E_LIMIT;
    size_t place = 0;
    while (connection->tries[place])
        place++;
    do {
        np_forward_random(remote->forward, &try->id, sizeof try->id);
    } while (id_taken(connection, try->id));
    try->place = (uint8_t)place;
    try->connection = connection;
    try->unsent = true;
    connection->tries[place] = try;
    connection->active++;
    connection->unsent++;
    connection->active_ms = (int64_t)uv_now(remote->forward->loop);
    remote->forward->stats.sent_tcp++;
    remote->streamed++;
    pump(connection);
    return 0;
}

void np_forward_stream_take_off(struct try *try)
{
    struct connection *connection = try->connection;
    connection->tries[try->place] = NULL;
    connection->active--;
    connection->unsent -= try->unsent;
    connection->active_ms = (int64_t)uv_now(connection->remote->forward->loop);
}

void np_forward_stream_sweep(struct np_forward *forward, bool everything)
{
    int64_t now = (int64_t)uv_now(forward->loop);
    for (struct connection *connection = forward->connections, *next; connection; connection = next) {
        next = connection->next;
        if (everything || (connection->active == 0 && now - connection->active_ms >= NP_FORWARD_STREAM_IDLE_MS))
            connection_end(connection);
    }
}
