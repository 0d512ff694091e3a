#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

/* A byte went one way or the other. A stream has an idle deadline of its own. */
static void moved(struct np_front_connection *connection)
{
    connection->moved_ms = uv_now(connection->front->loop);
    if (connection->tcp)
        np_front_connection_due(connection, NP_FRONT_RELAY_IDLE_MS);
}

static bool client_has_room(struct np_front_connection *connection)
{
    if (connection->tls)
        return np_stream_room(connection->tls) > 0;
    return connection->tcp && np_tcp_has_room(connection->tcp);
}

/* What goes first: who the client is, and over http the head that was looked at. False when the backend is gone. */
static bool send_first(struct np_front_connection *connection)
{
    size_t sent = 0;
    if (connection->out)
        sent = np_tcp_write(connection->backend, connection->out, connection->out_len);
    bool whole = sent == connection->out_len; /* a new connection takes NP_TCP_PENDING_MAX bytes at once */
    free(connection->out);
    free(connection->in);
    connection->out = connection->in = NULL;
    connection->out_len = connection->in_len = 0;
    return whole;
}

static void on_backend_ready(void *ctx, struct np_tcp *tcp)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
    connection->backend_ready = true;
    moved(connection);
    if (!send_first(connection)) {
        np_front_connection_abort(connection);
        return;
    }
    if (connection->client_done)
        np_tcp_finish(connection->backend);
    np_front_connection_resume(connection);
}

static size_t on_backend_data(void *ctx, struct np_tcp *tcp, const uint8_t *data, size_t len)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
    moved(connection);
    return np_front_connection_write(connection, data, len);
}

static void on_backend_writable(void *ctx, struct np_tcp *tcp)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
    np_front_connection_resume(connection);
}

/* The backend is done. A close gives the client a short time only to take its last record, which one that has paused (a
 * video) need not do: so it comes when that has left. */
static void on_backend_eof(void *ctx, struct np_tcp *tcp)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
    connection->backend_done = true;
    if (client_has_room(connection))
        np_front_connection_end(connection);
}

/* The own pages tell what is wrong, to a client that is connected already. */
static void give_up(struct np_front_connection *connection, int err)
{
    char text[NP_ADDR_TEXT_MAX];
    connection->front->stats.backend_failed++;
    np_debug("backend %s: %s", np_endpoint_format(&connection->backend_endpoint, text), np_strerror(err));
    connection->backend_failed = true;
    free(connection->out);
    connection->out = NULL;
    np_front_http_start(connection);
    np_front_http_retry(connection);
}

static void on_backend_closed(void *ctx, int err)
{
    struct np_front_connection *connection = ctx;
    connection->backend = NULL;
    if ((connection->tls || connection->tcp) && !connection->ending) {
        if (!connection->backend_ready) {
            give_up(connection, err);
            np_front_connection_resume(connection);
        } else if (err) {
            np_front_connection_abort(connection); /* no close_notify: the client must see that it was cut */
        } else {
            np_front_connection_end(connection);
        }
    }
    np_front_connection_settle(connection);
}

static const struct np_tcp_events backend_events = {
    .on_ready = on_backend_ready,
    .on_data = on_backend_data,
    .on_writable = on_backend_writable,
    .on_eof = on_backend_eof,
    .on_closed = on_backend_closed,
};

void np_front_relay_introduce(const struct np_front_connection *connection, struct np_writer *w)
{
    struct np_front *front = connection->front;
    struct np_answer_facts facts = np_front_facts(front);
    struct np_proxy_client client = {
        .remote = connection->client.remote,
        .local = {.addr = connection->client.local, .port = connection->tls ? facts.https_port : facts.http_port},
        .tls = connection->tls != NULL,
        .server_name = connection->tls ? np_stream_server_name(connection->tls) : "",
    };
    np_proxy_write(w, front->settings.proxy, &client);
}

/* Over TLS nothing but the PROXY header goes before the client's own bytes. */
static int introduce(struct np_front_connection *connection)
{
    uint8_t header[NP_PROXY_MAX];
    struct np_writer w = np_writer_make(header, sizeof header);
    if (connection->out)
        return 0;
    np_front_relay_introduce(connection, &w);
    if (w.error || w.pos == 0)
        return w.error;
    connection->out = malloc(w.pos);
    if (!connection->out)
        return -ENOMEM;
    memcpy(connection->out, header, w.pos);
    connection->out_len = w.pos;
    return 0;
}

void np_front_relay_start(struct np_front_connection *connection, const struct np_endpoint *backend)
{
    struct np_front *front = connection->front;
    connection->mode = NP_FRONT_RELAY;
    connection->due_ms = NP_FRONT_NEVER; /* the stream's idle deadline holds, and the backend's for connecting */
    connection->moved_ms = uv_now(front->loop);
    connection->backend_endpoint = *backend;
    int rc = introduce(connection);
    if (rc == 0)
        rc = np_tcp_connect(front->loop, &backend_events, connection, backend, &connection->backend);
    if (rc)
        give_up(connection, rc);
    else
        front->stats.relayed++;
}

void np_front_relay_client_done(struct np_front_connection *connection)
{
    connection->client_done = true;
    if (connection->backend && connection->backend_ready)
        np_tcp_finish(connection->backend);
}

int np_front_relay_adopt(struct np_front_connection *connection, int fd)
{
    int rc = np_tcp_accept(connection->front->loop, &backend_events, connection, fd, &connection->backend);
    if (rc)
        return rc;
    connection->mode = NP_FRONT_RELAY;
    connection->due_ms = NP_FRONT_NEVER;
    connection->backend_ready = true;
    connection->moved_ms = uv_now(connection->front->loop);
    return 0;
}

size_t np_front_relay_data(struct np_front_connection *connection, const uint8_t *data, size_t len)
{
    if (!connection->backend || !connection->backend_ready)
        return 0;
    moved(connection);
    return np_tcp_write(connection->backend, data, len);
}

void np_front_relay_writable(struct np_front_connection *connection)
{
    if (connection->backend_done)
        np_front_connection_end(connection);
    else if (connection->backend)
        np_tcp_resume(connection->backend);
}
