#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/channel.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/listen.h"
#include "resolver/resolver.h"

#define FRAMES_A_TURN 16 /* so that a talkative agent does not starve the queries */

struct child {
    uv_loop_t loop;
    uv_poll_t channel;
    struct np_resolver *resolver;
    bool ready; /* REDY has been sent */
    struct np_view view;
    uint8_t frame[NP_CHANNEL_FRAME_MAX + 4];
};

static void add_listeners(struct child *child, struct np_frame *frame)
{
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    char text[NP_ADDR_TEXT_MAX];
    int count = np_listen_parse((const char *)frame->payload, frame->len, items);
    if (count < 0 || (size_t)count != frame->fd_count) {
        np_error("LSTN: %s", np_strerror(count < 0 ? count : NP_E_MALFORMED));
        return;
    }
    for (int i = 0; i < count; i++) {
        if (items[i].kind != NP_LISTEN_DNS_UDP && items[i].kind != NP_LISTEN_DNS_TCP)
            continue;
        int rc = np_server_add(np_resolver_server(child->resolver), frame->fds[i], items[i].kind == NP_LISTEN_DNS_TCP);
        np_endpoint_format(&items[i].local, text);
        if (rc) {
            np_error("listener %s: %s", text, np_strerror(rc));
            continue;
        }
        frame->fds[i] = -1;
        np_debug("listening on %s (%s)", text, items[i].kind == NP_LISTEN_DNS_TCP ? "TCP" : "UDP");
    }
}

static void drop_listeners(struct child *child, const struct np_frame *frame)
{
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    int count = np_listen_parse((const char *)frame->payload, frame->len, items);
    if (count < 0)
        np_error("DROP: %s", np_strerror(count));
    for (int i = 0; i < count; i++)
        (void)np_server_remove(np_resolver_server(child->resolver), &items[i].local,
                               items[i].kind == NP_LISTEN_DNS_TCP);
}

static void send_frame(uint32_t type, const void *payload, size_t len)
{
    int rc = np_channel_send(NP_CHANNEL_FD, type, payload, len, NULL, 0);
    if (rc && rc != NP_E_CLOSED)
        np_warning("channel: %s", np_strerror(rc));
}

static void apply_view(struct child *child, const struct np_frame *frame)
{
    char error[NP_VIEW_ERROR_MAX];
    int rc = np_view_parse((const char *)frame->payload, frame->len, &child->view, error);
    if (!rc) {
        rc = np_resolver_set_view(child->resolver, &child->view);
        if (rc)
            np_error("view: %s", np_strerror(rc));
    } else {
        np_error("view refused, the one before stays: %s", error);
    }
    if (rc || child->ready)
        return;
    child->ready = true;
    send_frame(NP_FRAME('R', 'E', 'D', 'Y'), NULL, 0);
}

static void send_stats(struct child *child)
{
    char *text = np_resolver_stats_json(child->resolver);
    if (text)
        send_frame(NP_FRAME('S', 'T', 'A', 'T'), text, strlen(text));
    free(text);
}

static void handle_frame(struct child *child, struct np_frame *frame)
{
    switch (frame->type) {
    case NP_FRAME('L', 'S', 'T', 'N'):
        add_listeners(child, frame);
        break;
    case NP_FRAME('D', 'R', 'O', 'P'):
        drop_listeners(child, frame);
        break;
    case NP_FRAME('V', 'I', 'E', 'W'):
        apply_view(child, frame);
        break;
    case NP_FRAME('S', 'T', 'A', 'T'):
        send_stats(child);
        break;
    default: /* a newer agent's */
        break;
    }
    np_frame_close_fds(frame);
}

static void channel_callback(uv_poll_t *poll, int status, int events)
{
    struct child *child = poll->data;
    (void)events;
    for (int i = 0; i < FRAMES_A_TURN && status == 0; i++) {
        struct np_frame frame;
        int rc = np_channel_receive(NP_CHANNEL_FD, child->frame, sizeof child->frame, &frame);
        if (rc == 0) {
            handle_frame(child, &frame);
            continue;
        }
        if (rc == -EAGAIN)
            return;
        status = rc;
    }
    if (status == 0)
        return;
    if (status != NP_E_CLOSED)
        np_error("channel: %s", np_strerror(status));
    uv_close((uv_handle_t *)poll, NULL);
    np_resolver_close(child->resolver);
}

int np_resolver_child_main(void)
{
    int result = 1;
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    int rc = uv_loop_init(&child->loop);
    if (rc)
        goto out;
    rc = np_resolver_new(&child->loop, &child->resolver);
    if (rc)
        goto out;
    rc = uv_poll_init(&child->loop, &child->channel, NP_CHANNEL_FD);
    if (rc)
        goto out;
    child->channel.data = child;
    rc = uv_poll_start(&child->channel, UV_READABLE | UV_DISCONNECT, channel_callback);
    if (rc)
        goto out;
    uv_run(&child->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&child->loop);
    result = 0;
out:
    if (rc)
        np_error("cannot start: %s", np_strerror(rc));
    free(child);
    return result;
}
