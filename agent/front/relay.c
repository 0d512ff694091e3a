#include "agent/front/front_private.h"
#include "resolver/base/log.h"
#include "resolver/base/error.h"

static void on_backend_ready(void *ctx, struct np_tcp *tcp)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
    connection->backend_ready = true;
    np_front_connection_resume(connection);
}

static size_t on_backend_data(void *ctx, struct np_tcp *tcp, const uint8_t *data, size_t len)
{
    struct np_front_connection *connection = ctx;
    (void)tcp;
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
    if (connection->tls && np_stream_room(connection->tls) > 0)
        np_front_connection_end(connection);
}

/* The own pages tell what is wrong, to a client that is connected already. */
static void give_up(struct np_front_connection *connection, int err)
{
    char text[NP_ADDR_TEXT_MAX];
    connection->front->stats.backend_failed++;
    np_debug("backend %s: %s", np_endpoint_format(&connection->backend_endpoint, text), np_strerror(err));
    connection->backend_failed = true;
    np_front_http_start(connection);
}

static void on_backend_closed(void *ctx, int err)
{
    struct np_front_connection *connection = ctx;
    connection->backend = NULL;
    if (connection->tls && !connection->ending) {
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

void np_front_relay_start(struct np_front_connection *connection)
{
    struct np_front *front = connection->front;
    connection->mode = NP_FRONT_RELAY;
    connection->due_ms = NP_FRONT_NEVER; /* the stream's idle deadline holds */
    int rc =
        np_tcp_connect(front->loop, &backend_events, connection, &connection->backend_endpoint, &connection->backend);
    if (rc)
        give_up(connection, rc);
    else
        front->stats.relayed++;
}

int np_front_relay_adopt(struct np_front_connection *connection, int fd)
{
    int rc = np_tcp_accept(connection->front->loop, &backend_events, connection, fd, &connection->backend);
    if (rc)
        return rc;
    connection->mode = NP_FRONT_RELAY;
    connection->due_ms = NP_FRONT_NEVER;
    connection->backend_ready = true;
    return 0;
}

size_t np_front_relay_data(struct np_front_connection *connection, const uint8_t *data, size_t len)
{
    return connection->backend && connection->backend_ready ? np_tcp_write(connection->backend, data, len) : 0;
}

void np_front_relay_writable(struct np_front_connection *connection)
{
    if (connection->backend_done)
        np_front_connection_end(connection);
    else if (connection->backend)
        np_tcp_resume(connection->backend);
}
