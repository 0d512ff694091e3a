#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hq/frontdoor_private.h"
#include "hq/refusal.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define LINGER_MAX (256 * 1024) /* bytes of a client that goes on sending after the last answer */
#define REFUSED_S  10           /* Retry-After where the table is full: a request takes milliseconds */

/* A write and its bytes, which follow it. */
struct transfer {
    uv_write_t request;
    struct np_door_connection *connection;
};

enum { HANDLE_FRONT, HANDLE_BEHIND, HANDLE_COUNT };

/* ---- The end ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct np_door_connection *c = handle->data;
    struct np_door *door = c->door;
    if (--c->handles > 0)
        return;
    np_tls_stream_free(c->tls);
    free(c);
    np_door_handle_closed(door);
}

void np_door_connection_close(struct np_door_connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    np_door_wait(c, NP_DOOR_WAITS);
    np_door_connection_gone(c->door);
    np_door_peer_release(&c->door->peers, c->peer);
    c->peer = NULL;
    c->handles = HANDLE_COUNT;
    uv_close(&c->front.handle, on_handle_closed);
    uv_close((uv_handle_t *)&c->behind, on_handle_closed);
}

/* ---- Relaying ---- */

/* Is all said to the client? */
static bool is_over(const struct np_door_connection *c)
{
    return c->wait == NP_DOOR_LINGERING || c->wait == NP_DOOR_REFUSED;
}

static void update_reading(struct np_door_connection *c);

static void on_shut(uv_shutdown_t *request, int status)
{
    struct np_door_connection *c = request->data;
    bool to_client = request->handle == &c->front.stream;
    free(request);
    if (!to_client || c->closing)
        return;
    if (status || c->client_done) {
        np_door_connection_close(c);
        return;
    }
    if (c->wait != NP_DOOR_REFUSED)
        np_door_wait(c, NP_DOOR_LINGERING);
    update_reading(c);
}

/* Half-closes a side after what waits for it. */
static void shut(struct np_door_connection *c, uv_stream_t *stream)
{
    uv_shutdown_t *request = malloc(sizeof *request);
    if (request)
        request->data = c;
    if (!request || uv_shutdown(request, stream, on_shut)) {
        free(request);
        np_door_connection_close(c);
    }
}

/* A side takes no more. A client that is gone ends the connection; behind us, an answer may still be on its way. */
static void write_failed(struct np_door_connection *c, const uv_stream_t *stream)
{
    if (stream == (uv_stream_t *)&c->behind)
        c->deaf = true;
    else
        np_door_connection_close(c);
}

/* The client has got something: nothing is owed to it, unless it asks for more. */
static void answered(struct np_door_connection *c)
{
    if (c->open_behind && !is_over(c) && !c->closing)
        np_door_wait(c, NP_DOOR_IDLE);
}

static void on_written(uv_write_t *request, int status)
{
    struct transfer *transfer = (struct transfer *)request;
    struct np_door_connection *c = transfer->connection;
    const uv_stream_t *stream = request->handle;
    free(transfer);
    if (status == UV_ECANCELED || c->closing)
        return;
    if (status)
        write_failed(c, stream);
    else if (stream == &c->front.stream)
        answered(c);
    update_reading(c);
}

/* Sends block (a struct transfer with len bytes behind it), which is taken. */
static void send_take(struct np_door_connection *c, uv_stream_t *stream, void *block, size_t len)
{
    struct transfer *transfer = block;
    uv_buf_t buf = uv_buf_init((char *)block + sizeof *transfer, (unsigned)len);
    transfer->connection = c;
    if (uv_write(&transfer->request, stream, &buf, 1, on_written)) {
        free(block);
        write_failed(c, stream);
    }
}

/* Sends a copy of the bytes. */
static void send_copy(struct np_door_connection *c, uv_stream_t *stream, const void *data, size_t len)
{
    struct transfer *transfer = malloc(sizeof *transfer + len);
    if (!transfer) {
        np_door_connection_close(c);
        return;
    }
    memcpy((char *)transfer + sizeof *transfer, data, len);
    send_take(c, stream, transfer, len);
}

