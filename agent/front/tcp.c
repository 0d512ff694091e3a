#include "agent/front/tcp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes that the kernel did not take at once. */
struct pending {
    uv_write_t req;
    struct np_tcp *tcp;
    uint8_t data[];
};

struct np_tcp {
    uv_tcp_t tcp;
    uv_timer_t timer; /* connecting, lingering */
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    unsigned handles; /* open ones */
    struct np_tcp_events events;
    void *ctx;
    int err;         /* for on_closed */
    bool ready;      /* connected */
    bool writing;    /* a struct pending is on its way */
    bool eof;        /* the peer's FIN was read */
    bool eof_told;   /* on_eof was called */
    bool delivering; /* inside on_data */
    bool resumed;    /* np_tcp_resume was called meanwhile */
    bool finished;   /* np_tcp_finish */
    bool fin_sent;   /* or on its way */
    bool closing;    /* np_tcp_close */
    bool shut;       /* FIN sent */
    bool dead;       /* handles are being closed */
    size_t in_pos, in_len;
    uint8_t in[NP_TCP_READ_MAX];
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct np_tcp *tcp = handle->data;
    if (--tcp->handles > 0)
        return;
    void (*closed)(void *ctx, int err) = tcp->events.on_closed;
    void *ctx = tcp->ctx;
    int err = tcp->err;
    free(tcp);
    closed(ctx, err);
}

static void destroy(struct np_tcp *tcp, int err)
{
    if (tcp->dead)
        return;
    tcp->dead = true;
    tcp->err = err;
    uv_close((uv_handle_t *)&tcp->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&tcp->timer, on_handle_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct np_tcp *tcp = timer->data;
    destroy(tcp, tcp->closing ? 0 : -ETIMEDOUT);
}

/* Reading */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct np_tcp *tcp = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)tcp->in, sizeof tcp->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void read_on(struct np_tcp *tcp)
{
    if (tcp->dead || tcp->eof || !tcp->ready)
        return;
    int rc = uv_read_start((uv_stream_t *)&tcp->tcp, on_alloc, on_read);
    if (rc && rc != UV_EALREADY)
        destroy(tcp, rc);
}

/* Gives the owner what was read, as long as it takes it; reads on, or tells the end, once all is taken. */
static void deliver(struct np_tcp *tcp)
{
    if (tcp->delivering) {
        tcp->resumed = true;
        return;
    }
    tcp->delivering = true;
    do {
        tcp->resumed = false;
        if (tcp->in_pos < tcp->in_len && !tcp->closing && !tcp->dead)
            tcp->in_pos += tcp->events.on_data(tcp->ctx, tcp, tcp->in + tcp->in_pos, tcp->in_len - tcp->in_pos);
    } while (tcp->resumed && tcp->in_pos < tcp->in_len);
    tcp->delivering = false;
    if (tcp->closing || tcp->dead)
        return;
    if (tcp->in_pos < tcp->in_len) {
        uv_read_stop((uv_stream_t *)&tcp->tcp);
        return;
    }
    tcp->in_pos = tcp->in_len = 0;
    read_on(tcp);
    if (tcp->eof && !tcp->eof_told) {
        tcp->eof_told = true;
        if (tcp->events.on_eof)
            tcp->events.on_eof(tcp->ctx, tcp);
        else
            np_tcp_close(tcp);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct np_tcp *tcp = stream->data;
    (void)buf;
    if (tcp->dead || n == 0)
        return;
    if (n < 0 && n != UV_EOF) {
        destroy(tcp, (int)n);
        return;
    }
    if (n == UV_EOF) {
        tcp->eof = true;
        uv_read_stop(stream);
        if (tcp->closing && tcp->shut)
            destroy(tcp, 0);
    }
    if (tcp->closing)
        return; /* what the peer still sends goes nowhere */
    if (n > 0) {
        tcp->in_pos = 0;
        tcp->in_len = (size_t)n;
    }
    deliver(tcp);
}

void np_tcp_resume(struct np_tcp *tcp)
{
    if (tcp->ready && !tcp->closing && !tcp->dead)
        deliver(tcp);
}

/* Writing */

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct np_tcp *tcp = req->data;
    tcp->shut = true;
    if (status < 0 || (tcp->closing && tcp->eof))
        destroy(tcp, 0);
}

static void send_fin(struct np_tcp *tcp)
{
    if (tcp->fin_sent) {
        if (tcp->closing && tcp->shut && tcp->eof)
            destroy(tcp, 0);
        return;
    }
    tcp->fin_sent = true;
    tcp->shutdown.data = tcp;
    if (uv_shutdown(&tcp->shutdown, (uv_stream_t *)&tcp->tcp, on_shutdown))
        destroy(tcp, 0);
}

static void on_written(uv_write_t *req, int status)
{
    struct pending *pending = req->data;
    struct np_tcp *tcp = pending->tcp;
    free(pending);
    tcp->writing = false;
    if (tcp->dead)
        return;
    if (status < 0)
        destroy(tcp, status);
    else if (tcp->closing || tcp->finished)
        send_fin(tcp);
    else if (tcp->events.on_writable)
        tcp->events.on_writable(tcp->ctx, tcp);
}

