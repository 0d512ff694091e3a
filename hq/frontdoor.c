#include "hq/frontdoor.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"

#define BUCKETS    1024         /* of the table of client addresses */
#define LINGER_MS  2000         /* for the client to have read the last answer: closing earlier can reset it away */
#define LINGER_MAX (256 * 1024) /* bytes of a client that goes on sending meanwhile */

/* How many connections one client address has. */
struct peer {
    struct np_addr addr;
    unsigned count;
    struct peer *next;
};

enum { HANDLE_TCP, HANDLE_PIPE, HANDLE_TIMER, HANDLE_COUNT };

/* One connection. Freed when its handles have been closed and no write is under way (libuv ends writes before it calls
 * the close callback). */
struct connection {
    struct np_door *door;
    struct connection *next, **back; /* in the door's list */
    uv_tcp_t tcp;
    uv_pipe_t pipe; /* our end of the socket pair; in use from the end of the handshake on */
    uv_timer_t timer;
    struct np_tls_stream *tls;
    struct np_endpoint client;
    struct peer *peer;
    unsigned handles; /* still to be closed */
    bool established, closing;
    bool tcp_reading, pipe_reading;
    bool client_done; /* the client will send no more */
    bool server_done; /* the HTTP server will send no more */
    bool deaf;        /* the HTTP server takes no more: what the client sends is thrown away */
    bool lingering;   /* all is said; waiting for the client to close */
    size_t lingered;  /* bytes thrown away meanwhile */
};

struct np_door {
    uv_loop_t *loop;
    struct np_tls *tls;
    struct np_door_config config;
    struct np_door_stats stats;
    uv_tcp_t listeners[NP_DOOR_LISTENERS_MAX];
    size_t listener_count;
    struct connection *connections;
    struct peer *peers[BUCKETS];
    uint32_t hash_key; /* so that a stranger cannot choose the bucket */
    size_t handles;    /* listeners not yet closed, while closing */
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
    uint8_t buffer[NP_DOOR_BUFFER]; /* what a read callback is looking at */
    uint8_t plain[NP_DOOR_BUFFER];
};

/* A write and its bytes, which follow it. */
struct transfer {
    uv_write_t request;
    struct connection *connection;
};

/* ---- Clients by address ---- */

/* The address that is counted: all of an IPv4 address, the /64 of an IPv6 one. */
static struct np_addr counted(const struct np_addr *addr)
{
    struct np_addr plain = *addr;
    plain.scope = 0;
    return plain.family == AF_INET6 ? np_prefix_of(&plain, 64).addr : plain;
}

static struct peer **find_peer(struct np_door *door, const struct np_addr *addr)
{
    uint32_t hash = door->hash_key;
    for (size_t i = 0; i < np_addr_len(addr); i++)
        hash = (hash ^ addr->bytes[i]) * 16777619u; /* FNV-1a, with a secret start */
    struct peer **at = &door->peers[(hash ^ hash >> 16) % BUCKETS];
    while (*at && !np_addr_equal(&(*at)->addr, addr))
        at = &(*at)->next;
    return at;
}

/* NULL: the address has its share already, or there is no memory. */
static struct peer *take_peer(struct np_door *door, const struct np_addr *client)
{
    struct np_addr addr = counted(client);
    struct peer **at = find_peer(door, &addr);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (!*at)
            return NULL;
        (*at)->addr = addr;
    }
    if ((*at)->count >= door->config.per_address_max)
        return NULL;
    (*at)->count++;
    return *at;
}

static void release_peer(struct np_door *door, struct peer *peer)
{
    if (!peer || --peer->count > 0)
        return;
    struct peer **at = find_peer(door, &peer->addr);
    *at = peer->next;
    free(peer);
}

/* ---- The end of a connection ---- */

