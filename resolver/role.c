#include "resolver/role.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/memory.h"
#include "resolver/base/text.h"

#define FRAMES_A_TURN 16 /* so that a talkative agent does not starve the clients */

struct role {
    const struct np_role_child *child;
    void *ctx;
    uv_poll_t channel;
    bool ready; /* REDY has been sent */
    struct np_view view;
    uint8_t frame[NP_CHANNEL_FRAME_MAX + 4];
};

static const char *kind_name(enum np_listen_kind kind)
{
    static const char *const names[] = {[NP_LISTEN_DNS_UDP] = "UDP",
                                        [NP_LISTEN_DNS_TCP] = "TCP",
                                        [NP_LISTEN_HTTP] = "http",
                                        [NP_LISTEN_HTTPS] = "https",
                                        [NP_LISTEN_DOT] = "DNS over TLS"};
    return names[kind];
}

static void add_listeners(struct role *role, struct np_frame *frame)
{
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    char text[NP_ADDR_TEXT_MAX];
    int count = np_listen_parse((const char *)frame->payload, frame->len, items);
    if (count < 0 || (size_t)count != frame->fd_count) {
        np_error("LSTN: %s", np_strerror(count < 0 ? count : NP_E_MALFORMED));
        return;
    }
    for (int i = 0; i < count; i++) {
        if (!role->child->serves(items[i].kind))
            continue;
        int rc = role->child->listen(role->ctx, &items[i], frame->fds[i]);
        np_endpoint_format(&items[i].local, text);
        if (rc) {
            np_error("listener %s: %s", text, np_strerror(rc));
            continue;
        }
        frame->fds[i] = -1;
        np_debug("listening on %s (%s)", text, kind_name(items[i].kind));
    }
}

static void drop_listeners(struct role *role, const struct np_frame *frame)
{
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    int count = np_listen_parse((const char *)frame->payload, frame->len, items);
    if (count < 0)
        np_error("DROP: %s", np_strerror(count));
    for (int i = 0; i < count; i++) {
        if (role->child->serves(items[i].kind))
            role->child->drop(role->ctx, &items[i]);
    }
}

static void send_frame(uint32_t type, const void *payload, size_t len)
{
    int rc = np_channel_send(NP_CHANNEL_FD, type, payload, len, NULL, 0);
    if (rc && rc != NP_E_CLOSED)
        np_warning("channel: %s", np_strerror(rc));
}

static void apply_view(struct role *role, const struct np_frame *frame)
{
    char error[NP_VIEW_ERROR_MAX];
    if (np_view_parse((const char *)frame->payload, frame->len, &role->view, error)) {
        np_error("view refused, the one before stays: %s", error);
        return;
    }
    int rc = role->child->set_view(role->ctx, &role->view);
    if (rc) {
        np_error("view: %s", np_strerror(rc));
        return;
    }
    if (!role->ready)
        send_frame(NP_FRAME('R', 'E', 'D', 'Y'), NULL, 0);
    role->ready = true;
}

static void send_stats(struct role *role)
{
    char *text = role->child->stats(role->ctx);
    if (text)
        send_frame(NP_FRAME('S', 'T', 'A', 'T'), text, strlen(text));
    free(text);
}

static void take_peer(struct role *role, struct np_frame *frame)
{
    if (frame->fd_count != 1) {
        np_error("PEER: %s", np_strerror(NP_E_MALFORMED));
        return;
    }
    role->child->set_peer_take(role->ctx, frame->fds[0]);
    frame->fds[0] = -1;
}

static void handle_frame(struct role *role, struct np_frame *frame)
{
    switch (frame->type) {
    case NP_FRAME('L', 'S', 'T', 'N'):
        add_listeners(role, frame);
        break;
    case NP_FRAME('D', 'R', 'O', 'P'):
        drop_listeners(role, frame);
        break;
    case NP_FRAME('V', 'I', 'E', 'W'):
        apply_view(role, frame);
        break;
    case NP_FRAME('P', 'E', 'E', 'R'):
        take_peer(role, frame);
        break;
    case NP_FRAME('S', 'T', 'A', 'T'):
        send_stats(role);
        break;
    default: /* the role's own, or a newer agent's */
        if (role->child->other) {
            role->child->other(role->ctx, frame);
            np_wipe(role->frame, sizeof frame->type + frame->len);
        }
        break;
    }
    np_frame_close_fds(frame);
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    struct role *role = poll->data;
    (void)events;
    for (int i = 0; i < FRAMES_A_TURN && status == 0; i++) {
        struct np_frame frame;
        int rc = np_channel_receive(NP_CHANNEL_FD, role->frame, sizeof role->frame, &frame);
        if (rc == 0) {
            handle_frame(role, &frame);
            continue;
        }
        if (rc == -EAGAIN) {
            if (i > 0)
                np_memory_trim(); /* reading a view takes as much memory as the rest of an idle process */
            return;
        }
        status = rc;
    }
    if (status == 0)
        return;
    if (status != NP_E_CLOSED)
        np_error("channel: %s", np_strerror(status));
    uv_close((uv_handle_t *)poll, NULL);
    role->child->close(role->ctx);
}

int np_role_run(uv_loop_t *loop, const struct np_role_child *child, void *ctx)
{
    struct role *role = calloc(1, sizeof *role);
    int rc = role ? 0 : -ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    if (rc == 0)
        rc = uv_poll_init(loop, &role->channel, NP_CHANNEL_FD);
    if (rc == 0) {
        role->child = child;
        role->ctx = ctx;
        role->channel.data = role;
        rc = uv_poll_start(&role->channel, UV_READABLE | UV_DISCONNECT, on_channel);
    }
    if (rc == 0) {
        uv_run(loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(loop);
    } else {
        np_error("cannot start: %s", np_strerror(rc));
    }
    free(role);
    return rc ? 1 : 0;
}
