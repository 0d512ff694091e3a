#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/front/front.h"
#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define FRAMES_A_TURN 16 /* so that a talkative agent does not starve the clients */

struct child {
    uv_loop_t loop;
    uv_poll_t channel;
    struct np_front front;
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
        if (items[i].kind != NP_LISTEN_HTTP && items[i].kind != NP_LISTEN_HTTPS)
            continue;
        int rc = np_front_add_listener(&child->front, &items[i], frame->fds[i]);
        np_endpoint_format(&items[i].local, text);
        if (rc) {
            np_error("listener %s: %s", text, np_strerror(rc));
            continue;
        }
        frame->fds[i] = -1;
        np_debug("listening on %s (%s)", text, items[i].kind == NP_LISTEN_HTTPS ? "https" : "http");
    }
}

static void drop_listeners(struct child *child, const struct np_frame *frame)
{
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    int count = np_listen_parse((const char *)frame->payload, frame->len, items);
    if (count < 0)
        np_error("DROP: %s", np_strerror(count));
    for (int i = 0; i < count; i++)
        np_front_drop_listener(&child->front, &items[i]);
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
    if (np_view_parse((const char *)frame->payload, frame->len, &child->view, error)) {
        np_error("view refused, the one before stays: %s", error);
        return;
    }
    np_front_set_view(&child->front, &child->view);
    if (!child->ready)
        send_frame(NP_FRAME('R', 'E', 'D', 'Y'), NULL, 0);
    child->ready = true;
}

static void apply_certificate(struct child *child, const struct np_frame *frame)
{
    struct np_front_certificate *certificate;
    int rc = np_front_certificate_parse((const char *)frame->payload, frame->len, &certificate);
    np_wipe(child->frame, sizeof child->frame); /* the key was in it */
    if (rc) {
        np_error("certificate refused, the one before stays: %s", np_strerror(rc));
        return;
    }
    np_front_set_certificate_take(&child->front, certificate);
    np_info("serving a certificate by %s for %s", certificate->leaf.issuer,
            certificate->leaf.name_count ? certificate->leaf.names[0] : "(no name)");
}

static void send_stats(struct child *child)
{
    char *text = np_front_stats_json(&child->front);
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
    case NP_FRAME('C', 'E', 'R', 'T'):
        apply_certificate(child, frame);
        break;
    case NP_FRAME('S', 'T', 'A', 'T'):
        send_stats(child);
        break;
    default: /* a newer agent's */
        break;
    }
    np_frame_close_fds(frame);
}

static void on_channel(uv_poll_t *poll, int status, int events)
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
    np_front_close(&child->front);
}

int np_front_child_main(void)
{
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    int rc = uv_loop_init(&child->loop);
    if (rc)
        goto out;
    np_front_init(&child->front, &child->loop);
    rc = uv_poll_init(&child->loop, &child->channel, NP_CHANNEL_FD);
    if (rc)
        goto out;
    child->channel.data = child;
    rc = uv_poll_start(&child->channel, UV_READABLE | UV_DISCONNECT, on_channel);
    if (rc)
        goto out;
    uv_run(&child->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&child->loop);
out:
    if (rc)
        np_error("cannot start: %s", np_strerror(rc));
    free(child);
    return rc ? 1 : 0;
}
