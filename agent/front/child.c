#include <stdlib.h>

#include "agent/front/front.h"
#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/role.h"

static bool serves(enum np_listen_kind kind)
{
    return kind == NP_LISTEN_HTTP || kind == NP_LISTEN_HTTPS || kind == NP_LISTEN_DOT;
}

static int add_listener(void *ctx, const struct np_listen *what, int fd)
{
    return np_front_add_listener(ctx, what, fd);
}

static void drop_listener(void *ctx, const struct np_listen *what)
{
    np_front_drop_listener(ctx, what);
}

static int set_view(void *ctx, const struct np_view *view)
{
    np_front_set_view(ctx, view);
    return 0;
}

static void set_peer_take(void *ctx, int fd)
{
    np_front_set_peer_take(ctx, fd);
}

static char *stats(void *ctx)
{
    return np_front_stats_json(ctx);
}

static void apply_certificate(struct np_front *front, const struct np_frame *frame)
{
    struct np_front_certificate *certificate;
    int rc = np_front_certificate_parse((const char *)frame->payload, frame->len, &certificate);
    if (rc) {
        np_error("certificate refused, the one before stays: %s", np_strerror(rc));
        return;
    }
    np_front_set_certificate_take(front, certificate);
    np_info("serving a certificate by %s for %s", certificate->leaf.issuer,
            certificate->leaf.name_count ? certificate->leaf.names[0] : "(no name)");
}

static void other_frame(void *ctx, struct np_frame *frame)
{
    if (frame->type == NP_FRAME('C', 'E', 'R', 'T'))
        apply_certificate(ctx, frame);
    if (frame->type == NP_FRAME('F', 'R', 'G', 'T')) {
        np_front_set_certificate_take(ctx, NULL);
        np_info("the certificate is forgotten");
    }
}

static void close_front(void *ctx)
{
    np_front_close(ctx);
}

int np_front_child_main(void)
{
    static const struct np_role_child child = {
        .serves = serves,
        .listen = add_listener,
        .drop = drop_listener,
        .set_view = set_view,
        .set_peer_take = set_peer_take,
        .stats = stats,
        .other = other_frame,
        .close = close_front,
    };
    struct np_front *front = calloc(1, sizeof *front);
    uv_loop_t loop;
    int rc = front ? uv_loop_init(&loop) : UV_ENOMEM;
    if (rc) {
        np_error("cannot start: %s", np_strerror(rc));
        free(front);
        return 1;
    }
    np_front_init(front, &loop);
    rc = np_role_run(&loop, &child, front);
    free(front);
    return rc;
}
