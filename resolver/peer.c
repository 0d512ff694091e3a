#include "resolver/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define FRAMES_A_TURN 16 /* so that the channel does not starve the clients */

/* A frame that waits for the other side. */
struct queued {
    struct queued *next;
    uint32_t type;
    int fd; /* -1: none */
    size_t len;
    uint8_t payload[];
};

struct np_peer {
    uv_poll_t poll;
    int fd;
    struct np_peer_events events;
    void *ctx;
    bool broken; /* gone() was called, or np_peer_close */
    struct queued *queue;
    size_t queue_count;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void want_events(struct np_peer *peer)
{
    if (!peer->broken)
        uv_poll_start(&peer->poll, UV_READABLE | (peer->queue ? UV_WRITABLE : 0), on_poll);
}

static void free_queued(struct queued *item)
{
    if (item->fd >= 0)
        close(item->fd);
    free(item);
}

static void drop_queue(struct np_peer *peer)
{
    while (peer->queue) {
        struct queued *item = peer->queue;
        peer->queue = item->next;
        free_queued(item);
    }
    peer->queue_count = 0;
}

/* The channel is of no use any more. */
static void break_off(struct np_peer *peer)
{
    if (peer->broken)
        return;
    peer->broken = true;
    uv_poll_stop(&peer->poll);
    drop_queue(peer);
    peer->events.gone(peer->ctx);
}

/* Every type brings either one descriptor or none. */
static bool has_right_fds(const struct np_frame *frame)
{
    bool one = frame->type == NP_PEER_CLIENT || frame->type == NP_PEER_STREAM;
    return frame->fd_count == (one ? 1u : 0u);
}

static int take_frame(struct np_peer *peer, struct np_frame *frame)
{
    struct np_peer_message message;
    int rc = np_peer_decode(frame->type, frame->payload, frame->len, &message);
    if (rc == NP_E_UNKNOWN)
        return 0;
    if (!rc && !has_right_fds(frame))
        rc = NP_E_MALFORMED;
    if (rc)
        return rc;
    int none = -1;
    peer->events.frame(peer->ctx, frame->type, &message, frame->fd_count ? &frame->fds[0] : &none);
    return 0;
}

static void receive_frames(struct np_peer *peer)
{
    uint8_t buffer[NP_PEER_MESSAGE_MAX + 4];
    for (int i = 0; i < FRAMES_A_TURN && !peer->broken; i++) {
        struct np_frame frame;
        int rc = np_channel_receive(peer->fd, buffer, sizeof buffer, &frame);
        if (rc == -EAGAIN)
            return;
        if (!rc) {
            rc = take_frame(peer, &frame);
            np_frame_close_fds(&frame);
        }
        if (!rc)
            continue;
        if (rc != NP_E_CLOSED)
            np_error("stream channel: %s", np_strerror(rc));
        break_off(peer);
    }
}

static void flush_queue(struct np_peer *peer)
{
    while (peer->queue) {
        struct queued *item = peer->queue;
        int rc = np_channel_send(peer->fd, item->type, item->payload, item->len, &item->fd, item->fd >= 0);
        if (rc == -EAGAIN)
            break;
        peer->queue = item->next;
        peer->queue_count--;
        free_queued(item);
        if (rc == NP_E_CLOSED) {
            break_off(peer);
            return;
        }
        if (rc)
            np_warning("stream channel: %s", np_strerror(rc));
    }
    want_events(peer);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct np_peer *peer = poll->data;
    if (status < 0 || (events & UV_READABLE)) /* what is wrong, recvmsg says */
        receive_frames(peer);
    if ((events & UV_WRITABLE) && !peer->broken)
        flush_queue(peer);
}

static int enqueue_take(struct np_peer *peer, uint32_t type, const uint8_t *payload, size_t len, int fd)
{
    struct queued *item = peer->queue_count < NP_PEER_QUEUE_MAX ? malloc(sizeof *item + len) : NULL;
    if (!item) {
        int rc = peer->queue_count < NP_PEER_QUEUE_MAX ? -ENOMEM : NP_E_LIMIT;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    *item = (struct queued){.type = type, .fd = fd, .len = len};
    memcpy(item->payload, payload, len);
    struct queued **at = &peer->queue;
    while (*at)
        at = &(*at)->next;
    *at = item;
    peer->queue_count++;
    want_events(peer);
    return 0;
}

int np_peer_send_take(struct np_peer *peer, uint32_t type, const struct np_peer_message *message, int fd)
{
    uint8_t payload[NP_PEER_MESSAGE_MAX];
    long len = np_peer_encode(type, message, payload);
    int rc = len < 0 ? (int)len : peer->broken ? NP_E_CLOSED : -EAGAIN;
    if (rc == -EAGAIN && !peer->queue)
        rc = np_channel_send(peer->fd, type, payload, (size_t)len, &fd, fd >= 0);
    if (rc == -EAGAIN)
        return enqueue_take(peer, type, payload, (size_t)len, fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

int np_peer_new(uv_loop_t *loop, int fd, const struct np_peer_events *events, void *ctx, struct np_peer **out_peer)
{
    struct np_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return -ENOMEM;
    int rc = uv_poll_init(loop, &peer->poll, fd);
    if (rc) {
        free(peer);
        return rc;
    }
    peer->poll.data = peer;
    peer->fd = fd;
    peer->events = *events;
    peer->ctx = ctx;
    want_events(peer);
    *out_peer = peer;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void np_peer_close(struct np_peer *peer)
{
    if (!peer)
        return;
    peer->broken = true;
    uv_poll_stop(&peer->poll);
    drop_queue(peer);
    close(peer->fd);
    uv_close((uv_handle_t *)&peer->poll, on_closed);
}
