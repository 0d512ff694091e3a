#include "resolver/dns_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/frames.h"

#define OUT_FIRST 2048 /* bytes of the out buffer at first */

struct np_dns_stream {
    uv_poll_t poll;
    int fd;
    const struct np_dns_stream_events *events;
    void *ctx;
    bool open; /* opened was told */
    bool full; /* drained is owed */
    bool ended, closing;
    int poll_events;
    struct np_frames in;
    uint8_t *out;
    size_t out_size, out_pos, out_len; /* from out_pos to out_len waits */
};

static void poll_callback(uv_poll_t *poll, int status, int events);

static void want(struct np_dns_stream *stream, int events)
{
    if (stream->closing || stream->ended || stream->poll_events == events)
        return;
    stream->poll_events = events;
    (void)uv_poll_start(&stream->poll, events, poll_callback); /* fails only for a closing handle */
}

static void end(struct np_dns_stream *stream, int rc)
{
    if (stream->closing || stream->ended)
        return;
    stream->ended = true;
    uv_poll_stop(&stream->poll);
    stream->events->ended(stream->ctx, rc);
}

int np_dns_stream_new(uv_loop_t *loop, int fd, const struct np_dns_stream_events *events, void *ctx,
                      struct np_dns_stream **out_stream)
{
    struct np_dns_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    int rc = uv_poll_init(loop, &stream->poll, fd);
    if (rc) {
        free(stream);
        return rc;
    }
    stream->poll.data = stream;
    stream->fd = fd;
    stream->events = events;
    stream->ctx = ctx;
    /* Writable is what a connect that has ended shows itself by. */
    want(stream, UV_READABLE | UV_WRITABLE);
    *out_stream = stream;
    return 0;
}

/* Room for n more bytes behind those that wait. */
static int reserve(struct np_dns_stream *stream, size_t n)
{
    size_t waiting = stream->out_len - stream->out_pos;
    if (n > NP_DNS_STREAM_OUT_MAX || waiting > NP_DNS_STREAM_OUT_MAX - n)
        return NP_E_LIMIT;
    if (stream->out_pos > 0)
        memmove(stream->out, stream->out + stream->out_pos, waiting);
    stream->out_pos = 0;
    stream->out_len = waiting;
    size_t size = stream->out_size ? stream->out_size : OUT_FIRST;
    while (size < waiting + n)
        size *= 2;
    if (size == stream->out_size)
        return 0;
    uint8_t *out = realloc(stream->out, size);
    if (!out)
        return -ENOMEM;
    stream->out = out;
    stream->out_size = size;
    return 0;
}

int np_dns_stream_send(struct np_dns_stream *stream, const uint8_t *message, size_t len)
{
    if (stream->closing || stream->ended)
        return NP_E_CLOSED;
    int rc = len > UINT16_MAX ? NP_E_LIMIT : reserve(stream, 2 + len);
    if (rc) {
        stream->full |= rc == NP_E_LIMIT;
        return rc;
    }
    struct np_writer w = np_writer_make(stream->out + stream->out_len, stream->out_size - stream->out_len);
    np_write_u16(&w, (uint16_t)len);
    np_write_bytes(&w, message, len);
    stream->out_len += w.pos;
    return 0;
}

void np_dns_stream_flush(struct np_dns_stream *stream)
{
    if (!stream->open || stream->ended || stream->closing)
        return;
    while (stream->out_pos < stream->out_len) {
        ssize_t n = send(stream->fd, stream->out + stream->out_pos, stream->out_len - stream->out_pos,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        /* Any error is left to the poll, which reads what the peer still said before it tells the end. */
        if (n < 0) {
            want(stream, errno == EAGAIN || errno == EWOULDBLOCK ? UV_READABLE | UV_WRITABLE : UV_READABLE);
            return;
        }
        stream->out_pos += (size_t)n;
    }
    want(stream, UV_READABLE);
    if (!stream->full)
        return;
    stream->full = false;
    stream->events->drained(stream->ctx);
}

/* The socket says that it can be written to. */
static void on_writable(struct np_dns_stream *stream)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (!stream->open) {
        if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &err, &len) || err) {
            end(stream, err ? -err : -errno);
            return;
        }
        stream->open = true;
        stream->events->opened(stream->ctx);
    }
    np_dns_stream_flush(stream);
}

static void on_readable(struct np_dns_stream *stream)
{
    size_t total = 0;
    while (total < NP_DNS_STREAM_TURN_MAX) {
        size_t room, len;
        const uint8_t *message;
        uint8_t *to = np_frames_room(&stream->in, &room);
        if (!to) {
            end(stream, -ENOMEM);
            return;
        }
        ssize_t n = recv(stream->fd, to, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            end(stream, n == 0 ? NP_E_CLOSED : -errno);
            return;
        }
        np_frames_filled(&stream->in, (size_t)n);
        while (np_frames_next(&stream->in, &message, &len)) {
            stream->events->message(stream->ctx, message, len);
            if (stream->closing)
                return;
        }
        total += (size_t)n;
        if ((size_t)n < room)
            return; /* the socket is empty: if not, the poll says so */
    }
}

static void poll_callback(uv_poll_t *poll, int status, int events)
{
    struct np_dns_stream *stream = poll->data;
    /* libuv reports POLLERR as an error of its own; the calls below fetch the true one. */
    if (status < 0 || (events & UV_WRITABLE))
        on_writable(stream);
    if ((status < 0 || (events & UV_READABLE)) && stream->open && !stream->closing && !stream->ended)
        on_readable(stream);
    if (status < 0)
        end(stream, status);
}

static void handle_closed(uv_handle_t *handle)
{
    struct np_dns_stream *stream = handle->data;
    void (*closed)(void *) = stream->events->closed;
    void *ctx = stream->ctx;
    np_frames_deinit(&stream->in);
    free(stream->out);
    free(stream);
    closed(ctx);
}

void np_dns_stream_close(struct np_dns_stream *stream)
{
    if (stream->closing)
        return;
    stream->closing = true;
    uv_poll_stop(&stream->poll);
    close(stream->fd);
    uv_close((uv_handle_t *)&stream->poll, handle_closed);
}
