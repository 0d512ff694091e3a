#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The file was opened by the agent, so that this process needs none. */
static int read_bundle(int fd, uint8_t **out_pem, size_t *out_len)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size > NP_TLS_BUNDLE_FILE_MAX)
        return NP_E_LIMIT;
    size_t size = (size_t)status.st_size, len = 0;
    uint8_t *pem = malloc(size ? size : 1);
    if (!pem)
        return -ENOMEM;
    ssize_t n = 0;
    while (len < size && (n = pread(fd, pem + len, size - len, (off_t)len)) > 0)
        len += (size_t)n;
    int rc = n < 0 ? -errno : 0;
    if (rc) {
        free(pem);
        return rc;
    }
    *out_pem = pem;
    *out_len = len;
    return 0;
}

static void apply_anchors(struct np_front *front, const struct np_frame *frame)
{
    struct np_tls_anchors *anchors = NULL;
    uint8_t *pem = NULL;
    size_t len = 0, skipped = 0, count;
    int rc = frame->fd_count == 1 ? read_bundle(frame->fds[0], &pem, &len) : NP_E_MALFORMED;
    if (!rc)
        rc = np_tls_bundle_parse((const char *)pem, len, &anchors, &skipped);
    free(pem);
    if (rc) {
        np_error("dot-anchors: %s; upstreams with tls:// cannot be checked, and are not asked", np_strerror(rc));
        return;
    }
    (void)np_tls_anchors_list(anchors, &count);
    np_front_set_anchors_take(front, anchors);
    np_info("dot-anchors: %zu certificates to check upstreams by%s", count, skipped ? ", others cannot be used" : "");
}

static void apply_clock(struct np_front *front, const struct np_frame *frame)
{
    json_int_t floor_s, steady_s;
    int has_signed, doubted;
    json_t *root = json_loadb((const char *)frame->payload, frame->len, JSON_REJECT_DUPLICATES, NULL);
    if (!root || json_unpack(root, "{s:I, s:I, s:b, s:b}", "floor", &floor_s, "steady", &steady_s, "signed",
                             &has_signed, "doubted", &doubted))
        np_error("CLCK: %s", np_strerror(NP_E_MALFORMED));
    else
        np_front_set_clock(front, floor_s, steady_s, has_signed, doubted);
    json_decref(root);
}

static void apply_news(struct np_front *front, const struct np_frame *frame)
{
    int rc = np_news_parse((const char *)frame->payload, frame->len, &front->news);
    if (rc)
        np_error("NEWS: %s", np_strerror(rc));
}

static void apply_settings(struct np_front *front, const struct np_frame *frame)
{
    struct np_front_settings settings;
    int rc = np_front_settings_parse((const char *)frame->payload, frame->len, &settings);
    if (rc)
        np_error("CONF refused, what was before stays: %s", np_strerror(rc));
    else
        np_front_set_settings(front, &settings);
}

static void other_frame(void *ctx, struct np_frame *frame)
{
    if (frame->type == NP_FRAME('A', 'N', 'C', 'H'))
        apply_anchors(ctx, frame);
    if (frame->type == NP_FRAME('C', 'L', 'C', 'K'))
        apply_clock(ctx, frame);
    if (frame->type == NP_FRAME('C', 'O', 'N', 'F'))
        apply_settings(ctx, frame);
    if (frame->type == NP_FRAME('N', 'E', 'W', 'S'))
        apply_news(ctx, frame);
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
