#include <stdlib.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/resolver.h"
#include "resolver/role.h"

static bool serves(enum np_listen_kind kind)
{
    return kind == NP_LISTEN_DNS_UDP || kind == NP_LISTEN_DNS_TCP;
}

static int add_listener(void *ctx, const struct np_listen *what, int fd)
{
    return np_server_add(np_resolver_server(ctx), fd, what->kind == NP_LISTEN_DNS_TCP);
}

static void drop_listener(void *ctx, const struct np_listen *what)
{
    (void)np_server_remove(np_resolver_server(ctx), &what->local, what->kind == NP_LISTEN_DNS_TCP);
}

static int set_view(void *ctx, const struct np_view *view)
{
    return np_resolver_set_view(ctx, view);
}

static char *stats(void *ctx)
{
    struct np_stats *stats = malloc(sizeof *stats);
    char *text = NULL;
    if (stats) {
        np_resolver_stats(ctx, stats);
        text = np_stats_encode(stats);
    }
    free(stats);
    return text;
}

static void close_resolver(void *ctx)
{
    np_resolver_close(ctx);
}

static void set_peer_take(void *ctx, int fd)
{
    np_resolver_set_peer_take(ctx, fd);
}

int np_resolver_child_main(void)
{
    static const struct np_role_child child = {
        .serves = serves,
        .listen = add_listener,
        .drop = drop_listener,
        .set_view = set_view,
        .set_peer_take = set_peer_take,
        .stats = stats,
        .close = close_resolver,
    };
    struct np_resolver *resolver;
    uv_loop_t loop;
    int rc = uv_loop_init(&loop);
    if (rc == 0)
        rc = np_resolver_new(&loop, &resolver);
    if (rc) {
        np_error("cannot start: %s", np_strerror(rc));
        return 1;
    }
    np_resolver_expect_peer(resolver);
    return np_role_run(&loop, &child, resolver);
}
