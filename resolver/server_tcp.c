#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/ingress.h"
#include "resolver/frames.h"
#include "resolver/server_private.h"

/* An answer that did not fit the socket at once. */
struct late_write {
    uv_write_t req;
    struct connection *connection;
    uint8_t data[];
};

static void connection_resume(struct connection *connection);

static void connection_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct np_server *server = connection->server;
    server->connections[connection->ticket.slot] = NULL;
    server->connection_count--;
    free(connection);
    np_server_handle_closed(server);
}

static void connection_close(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    uv_close((uv_handle_t *)&connection->tcp, connection_closed);
}

/* Ends a connection whose client is done, once every answer has left. */
static void connection_settle(struct connection *connection)
{
    if (connection->eof && connection->pending == 0 &&
        uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp) == 0)
        connection_close(connection);
}

static void write_done(uv_write_t *req, int status)
{
    struct late_write *late = req->data;
    struct connection *connection = late->connection;
    free(late);
    if (status < 0) {
        connection_close(connection);
        return;
    }
    connection->active_ms = uv_now(connection->server->loop);
    connection_settle(connection);
}

/* Sends bytes that hold whole answers; a client that does not read is closed. */
static void connection_write(struct connection *connection, const uint8_t *data, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    if (connection->closing || len == 0)
        return;
    if (uv_stream_get_write_queue_size(stream) == 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
        int n = uv_try_write(stream, &buf, 1);
        if (n < 0 && n != UV_EAGAIN) {
            connection_close(connection);
            return;
        }
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
        if (len == 0)
            return;
    }
    if (uv_stream_get_write_queue_size(stream) + len > TCP_QUEUE_MAX) {
        connection_close(connection);
        return;
    }
    struct late_write *late = malloc(sizeof *late + len);
    if (!late) {
        connection_close(connection);
        return;
    }
    late->connection = connection;
    late->req.data = late;
    memcpy(late->data, data, len);
    uv_buf_t buf = uv_buf_init((char *)late->data, (unsigned)len);
    if (uv_write(&late->req, stream, &buf, 1, write_done)) {
        free(late);
        connection_close(connection);
    }
}

/* Serves one query; its answer, with the length before it, is written to w. */
static void serve_frame(struct connection *connection, const uint8_t *packet, size_t len, struct np_writer *w)
{
    struct np_server *server = connection->server;
    size_t start = w->pos;
    uint8_t *head = np_write_reserve(w, 2);
    server->stats.tcp_in++;
    server->stats.tls_in += connection->ticket.client.tls;
    connection->active_ms = uv_now(server->loop);
    if (!head)
        return;
    /* Counted before, so that a reply from inside serve finds it. */
    connection->pending++;
    long n = server->serve(server->ctx, &connection->ticket, packet, len, head + 2, NP_DNS_MESSAGE_MAX);
    if (n == -1) {
        np_write_rewind(w, start);
        return;
    }
    connection->pending--;
    if (n <= 0) {
        np_write_rewind(w, start);
        return;
    }
    np_write_reserve(w, (size_t)n);
    np_write_u16_at(w, start, (uint16_t)n);
    server->stats.tcp_out++;
}

/* Serves the whole queries that were received, up to the limit of unanswered ones. */
static void serve_received(struct connection *connection)
{
    struct np_server *server = connection->server;
    struct np_writer w = np_writer_make(server->tcp_out, sizeof server->tcp_out);
    size_t used = 0, len;
    const uint8_t *packet;
    while (!connection->closing && connection->pending < NP_SERVER_TCP_PIPELINE) {
        int taken = np_frame_take(connection->in, connection->in_len, &used, NP_DNS_HEADER_LEN, NP_SERVER_TCP_QUERY_MAX,
                                  &packet, &len);
        if (taken < 0) {
            connection_write(connection, server->tcp_out, w.pos);
            connection_close(connection); /* the stream cannot be trusted any more */
            return;
        }
        if (taken == 0)
            break;
        if (np_writer_left(&w) < 2 + NP_DNS_MESSAGE_MAX) {
            connection_write(connection, server->tcp_out, w.pos);
            np_write_rewind(&w, 0);
        }
        serve_frame(connection, packet, len, &w);
    }
    connection_write(connection, server->tcp_out, w.pos);
    memmove(connection->in, connection->in + used, connection->in_len - used);
    connection->in_len -= used;
}

