#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

void np_front_connection_due(struct np_front_connection *connection, uint64_t ms)
{
    connection->due_ms = uv_now(connection->front->loop) + ms;
}

size_t np_front_connection_write(struct np_front_connection *connection, const void *data, size_t len)
{
    if (connection->tls)
        return np_stream_write(connection->tls, data, len);
    return connection->tcp ? np_tcp_write(connection->tcp, data, len) : 0;
}

void np_front_connection_resume(struct np_front_connection *connection)
{
    if (connection->tls)
        np_stream_resume(connection->tls);
    else if (connection->tcp)
        np_tcp_resume(connection->tcp);
}

/* One that waits for its handshake has nothing but its socket. */
static bool drop_queued(struct np_front_connection *connection)
{
    if (connection->mode != NP_FRONT_QUEUED)
        return false;
    close(connection->fd);
    connection->front->queued--;
    np_front_connection_settle(connection);
    return true;
}

void np_front_connection_end(struct np_front_connection *connection)
{
    if (connection->ending || drop_queued(connection))
        return;
    connection->ending = true;
    np_front_connection_due(connection, NP_FRONT_ENDING_MS); /* closing has shorter ones, which move with each record */
    if (connection->tls)
        np_stream_close(connection->tls);
    if (connection->tcp)
        np_tcp_close(connection->tcp);
    if (connection->backend)
        np_tcp_close(connection->backend);
}

void np_front_connection_abort(struct np_front_connection *connection)
{
    if (drop_queued(connection))
        return;
    connection->ending = true;
    connection->due_ms = NP_FRONT_NEVER;
    if (connection->tls)
        np_stream_abort(connection->tls);
    if (connection->tcp)
        np_tcp_abort(connection->tcp);
    if (connection->backend)
        np_tcp_abort(connection->backend);
}

static void leave_place(struct np_front_connection *connection)
{
    struct np_front *front = connection->front;
    if (front->connections[connection->slot] != connection)
        return;
    front->connections[connection->slot] = NULL;
    front->connection_count--;
}

void np_front_connection_evict(struct np_front_connection *connection)
{
    leave_place(connection);
    np_front_connection_abort(connection);
}

void np_front_connection_settle(struct np_front_connection *connection)
{
    if (connection->tls || connection->tcp || connection->backend)
        return;
    leave_place(connection);
    free(connection->in);
    free(connection->out);
    free(connection);
}

static size_t take(struct np_front_connection *connection, const uint8_t *data, size_t len)
{
    if (connection->ending)
        return len;
    if (connection->mode == NP_FRONT_RELAY)
        return np_front_relay_data(connection, data, len);
    return np_front_http_data(connection, data, len);
}

static void room(struct np_front_connection *connection)
{
    if (connection->mode == NP_FRONT_RELAY)
        np_front_relay_writable(connection);
    else if (connection->mode == NP_FRONT_HTTP)
        np_front_http_writable(connection);
}

/* The client is gone; the backend still gets what was written to it. */
static void client_gone(struct np_front_connection *connection)
{
    connection->ending = true;
    connection->due_ms = NP_FRONT_NEVER;
    connection->tls = NULL;
    connection->tcp = NULL;
    if (connection->backend)
        np_tcp_close(connection->backend);
    np_front_connection_settle(connection);
}

/* Over TCP */

static size_t on_tcp_data(void *ctx, struct np_tcp *tcp, const uint8_t *data, size_t len)
{
    (void)tcp;
    return take(ctx, data, len);
}

static void on_tcp_writable(void *ctx, struct np_tcp *tcp)
{
    (void)tcp;
    room(ctx);
}

/* A half-closed client still gets the answer that is on its way. */
static void on_tcp_eof(void *ctx, struct np_tcp *tcp)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
    if (connection->mode == NP_FRONT_RELAY)
        np_front_relay_client_done(connection);
    else if (connection->out)
        connection->out_last = true;
    else
        np_front_connection_end(connection);
}

static void on_tcp_closed(void *ctx, int err)
{
    (void)err;
    client_gone(ctx);
}

static const struct np_tcp_events tcp_events = {
    .on_data = on_tcp_data,
    .on_writable = on_tcp_writable,
    .on_eof = on_tcp_eof,
    .on_closed = on_tcp_closed,
};

/* Over TLS */

/* The name that a client asked for, in lower case; "" for none. False when no name is as long. */
static bool lower_name(const char *server_name, char out[NP_REQUEST_HOST_MAX + 1])
{
    size_t len = strlen(server_name);
    if (len > NP_REQUEST_HOST_MAX)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = server_name[i] >= 'A' && server_name[i] <= 'Z' ? (char)(server_name[i] | 0x20) : server_name[i];
    return true;
}

bool np_front_connection_is_for_us(const struct np_front_connection *connection, const char *server_name)
{
    static const struct np_addr none = {.family = AF_UNSPEC};
    char name[NP_REQUEST_HOST_MAX + 1];
    if (!*server_name)
        return true;
    return lower_name(server_name, name) &&
           np_answer_host(&connection->front->view, name, &none, &connection->client.local) != NP_ANSWER_FOREIGN;
}