static void door_closed_if_empty(struct np_door *door)
{
    if (!door->closing || door->handles > 0 || door->connections)
        return;
    void (*done)(void *ctx) = door->done;
    void *ctx = door->done_ctx;
    free(door);
    if (done)
        done(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct np_door *door = c->door;
    if (--c->handles > 0)
        return;
    *c->back = c->next;
    if (c->next)
        c->next->back = c->back;
    door->stats.open--;
    release_peer(door, c->peer);
    np_tls_stream_free(c->tls);
    free(c);
    door_closed_if_empty(door);
}

static void connection_close(struct connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (!c->established)
        c->door->stats.handshaking--;
    c->handles = HANDLE_COUNT;
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->pipe, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void on_timeout(uv_timer_t *timer)
{
    struct connection *c = timer->data;
    c->door->stats.timeouts++;
    connection_close(c);
}

static void on_linger_end(uv_timer_t *timer)
{
    connection_close(timer->data);
}

static void alive(struct connection *c)
{
    if (c->established && !c->lingering && !c->closing)
        uv_timer_start(&c->timer, on_timeout, c->door->config.idle_ms, 0);
}

/* ---- Relaying ---- */

static void update_reading(struct connection *c);

static void on_shut(uv_shutdown_t *request, int status)
{
    struct connection *c = request->data;
    bool to_client = request->handle == (uv_stream_t *)&c->tcp;
    free(request);
    if (!to_client || c->closing)
        return;
    if (status || c->client_done) {
        connection_close(c);
        return;
    }
    c->lingering = true;
    uv_timer_start(&c->timer, on_linger_end, LINGER_MS, 0);
    update_reading(c);
}

/* Half-closes a side after what waits for it. */
static void shut(struct connection *c, uv_stream_t *stream)
{
    uv_shutdown_t *request = malloc(sizeof *request);
    if (request)
        request->data = c;
    if (!request || uv_shutdown(request, stream, on_shut)) {
        free(request);
        connection_close(c);
    }
}

/* A side takes no more. A client that is gone ends the connection; behind us, an answer may still be on its way. */
static void write_failed(struct connection *c, const uv_stream_t *stream)
{
    if (stream == (uv_stream_t *)&c->pipe)
        c->deaf = true;
    else
        connection_close(c);
}

static void on_written(uv_write_t *request, int status)
{
    struct transfer *transfer = (struct transfer *)request;
    struct connection *c = transfer->connection;
    const uv_stream_t *stream = request->handle;
    free(transfer);
    if (status == UV_ECANCELED || c->closing)
        return;
    if (status)
        write_failed(c, stream);
    else
        alive(c);
    update_reading(c);
}

/* Sends block (a struct transfer with len bytes behind it), which is taken. */
static void send_take(struct connection *c, uv_stream_t *stream, void *block, size_t len)
{
    struct transfer *transfer = block;
    uv_buf_t buf = uv_buf_init((char *)block + sizeof *transfer, (unsigned)len);
    transfer->connection = c;
    if (uv_write(&transfer->request, stream, &buf, 1, on_written)) {
        free(block);
        write_failed(c, stream);
    }
}

/* Sends the ciphertext that TLS has ready. */
static void flush(struct connection *c)
{
    void *block;
    size_t len;
    if (c->closing)
        return;
    if (np_tls_stream_output(c->tls, sizeof(struct transfer), &block, &len))
        connection_close(c);
    else if (len > 0)
        send_take(c, (uv_stream_t *)&c->tcp, block, len);
}

/* The client sends no more: the HTTP server may still answer what it has. */
static void client_is_done(struct connection *c)
{
    if (c->client_done || c->closing)
        return;
    c->client_done = true;
    update_reading(c);
    if (!c->server_done)
        shut(c, (uv_stream_t *)&c->pipe);
    else if (c->lingering)
        connection_close(c);
}

/* Decrypts what has come, towards the HTTP server. */
static void pump_in(struct connection *c)
{
    while (!c->closing && !c->client_done) {
        long n = np_tls_stream_read(c->tls, c->door->plain, sizeof c->door->plain);
        if (n == NP_E_CLOSED) {
            client_is_done(c);
        } else if (n < 0) {
            flush(c); /* an alert */
            connection_close(c);
        }
        if (n <= 0)
            break;
        if (c->deaf)
            continue;
        struct transfer *transfer = malloc(sizeof *transfer + (size_t)n);
        if (!transfer) {
            connection_close(c);
            return;
        }
        memcpy((char *)transfer + sizeof *transfer, c->door->plain, (size_t)n);
        send_take(c, (uv_stream_t *)&c->pipe, transfer, (size_t)n);
    }
    flush(c); /* key updates, tickets */
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct connection *c = handle->data;
    (void)size;
    /* One buffer for all: each read callback has copied what it needs before it returns. */
    *buf = uv_buf_init((char *)c->door->buffer, sizeof c->door->buffer);
}

static void on_pipe_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    if (n == 0 || c->closing)
        return;
    alive(c);
    if (n > 0) {
        if (np_tls_stream_write(c->tls, buf->base, (size_t)n)) {
            connection_close(c);
            return;
        }
        flush(c);
        update_reading(c);
        return;
    }
    /* The HTTP server has closed: say so in TLS, and end after the last byte. */
    c->server_done = true;
    update_reading(c);
    np_tls_stream_shutdown(c->tls);
    flush(c);
    if (!c->closing)
        shut(c, (uv_stream_t *)&c->tcp);
}

/* ---- Handshake ---- */

/* A socket pair between this connection and the HTTP server. */
static int open_behind(struct connection *c)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
        return -errno;
    int rc = uv_pipe_open(&c->pipe, fds[0]);
    if (rc) {
        close(fds[0]);
        close(fds[1]);
        return rc;
    }
    rc = c->door->config.opened(c->door->config.ctx, fds[1], &c->client);
    if (rc)
        close(fds[1]);
    return rc;
}