static void alloc_callback(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *connection = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)connection->in + connection->in_len,
                       (unsigned)(sizeof connection->in - connection->in_len));
}

static void read_callback(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    (void)buf;
    if (n == 0)
        return;
    if (n == UV_EOF) {
        /* A half-closed client still gets what it asked for (RFC 7766 section 6.2.4 is about servers, but a shell's
         * `nc -N` does this). */
        connection->eof = true;
        uv_read_stop(stream);
        connection->reading = false;
        connection_settle(connection);
        return;
    }
    if (n < 0) {
        connection_close(connection);
        return;
    }
    connection->in_len += (size_t)n;
    connection_resume(connection);
}

/* Serves what is there and reads on, unless the client has enough unanswered queries. */
static void connection_resume(struct connection *connection)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    serve_received(connection);
    if (connection->closing)
        return;
    bool want = !connection->eof && connection->pending < NP_SERVER_TCP_PIPELINE;
    if (want && !connection->reading && uv_read_start(stream, alloc_callback, read_callback)) {
        connection_close(connection);
        return;
    }
    if (!want && connection->reading)
        uv_read_stop(stream);
    connection->reading = want;
    connection_settle(connection);
}

void np_server_tcp_reply(struct np_server *server, const struct np_ticket *ticket, const uint8_t *message, size_t len)
{
    struct connection *connection = ticket->slot < NP_SERVER_TCP_MAX ? server->connections[ticket->slot] : NULL;
    if (!connection || connection->ticket.serial != ticket->serial || connection->closing || len > NP_DNS_MESSAGE_MAX)
        return;
    bool was_full = connection->pending >= NP_SERVER_TCP_PIPELINE;
    if (connection->pending > 0)
        connection->pending--;
    if (len > 0) {
        /* Length and message in one write: some clients read the two together (RFC 7766 section 8). */
        uint8_t *frame = malloc(2 + len);
        if (!frame) {
            connection_close(connection);
            return;
        }
        struct np_writer w = np_writer_make(frame, 2 + len);
        np_write_u16(&w, (uint16_t)len);
        np_write_bytes(&w, message, len);
        connection_write(connection, frame, w.pos);
        free(frame);
        server->stats.tcp_out++;
    }
    connection->active_ms = uv_now(server->loop);
    if (was_full && !connection->closing)
        connection_resume(connection);
    else
        connection_settle(connection);
}

/* The ingress interface and the local address of an accepted connection. */
static void read_ingress(int fd, struct np_client *client)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    client->ifindex = np_ingress_of_accepted(fd, client->remote.addr.family);
    if (getsockname(fd, (struct sockaddr *)&sa, &len))
        return;
    client->local = np_endpoint_from_sockaddr((struct sockaddr *)&sa).addr;
    if (client->ifindex == 0)
        client->ifindex = client->local.scope;
}

/* Would this connection make way before that one (NULL: any would)? An idle one first, then the one that has been
 * silent longest, whoever waits for what: else a few hosts with slow questions hold all places. */
static bool goes_before(const struct connection *connection, const struct connection *other)
{
    if (!other || (connection->pending == 0) != (other->pending == 0))
        return !other || connection->pending == 0;
    return connection->active_ms < other->active_ms;
}

/* A free place for a connection from that client, -1: none. When few are left, another connection makes way (RFC 7766
 * section 6.2.3): early, since its place is free only after its close callback. */
static int find_slot(struct np_server *server, const struct np_addr *remote)
{
    int slot = -1;
    size_t same = 0, neighbours = 0;
    struct connection *first = NULL;
    for (int i = 0; i < NP_SERVER_TCP_MAX; i++) {
        struct connection *connection = server->connections[i];
        if (!connection) {
            slot = i;
            continue;
        }
        if (connection->closing)
            continue;
        same += np_addr_equal(&connection->ticket.client.remote.addr, remote);
        neighbours += np_addr_same_network(&connection->ticket.client.remote.addr, remote);
        if (goes_before(connection, first))
            first = connection;
    }
    if (same >= NP_SERVER_TCP_PER_CLIENT || neighbours >= NP_SERVER_TCP_PER_NETWORK)
        return -1;
    if (server->connection_count + TCP_SPARE >= NP_SERVER_TCP_MAX && first)
        connection_close(first);
    return slot;
}