/* Sends the ciphertext that TLS has ready. */
static void flush(struct np_door_connection *c)
{
    void *block;
    size_t len;
    if (c->closing || !c->tls)
        return;
    if (np_tls_stream_output(c->tls, sizeof(struct transfer), &block, &len))
        np_door_connection_close(c);
    else if (len > 0)
        send_take(c, &c->front.stream, block, len);
}

/* The client sends no more: the HTTP server may still answer what it has. */
static void client_is_done(struct np_door_connection *c)
{
    if (c->client_done || c->closing)
        return;
    c->client_done = true;
    update_reading(c);
    if (is_over(c))
        np_door_connection_close(c);
    else if (!c->server_done)
        shut(c, (uv_stream_t *)&c->behind);
}

/* Plaintext of the client, towards the HTTP server. */
static void take_in(struct np_door_connection *c, const void *data, size_t len)
{
    if (c->wait == NP_DOOR_IDLE)
        np_door_wait(c, NP_DOOR_ASKED);
    if (!c->deaf)
        send_copy(c, (uv_stream_t *)&c->behind, data, len);
}

/* Decrypts what has come, towards the HTTP server. */
static void pump_in(struct np_door_connection *c)
{
    while (!c->closing && !c->client_done) {
        long n = np_tls_stream_read(c->tls, c->door->plain, sizeof c->door->plain);
        if (n == NP_E_CLOSED) {
            client_is_done(c);
        } else if (n < 0) {
            flush(c); /* an alert */
            np_door_connection_close(c);
        }
        if (n <= 0)
            break;
        take_in(c, c->door->plain, (size_t)n);
    }
    flush(c); /* key updates, tickets */
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct np_door_connection *c = handle->data;
    (void)size;
    /* One buffer for all: each read callback has copied what it needs before it returns. */
    *buf = uv_buf_init((char *)c->door->buffer, sizeof c->door->buffer);
}

/* The HTTP server has closed: say so in TLS, and end after the last byte. */
static void server_is_done(struct np_door_connection *c)
{
    c->server_done = true;
    update_reading(c);
    if (c->tls)
        np_tls_stream_shutdown(c->tls);
    flush(c);
    if (!c->closing)
        shut(c, &c->front.stream);
}

static void on_behind_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct np_door_connection *c = stream->data;
    if (n == 0 || c->closing)
        return;
    if (n < 0) {
        server_is_done(c);
        return;
    }
    if (!c->tls)
        send_copy(c, &c->front.stream, buf->base, (size_t)n);
    else if (np_tls_stream_write(c->tls, buf->base, (size_t)n))
        np_door_connection_close(c);
    flush(c);
    update_reading(c);
}

/* ---- Handshake ---- */

/* A socket pair between this connection and the HTTP server. */
static int open_behind(struct np_door_connection *c)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
        return -errno;
    int rc = uv_pipe_open(&c->behind, fds[0]);
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

static void establish(struct np_door_connection *c)
{
    int rc = open_behind(c);
    if (c->closing)
        return;
    if (rc) {
        np_warning("a connection was closed because none could be opened to the HTTP server: %s", np_strerror(rc));
        np_door_connection_close(c);
        return;
    }
    c->open_behind = true;
    np_door_wait(c, NP_DOOR_IDLE);
    update_reading(c);
}

static void handshake(struct np_door_connection *c)
{
    int result = np_tls_stream_handshake(c->tls);
    flush(c);
    if (c->closing || result == 0)
        return;
    if (result < 0) {
        c->door->stats.handshakes_failed++;
        np_door_connection_close(c); /* uv_close sends what it can of the alert that uv_write tried at once */
        return;
    }
    c->door->stats.handshakes++;
    c->door->stats.resumed += np_tls_stream_resumed(c->tls);
    establish(c);
}