static void establish(struct connection *c)
{
    c->established = true;
    c->door->stats.handshaking--;
    c->door->stats.handshakes++;
    int rc = open_behind(c);
    if (c->closing)
        return;
    if (rc) {
        np_warning("a connection was closed because none could be opened to the HTTP server: %s", np_strerror(rc));
        connection_close(c);
        return;
    }
    alive(c);
    update_reading(c);
}

static void go_on(struct connection *c)
{
    if (!c->established) {
        int result = np_tls_stream_handshake(c->tls);
        flush(c);
        if (result < 0 && !c->closing) {
            c->door->stats.handshakes_failed++;
            connection_close(c); /* uv_close sends what it can of the alert that uv_write tried at once */
        }
        if (result <= 0 || c->closing)
            return;
        establish(c);
    }
    if (!c->closing)
        pump_in(c);
}

static void on_tcp_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    if (n == 0 || c->closing)
        return;
    if (n < 0) {
        /* Without close_notify: cut off, or a client that does not care. A request that came whole is still answered.
         */
        if (c->established && n == UV_EOF)
            client_is_done(c);
        else
            connection_close(c);
        return;
    }
    if (c->lingering) {
        c->lingered += (size_t)n;
        if (c->lingered > LINGER_MAX)
            connection_close(c);
        return;
    }
    alive(c);
    if (np_tls_stream_feed(c->tls, buf->base, (size_t)n)) {
        connection_close(c);
        return;
    }
    go_on(c);
    if (!c->closing)
        update_reading(c);
}

/* Reads from a side only while the other keeps up. */
static void update_reading(struct connection *c)
{
    if (c->closing)
        return;
    size_t to_client = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    size_t behind = c->established ? uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) : 0;
    bool want_tcp = c->lingering ||
                    (!c->client_done && !c->server_done && behind < NP_DOOR_QUEUE_MAX && to_client < NP_DOOR_QUEUE_MAX);
    bool want_pipe = c->established && !c->server_done && to_client < NP_DOOR_QUEUE_MAX;
    if (want_tcp != c->tcp_reading) {
        c->tcp_reading = want_tcp;
        if (want_tcp)
            uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_tcp_read);
        else
            uv_read_stop((uv_stream_t *)&c->tcp);
    }
    if (want_pipe != c->pipe_reading) {
        c->pipe_reading = want_pipe;
        if (want_pipe)
            uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_pipe_read);
        else
            uv_read_stop((uv_stream_t *)&c->pipe);
    }
}