static void on_tls_ready(void *ctx, struct np_stream *stream)
{
    struct np_front_connection *connection = ctx;
    connection->front->stats.handshakes++;
    if (connection->kind == NP_LISTEN_DOT) {
        np_front_dot_start(connection);
        return;
    }
    /* A client that asked for somebody else's name gets the own pages, which answer 421, and not the backend. */
    const char *asked = np_stream_server_name(stream);
    char name[NP_REQUEST_HOST_MAX + 1];
    const struct np_endpoint *backend = NULL;
    if (np_front_connection_is_for_us(connection, asked) && lower_name(asked, name))
        backend = np_front_settings_backend(&connection->front->settings, &connection->front->view, name);
    if (backend)
        np_front_relay_start(connection, backend);
    else
        np_front_http_start(connection);
}

static size_t on_tls_data(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len)
{
    (void)stream;
    return take(ctx, data, len);
}

static void on_tls_writable(void *ctx, struct np_stream *stream)
{
    (void)stream;
    room(ctx);
}

static void on_tls_closed(void *ctx, int err, const char *why)
{
    struct np_front_connection *connection = ctx;
    char text[NP_ADDR_TEXT_MAX];
    if (connection->mode == NP_FRONT_HANDSHAKE) {
        connection->front->stats.handshakes_failed++;
        connection->front->stats.dot_handshakes_failed += connection->kind == NP_LISTEN_DOT;
        np_debug("%s: no TLS: %s (%s)", np_addr_format(&connection->client.remote.addr, text), why, np_err_name(err));
    }
    client_gone(connection);
}

static const struct np_stream_events tls_events = {
    .on_ready = on_tls_ready,
    .on_data = on_tls_data,
    .on_writable = on_tls_writable,
    .on_closed = on_tls_closed,
};

/* Its start */

static bool may_serve(const struct np_front_connection *connection)
{
    return connection->front->certificate && (connection->kind != NP_LISTEN_DOT || connection->front->peer);
}

static int start_tls(struct np_front_connection *connection, int fd)
{
    struct np_front *front = connection->front;
    bool dot = connection->kind == NP_LISTEN_DOT;
    struct np_stream_options options = {
        .loop = front->loop,
        .events = tls_events,
        .ctx = connection,
        .handshake_ms = NP_FRONT_HANDSHAKE_MS,
        .idle_ms = dot ? NP_FRONT_DOT_IDLE_MS : NP_FRONT_RELAY_IDLE_MS,
        .protocol = dot ? "dot" : "http/1.1",
        .protocol_required = dot,
    };
    if (!may_serve(connection))
        return NP_E_MISSING;
    connection->mode = NP_FRONT_HANDSHAKE;
    connection->due_ms = NP_FRONT_NEVER;
    return np_stream_accept(&options, fd, front->certificate->identity, &front->sessions, &connection->tls);
}

static bool take_turn(struct np_front_connection *connection)
{
    struct np_front *front = connection->front;
    return np_front_pace_take(&front->pace, &connection->client.remote.addr, (int64_t)uv_now(front->loop));
}

/* Its handshake now, or when its turn comes. */
static int start_or_wait(struct np_front_connection *connection, int fd)
{
    struct np_front *front = connection->front;
    if (!may_serve(connection))
        return NP_E_MISSING;
    if (front->queued == 0 && take_turn(connection))
        return start_tls(connection, fd);
    connection->mode = NP_FRONT_QUEUED;
    connection->fd = fd;
    np_front_connection_due(connection, NP_FRONT_HANDSHAKE_MS);
    front->queued++;
    front->stats.waited++;
    np_front_need_queue(front);
    return 0;
}

/* The one that has waited longest of those whose turn it may be. */
static struct np_front_connection *next_queued(struct np_front *front)
{
    struct np_front_connection *found = NULL;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        if (connection && connection->mode == NP_FRONT_QUEUED && !connection->passed &&
            (!found || connection->number < found->number))
            found = connection;
    }
    return found;
}

void np_front_connections_begin(struct np_front *front)
{
    struct np_front_connection *connection;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        if (front->connections[i])
            front->connections[i]->passed = false;
    }
    while (front->queued > 0 && (connection = next_queued(front))) {
        connection->passed = true; /* one look at each: another client may have what this one lacks */
        if (!take_turn(connection))
            continue;
        int fd = connection->fd;
        connection->fd = -1;
        front->queued--;
        connection->mode = NP_FRONT_HANDSHAKE;
        if (start_tls(connection, fd)) {
            close(fd);
            np_front_connection_settle(connection);
        }
    }
}

int np_front_connection_open(struct np_front *front, size_t slot, int fd, enum np_listen_kind kind,
                             const struct np_client *client)
{
    struct np_front_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->front = front;
    connection->slot = slot;
    connection->kind = kind;
    connection->client = *client;
    connection->fd = -1;
    connection->number = ++front->connection_number;
    if (!client->tls)
        np_front_http_start(connection);
    int rc = client->tls ? start_or_wait(connection, fd)
                         : np_tcp_accept(front->loop, &tcp_events, connection, fd, &connection->tcp);
    if (rc) {
        free(connection);
        return rc;
    }
    front->connections[slot] = connection;
    front->connection_count++;
    np_front_need_tick(front);
    return 0;
}