static void on_ciphertext(struct np_door_connection *c, const void *data, size_t len)
{
    if (np_tls_stream_feed(c->tls, data, len)) {
        np_door_connection_close(c);
        return;
    }
    if (!c->open_behind)
        handshake(c);
    if (c->open_behind && !c->closing)
        pump_in(c);
}

static void on_front_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct np_door_connection *c = stream->data;
    if (n == 0 || c->closing)
        return;
    if (n < 0) {
        /* Without close_notify: cut off, or a client that does not care. A request that came whole is still answered.
         */
        if (n == UV_EOF && (c->open_behind || is_over(c)))
            client_is_done(c);
        else
            np_door_connection_close(c);
        return;
    }
    if (is_over(c)) {
        c->lingered += (size_t)n;
        if (c->lingered > LINGER_MAX)
            np_door_connection_close(c);
        return;
    }
    if (c->tls)
        on_ciphertext(c, buf->base, (size_t)n);
    else
        take_in(c, buf->base, (size_t)n);
    update_reading(c);
}

/* Starts or stops reading from one side. */
static void want(uv_stream_t *stream, bool wanted, bool *reading, uv_read_cb on_read)
{
    if (wanted == *reading)
        return;
    *reading = wanted;
    if (wanted)
        uv_read_start(stream, on_alloc, on_read);
    else
        uv_read_stop(stream);
}

/* Reads from a side only while the other keeps up. */
static void update_reading(struct np_door_connection *c)
{
    if (c->closing)
        return;
    size_t to_client = uv_stream_get_write_queue_size(&c->front.stream);
    size_t to_server = c->open_behind ? uv_stream_get_write_queue_size((uv_stream_t *)&c->behind) : 0;
    bool keep_up = to_server < NP_DOOR_QUEUE_MAX && to_client < NP_DOOR_QUEUE_MAX;
    want(&c->front.stream, is_over(c) || (!c->client_done && !c->server_done && keep_up), &c->front_reading,
         on_front_read);
    want((uv_stream_t *)&c->behind, c->open_behind && !c->server_done && to_client < NP_DOOR_QUEUE_MAX,
         &c->behind_reading, on_behind_read);
}

/* ---- The beginning ---- */

struct np_door_connection *np_door_connection_new(struct np_door *door, bool plain)
{
    struct np_door_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->door = door;
    c->wait = NP_DOOR_WAITS;
    if (plain)
        uv_pipe_init(door->loop, &c->front.path, 0);
    else
        uv_tcp_init(door->loop, &c->front.tcp);
    uv_pipe_init(door->loop, &c->behind, 0);
    c->front.handle.data = c->behind.data = c;
    door->handles++;
    np_door_wait(c, NP_DOOR_HANDSHAKING);
    return c;
}

void np_door_connection_end(struct np_door_connection *c)
{
    if (c->closing)
        return;
    np_door_wait(c, NP_DOOR_LINGERING);
    if (!c->server_done)
        server_is_done(c);
}

void np_door_connection_start(struct np_door_connection *c)
{
    if (!c->tls)
        establish(c);
    else
        update_reading(c);
}

/* The 503 as bytes. Returns its length, 0 when there is no memory. */
static size_t write_refusal(char *out, size_t size)
{
    struct np_refusal refusal;
    char *body = NULL;
    np_refuse_for(&refusal, NP_REFUSE_BUSY, REFUSED_S, "HQ has as many connections as it may; try again");
    refusal.problem.time_s = time(NULL);
    if (np_problem_encode(&refusal.problem, &body))
        return 0;
    int n = snprintf(out, size,
                     "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
                     "Retry-After: %d\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     REFUSED_S, strlen(body), body);
    free(body);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

void np_door_connection_refuse(struct np_door_connection *c)
{
    char text[1024];
    size_t len = write_refusal(text, sizeof text);
    np_door_wait(c, NP_DOOR_REFUSED);
    c->server_done = true;
    send_copy(c, &c->front.stream, text, len);
    if (!c->closing)
        shut(c, &c->front.stream);
}