static size_t write_later(struct np_tcp *tcp, const uint8_t *data, size_t len)
{
    if (len > NP_TCP_PENDING_MAX)
        len = NP_TCP_PENDING_MAX;
    struct pending *pending = malloc(sizeof *pending + len);
    if (!pending) {
        destroy(tcp, -ENOMEM);
        return 0;
    }
    pending->tcp = tcp;
    pending->req.data = pending;
    memcpy(pending->data, data, len);
    uv_buf_t buf = uv_buf_init((char *)pending->data, (unsigned)len);
    int rc = uv_write(&pending->req, (uv_stream_t *)&tcp->tcp, &buf, 1, on_written);
    if (rc) {
        free(pending);
        destroy(tcp, rc);
        return 0;
    }
    tcp->writing = true;
    return len;
}

bool np_tcp_has_room(const struct np_tcp *tcp)
{
    return tcp->ready && !tcp->writing && !tcp->finished && !tcp->closing && !tcp->dead;
}

void np_tcp_finish(struct np_tcp *tcp)
{
    if (!tcp->ready || tcp->finished || tcp->closing || tcp->dead)
        return;
    tcp->finished = true;
    if (!tcp->writing)
        send_fin(tcp);
}

size_t np_tcp_write(struct np_tcp *tcp, const void *data, size_t len)
{
    if (!np_tcp_has_room(tcp) || len == 0)
        return 0;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)&tcp->tcp, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        destroy(tcp, n);
        return 0;
    }
    size_t done = n > 0 ? (size_t)n : 0;
    if (done < len)
        done += write_later(tcp, (const uint8_t *)data + done, len - done);
    return done;
}

void np_tcp_close(struct np_tcp *tcp)
{
    if (tcp->closing || tcp->dead)
        return;
    tcp->closing = true;
    if (!tcp->ready) {
        destroy(tcp, 0);
        return;
    }
    uv_timer_start(&tcp->timer, on_timer, NP_TCP_LINGER_MS, 0);
    read_on(tcp);
    if (!tcp->writing && !tcp->dead)
        send_fin(tcp);
}

void np_tcp_abort(struct np_tcp *tcp)
{
    destroy(tcp, 0);
}

/* Its start */

static int make(uv_loop_t *loop, const struct np_tcp_events *events, void *ctx, struct np_tcp **out_tcp)
{
    struct np_tcp *tcp = malloc(sizeof *tcp);
    if (!tcp)
        return -ENOMEM;
    memset(tcp, 0, offsetof(struct np_tcp, in));
    int rc = uv_tcp_init(loop, &tcp->tcp);
    if (rc) {
        free(tcp);
        return rc;
    }
    (void)uv_timer_init(loop, &tcp->timer); /* cannot fail */
    tcp->handles = 2;
    tcp->tcp.data = tcp->timer.data = tcp;
    tcp->events = *events;
    tcp->ctx = ctx;
    *out_tcp = tcp;
    return 0;
}

static void ignore_closed(void *ctx, int err)
{
    (void)ctx;
    (void)err;
}

/* A start that failed: the owner hears of it by the return value alone. */
static int fail_start(struct np_tcp *tcp, int rc)
{
    tcp->events.on_closed = ignore_closed;
    destroy(tcp, rc);
    return rc;
}

int np_tcp_accept(uv_loop_t *loop, const struct np_tcp_events *events, void *ctx, int fd, struct np_tcp **out_tcp)
{
    struct np_tcp *tcp;
    int rc = make(loop, events, ctx, &tcp);
    if (rc)
        return rc;
    if ((rc = uv_tcp_open(&tcp->tcp, fd)))
        return fail_start(tcp, rc);
    (void)uv_tcp_nodelay(&tcp->tcp, 1);
    tcp->ready = true;
    read_on(tcp);
    *out_tcp = tcp;
    return 0;
}

static void on_connect(uv_connect_t *req, int status)
{
    struct np_tcp *tcp = req->data;
    if (tcp->dead)
        return;
    if (status < 0) {
        destroy(tcp, status);
        return;
    }
    uv_timer_stop(&tcp->timer);
    (void)uv_tcp_nodelay(&tcp->tcp, 1);
    tcp->ready = true;
    read_on(tcp);
    if (tcp->events.on_ready && !tcp->dead)
        tcp->events.on_ready(tcp->ctx, tcp);
}

int np_tcp_connect(uv_loop_t *loop, const struct np_tcp_events *events, void *ctx, const struct np_endpoint *remote,
                   struct np_tcp **out_tcp)
{
    struct sockaddr_storage sa;
    struct np_tcp *tcp;
    if (np_endpoint_to_sockaddr(remote, &sa) == 0)
        return -EAFNOSUPPORT;
    int rc = make(loop, events, ctx, &tcp);
    if (rc)
        return rc;
    tcp->connect.data = tcp;
    if ((rc = uv_tcp_connect(&tcp->connect, &tcp->tcp, (struct sockaddr *)&sa, on_connect)))
        return fail_start(tcp, rc);
    uv_timer_start(&tcp->timer, on_timer, NP_TCP_CONNECT_MS, 0);
    *out_tcp = tcp;
    return 0;
}
