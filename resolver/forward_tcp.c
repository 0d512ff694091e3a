#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/forward_private.h"

/* A query on its way. */
struct tcp_write {
    uv_write_t req;
    struct tcp_connection *connection;
    uint8_t data[QUERY_SIZE_MAX];
};

static void connection_closed(uv_handle_t *handle)
{
    struct tcp_connection *connection = handle->data;
    struct remote *remote = connection->remote;
    struct np_forward *forward = remote->forward;
    free(connection);
    np_forward_remote_release(remote);
    np_forward_handle_closed(forward);
}

/* Ends the connection. Its questions get a new one where it had been of use (an upstream may close an idle connection
 * just as we send, RFC 7766 section 6.2.4); else they have failed. */
static void connection_end(struct tcp_connection *connection)
{
    struct remote *remote = connection->remote;
    if (connection->closing)
        return;
    connection->closing = true;
    if (remote->connection == connection)
        remote->connection = NULL;
    struct tcp_connection **at = &remote->forward->connections;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    uv_close((uv_handle_t *)&connection->tcp, connection_closed);
    for (size_t i = 0; i < TCP_TRIES_MAX; i++) {
        struct try *try = connection->tries[i];
        if (!try)
            continue;
        struct question *question = try->question;
        if (connection->answered && !remote->forward->closing) {
            np_forward_try_end(try);
            if (np_forward_tcp_send(question, remote))
                np_forward_unreachable(question, remote);
            continue;
        }
        np_forward_try_failed(try);
    }
}

static void write_done(uv_write_t *req, int status)
{
    struct tcp_write *write = req->data;
    if (status < 0 && status != UV_ECANCELED)
        connection_end(write->connection);
    free(write);
}

static int connection_write(struct tcp_connection *connection, const struct try *try)
{
    struct tcp_write *write = malloc(sizeof *write);
    if (!write)
        return -ENOMEM;
    size_t len = np_forward_write(try, write->data + 2, sizeof write->data - 2);
    struct np_writer w = np_writer_make(write->data, 2);
    np_write_u16(&w, (uint16_t)len);
    write->connection = connection;
    write->req.data = write;
    uv_buf_t buf = uv_buf_init((char *)write->data, (unsigned)(2 + len));
    int rc = uv_write(&write->req, (uv_stream_t *)&connection->tcp, &buf, 1, write_done);
    if (rc)
        free(write);
    return rc;
}

static void alloc_callback(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct tcp_connection *connection = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)connection->in + connection->in_len,
                       (unsigned)(sizeof connection->in - connection->in_len));
}

static void read_callback(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tcp_connection *connection = stream->data;
    (void)buf;
    if (n < 0) {
        connection_end(connection);
        return;
    }
    connection->in_len += (size_t)n;
    struct np_reader r = np_reader_make(connection->in, connection->in_len);
    size_t used = 0;
    while (!connection->closing) {
        size_t len = np_read_u16(&r);
        const uint8_t *message = np_read_bytes(&r, len);
        if (!message)
            break;
        used = r.pos;
        connection->answered = true;
        np_forward_received(connection->remote->forward, connection->tries, TCP_TRIES_MAX, true, message, len);
    }
    memmove(connection->in, connection->in + used, connection->in_len - used);
    connection->in_len -= used;
}

static void connect_callback(uv_connect_t *req, int status)
{
    struct tcp_connection *connection = req->data;
    if (connection->closing)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&connection->tcp, alloc_callback, read_callback)) {
        connection_end(connection);
        return;
    }
    connection->open = true;
    for (size_t i = 0; i < TCP_TRIES_MAX; i++) {
        if (!connection->tries[i] || !connection_write(connection, connection->tries[i]))
            continue;
        connection_end(connection);
        return;
    }
}

static int connection_start(struct remote *remote)
{
    struct np_forward *forward = remote->forward;
    struct sockaddr_storage sa;
    (void)np_endpoint_to_sockaddr(&remote->state.endpoint, &sa);
    struct tcp_connection *connection = malloc(sizeof *connection);
    if (!connection)
        return -ENOMEM;
    memset(connection, 0, offsetof(struct tcp_connection, in));
    connection->remote = remote;
    connection->tcp.data = connection;
    connection->connect.data = connection;
    int rc = uv_tcp_init_ex(forward->loop, &connection->tcp, sa.ss_family);
    if (rc) {
        free(connection);
        return rc;
    }
    forward->handles++;
    remote->references++;
    remote->connection = connection;
    connection->next = forward->connections;
    forward->connections = connection;
    connection->active_ms = (int64_t)uv_now(forward->loop);
    (void)uv_tcp_nodelay(&connection->tcp, 1);
    np_forward_need_sweep(forward);
    rc = uv_tcp_connect(&connection->connect, &connection->tcp, (struct sockaddr *)&sa, connect_callback);
    if (rc)
        connection_end(connection);
    return rc;
}

int np_forward_tcp_send(struct question *question, struct remote *remote)
{
    int rc = remote->connection ? 0 : connection_start(remote);
    if (rc)
        return rc;
    struct tcp_connection *connection = remote->connection;
    size_t place = 0;
    while (place < TCP_TRIES_MAX && connection->tries[place])
        place++;
    struct try *try = place < TCP_TRIES_MAX ? np_forward_try(question, remote, false) : NULL;
    if (!try)
        return NP_E_LIMIT;
    bool taken;
    do {
        np_forward_random(remote->forward, &try->id, sizeof try->id);
        taken = false;
        for (size_t i = 0; i < TCP_TRIES_MAX; i++)
            taken |= connection->tries[i] && connection->tries[i]->id == try->id;
    } while (taken);
    try->place = (uint8_t)place;
    try->connection = connection;
    connection->tries[place] = try;
    connection->active++;
    connection->active_ms = (int64_t)uv_now(remote->forward->loop);
    remote->forward->stats.sent_tcp++;
    if (connection->open && (rc = connection_write(connection, try)) != 0)
        np_forward_try_end(try);
    return rc;
}

void np_forward_tcp_sweep(struct np_forward *forward, bool everything)
{
    int64_t now = (int64_t)uv_now(forward->loop);
    for (struct tcp_connection *connection = forward->connections, *next; connection; connection = next) {
        next = connection->next;
        if (everything || (connection->active == 0 && now - connection->active_ms >= NP_FORWARD_TCP_IDLE_MS))
            connection_end(connection);
    }
}