/* ---- Accepting ---- */

static void init_connection(struct np_door *door, struct connection *c)
{
    c->door = door;
    uv_tcp_init(door->loop, &c->tcp);
    uv_pipe_init(door->loop, &c->pipe, 0);
    uv_timer_init(door->loop, &c->timer);
    c->tcp.data = c->pipe.data = c->timer.data = c;
    c->next = door->connections;
    c->back = &door->connections;
    if (c->next)
        c->next->back = &c->next;
    door->connections = c;
    door->stats.open++;
    door->stats.handshaking++;
}

/* Why this connection may not stay; true: it may. */
static bool admit(struct np_door *door, struct connection *c)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&address, &len))
        return false;
    c->client = np_endpoint_from_sockaddr((struct sockaddr *)&address);
    if (door->stats.open > door->config.connections_max) {
        door->stats.refused_total++;
        return false;
    }
    c->peer = take_peer(door, &c->client.addr);
    if (!c->peer)
        door->stats.refused_address++;
    return c->peer != NULL;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct np_door *door = listener->data;
    if (status || door->closing)
        return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        np_error("no memory for a connection");
        abort(); /* libuv accepts nothing more until this one is taken: better to be started again */
    }
    init_connection(door, c);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp)) {
        connection_close(c);
        return;
    }
    door->stats.accepted++;
    if (!admit(door, c) || np_tls_stream_new(door->tls, &c->tls)) {
        connection_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    uv_timer_start(&c->timer, on_timeout, door->config.handshake_ms, 0);
    update_reading(c);
}

/* ---- The door ---- */

int np_door_new(uv_loop_t *loop, struct np_tls *tls, const struct np_door_config *config, struct np_door **out_door)
{
    struct np_door *door = calloc(1, sizeof *door);
    if (!door)
        return -ENOMEM;
    door->loop = loop;
    door->tls = tls;
    door->config = *config;
    np_random_bytes(&door->hash_key, sizeof door->hash_key);
    *out_door = door;
    return 0;
}

int np_door_listen(struct np_door *door, const struct np_endpoint *local)
{
    struct sockaddr_storage address;
    if (door->listener_count == NP_DOOR_LISTENERS_MAX)
        return NP_E_LIMIT;
    if (np_endpoint_to_sockaddr(local, &address) == 0)
        return -EAFNOSUPPORT;
    uv_tcp_t *listener = &door->listeners[door->listener_count];
    int rc = uv_tcp_init(door->loop, listener);
    if (rc)
        return rc;
    listener->data = door;
    door->listener_count++; /* from here on np_door_close closes it */
    unsigned flags = local->addr.family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
    rc = uv_tcp_bind(listener, (struct sockaddr *)&address, flags);
    if (rc)
        return rc;
    /* libuv reports an address in use only here. */
    return uv_listen((uv_stream_t *)listener, NP_DOOR_BACKLOG, on_connection);
}

struct np_endpoint np_door_local(const struct np_door *door, size_t index)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    struct np_endpoint none = {0};
    if (index >= door->listener_count || uv_tcp_getsockname(&door->listeners[index], (struct sockaddr *)&address, &len))
        return none;
    return np_endpoint_from_sockaddr((struct sockaddr *)&address);
}

void np_door_drop_all(struct np_door *door)
{
    for (struct connection *c = door->connections; c; c = c->next)
        connection_close(c);
}

const struct np_door_stats *np_door_stats(const struct np_door *door)
{
    return &door->stats;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct np_door *door = handle->data;
    door->handles--;
    door_closed_if_empty(door);
}

void np_door_close(struct np_door *door, void (*done)(void *ctx), void *ctx)
{
    door->closing = true;
    door->done = done;
    door->done_ctx = ctx;
    door->handles = door->listener_count;
    for (size_t i = 0; i < door->listener_count; i++)
        uv_close((uv_handle_t *)&door->listeners[i], on_listener_closed);
    np_door_drop_all(door);
    door_closed_if_empty(door);
}