static int connection_open(struct np_server *server, int fd, const struct np_ticket *ticket)
{
    struct connection *connection = malloc(sizeof *connection);
    if (!connection)
        return -ENOMEM;
    memset(connection, 0, offsetof(struct connection, in));
    connection->server = server;
    connection->ticket = *ticket;
    connection->active_ms = uv_now(server->loop);
    connection->tcp.data = connection;
    int rc = uv_tcp_init(server->loop, &connection->tcp);
    if (rc) {
        free(connection);
        return rc;
    }
    server->handles++;
    server->connections[ticket->slot] = connection;
    server->connection_count++;
    rc = uv_tcp_open(&connection->tcp, fd);
    if (rc) {
        connection_close(connection);
        return rc;
    }
    (void)uv_tcp_nodelay(&connection->tcp, 1);
    connection->reading = true;
    if (uv_read_start((uv_stream_t *)&connection->tcp, alloc_callback, read_callback))
        connection_close(connection);
    np_server_need_tick(server);
    return 0;
}

/* Serves the ticket's client, if there is a place for him; fd becomes the server's on success. */
static int take_client(struct np_server *server, int fd, struct np_ticket *ticket)
{
    const struct np_client *client = &ticket->client;
    if (server->admit && !server->admit(server->ctx, client)) {
        server->stats.not_admitted++;
        return -EACCES;
    }
    int slot = find_slot(server, &client->remote.addr);
    int rc = slot < 0 ? NP_E_LIMIT : 0;
    if (!rc) {
        ticket->slot = (uint32_t)slot;
        ticket->serial = ++server->serial;
        rc = connection_open(server, fd, ticket);
    }
    if (rc)
        server->stats.tcp_refused++;
    else
        server->stats.tcp_accepted++;
    return rc;
}

int np_server_adopt(struct np_server *server, int fd, const struct np_client *client)
{
    struct np_ticket ticket = {.client = *client, .listener = NO_LISTENER};
    int rc = server->closing ? NP_E_CLOSED : take_client(server, fd, &ticket);
    server->stats.tls_accepted += !rc;
    server->stats.tls_refused += rc == NP_E_LIMIT;
    return rc;
}

static void accept_one(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct np_ticket ticket = {.listener = listener->index};
    ticket.client.tcp = true;
    ticket.client.remote = np_endpoint_from_sockaddr((const struct sockaddr *)peer);
    read_ingress(fd, &ticket.client);
    if (take_client(listener->server, fd, &ticket))
        close(fd);
}

void np_server_tcp_readable(struct listener *listener)
{
    for (int i = 0; i < NP_SERVER_TCP_PER_CLIENT; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(listener, fd, &peer);
            continue;
        }
        /* Without this the poll would come back at once, for ever. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            listener->paused = true;
            np_server_need_tick(listener->server);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static uint64_t idle_ms(const struct connection *connection)
{
    return connection->ticket.client.tls ? NP_SERVER_TLS_IDLE_MS : NP_SERVER_TCP_IDLE_MS;
}

void np_server_tcp_tick(struct np_server *server)
{
    uint64_t now = uv_now(server->loop);
    bool needed = false;
    for (size_t i = 0; i < NP_SERVER_TCP_MAX; i++) {
        struct connection *connection = server->connections[i];
        if (connection && !connection->closing && now - connection->active_ms >= idle_ms(connection))
            connection_close(connection);
        needed |= server->connections[i] != NULL;
    }
    for (size_t i = 0; i < NP_SERVER_LISTENERS_MAX; i++)
        needed |= server->listeners[i] && server->listeners[i]->paused;
    if (!needed)
        uv_timer_stop(&server->tick);
}

void np_server_tcp_end(struct np_server *server, const struct listener *listener, bool at_once)
{
    for (size_t i = 0; i < NP_SERVER_TCP_MAX; i++) {
        struct connection *connection = server->connections[i];
        if (!connection || (listener && connection->ticket.listener != listener->index))
            continue;
        connection->eof = true;
        if (connection->reading)
            uv_read_stop((uv_stream_t *)&connection->tcp);
        connection->reading = false;
        if (at_once)
            connection_close(connection);
        else
            connection_settle(connection);
    }
}
