#include "resolver/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/server_private.h"

#define UDP_BUFFER   (1 << 20) /* bytes of socket buffer asked for: a burst of a few ms; the kernel caps it */
#define TCP_BACKLOG  128
#define DRAIN_ROUNDS 16 /* batches read from a socket that is closed: 2,048 packets, more than its buffer holds */

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? -errno : 0;
}

/* What the server needs on a socket whoever opened it. Path MTU discovery is taken out of the kernel's hands: answers
 * are at most 1232 bytes, and a forged "fragmentation needed" must not make fragments of them. */
static int prepare(int fd, int family, bool tcp)
{
    int rc =
        family == AF_INET ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (rc || tcp)
        return rc;
    if (family == AF_INET)
        (void)set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    else
        (void)set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
    (void)set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    (void)set_int(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER);
    return 0;
}

int np_server_open(const struct np_endpoint *local, bool tcp)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = np_endpoint_to_sockaddr(local, &sa);
    if (sa_len == 0)
        return NP_E_MALFORMED;
    int fd = socket(sa.ss_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = prepare(fd, sa.ss_family, tcp);
    if (!rc && sa.ss_family == AF_INET6)
        rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    /* On UDP this would let a second server of the same user take the port without an error. */
    if (!rc && tcp)
        rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!rc && bind(fd, (struct sockaddr *)&sa, sa_len))
        rc = -errno;
    if (!rc && tcp && listen(fd, TCP_BACKLOG))
        rc = -errno;
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

int np_server_new(uv_loop_t *loop, np_serve_fn *serve, np_serve_admit_fn *admit, void *ctx,
                  struct np_server **out_server)
{
    struct np_server *server = calloc(1, sizeof *server);
    if (!server)
        return -ENOMEM;
    server->loop = loop;
    server->serve = serve;
    server->admit = admit;
    server->ctx = ctx;
    np_server_udp_init(server);
    uv_timer_init(loop, &server->tick);
    server->tick.data = server;
    server->handles = 1;
    *out_server = server;
    return 0;
}

static void poll_callback(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)events;
    if (status < 0) {
        /* libuv stops a poll at POLLERR: fetching the error clears it. */
        int err;
        socklen_t len = sizeof err;
        (void)getsockopt(listener->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        (void)uv_poll_start(poll, UV_READABLE, poll_callback);
        return;
    }
    if (listener->tcp)
        np_server_tcp_readable(listener);
    else
        np_server_udp_readable(listener);
    if (listener->paused)
        uv_poll_stop(poll);
}

static void tick_callback(uv_timer_t *tick)
{
    struct np_server *server = tick->data;
    for (size_t i = 0; i < NP_SERVER_LISTENERS_MAX; i++) {
        struct listener *listener = server->listeners[i];
        if (!listener || !listener->paused)
            continue;
        listener->paused = false;
        (void)uv_poll_start(&listener->poll, UV_READABLE, poll_callback);
    }
    np_server_tcp_tick(server);
}

void np_server_need_tick(struct np_server *server)
{
    if (!server->closing && !uv_is_active((uv_handle_t *)&server->tick))
        uv_timer_start(&server->tick, tick_callback, TCP_TICK_MS, TCP_TICK_MS);
}

int np_server_add(struct np_server *server, int fd, bool tcp)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    size_t index = 0;
    while (index < NP_SERVER_LISTENERS_MAX && server->listeners[index])
        index++;
    if (index == NP_SERVER_LISTENERS_MAX || server->closing)
        return NP_E_LIMIT;
    if (getsockname(fd, (struct sockaddr *)&sa, &len))
        return -errno;
    int rc = prepare(fd, sa.ss_family, tcp);
    if (rc)
        return rc;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    *listener = (struct listener){
        .server = server, .fd = fd, .tcp = tcp, .index = (uint32_t)index, .serial = (uint32_t)++server->serial};
    listener->local = np_endpoint_from_sockaddr((struct sockaddr *)&sa);
    listener->wildcard = np_addr_classify(&listener->local.addr) == NP_ADDR_UNSPECIFIED;
    rc = uv_poll_init(server->loop, &listener->poll, fd);
    if (rc) {
        free(listener);
        return rc;
    }
    listener->poll.data = listener;
    server->handles++;
    server->listeners[index] = listener;
    (void)uv_poll_start(&listener->poll, UV_READABLE, poll_callback); /* fails only for a closing handle */
    return 0;
}

void np_server_handle_closed(struct np_server *server)
{
    if (--server->handles > 0 || !server->closing)
        return;
    void (*done)(void *) = server->done;
    void *ctx = server->done_ctx;
    free(server);
    if (done)
        done(ctx);
}

static void listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    struct np_server *server = listener->server;
    free(listener);
    np_server_handle_closed(server);
}

/* The descriptor may be closed once the poll is stopped; libuv wants it before the handle's callback. */
static void listener_close(struct listener *listener)
{
    listener->server->listeners[listener->index] = NULL;
    uv_poll_stop(&listener->poll);
    close(listener->fd);
    uv_close((uv_handle_t *)&listener->poll, listener_closed);
}

static bool same_local(const struct listener *listener, const struct np_endpoint *local)
{
    struct np_addr mine = listener->local.addr;
    if (local->addr.scope == 0)
        mine.scope = 0;
    return listener->local.port == local->port && np_addr_equal(&mine, &local->addr);
}

int np_server_remove(struct np_server *server, const struct np_endpoint *local, bool tcp)
{
    for (size_t i = 0; i < NP_SERVER_LISTENERS_MAX; i++) {
        struct listener *listener = server->listeners[i];
        if (!listener || listener->tcp != tcp || !same_local(listener, local))
            continue;
        /* What has come in is answered still, while the kernel has the address. */
        for (int round = 0; round < DRAIN_ROUNDS && !tcp; round++)
            np_server_udp_readable(listener);
        np_server_tcp_end(server, listener, false);
        listener_close(listener);
        return 0;
    }
    return NP_E_NOT_FOUND;
}

bool np_server_listens(const struct np_server *server, const struct np_endpoint *endpoint, const struct np_addr *local)
{
    bool here = np_addr_classify(&endpoint->addr) == NP_ADDR_LOOPBACK || np_addr_equal(&endpoint->addr, local);
    for (size_t i = 0; i < NP_SERVER_LISTENERS_MAX; i++) {
        const struct listener *listener = server->listeners[i];
        if (!listener || listener->tcp || listener->local.port != endpoint->port ||
            listener->local.addr.family != endpoint->addr.family)
            continue;
        if (np_addr_equal(&listener->local.addr, &endpoint->addr) ||
            (here && np_addr_classify(&listener->local.addr) == NP_ADDR_UNSPECIFIED))
            return true;
    }
    return false;
}

void np_server_reply(struct np_server *server, const struct np_ticket *ticket, const uint8_t *message, size_t len)
{
    if (server->closing)
        return;
    if (ticket->client.tcp) {
        np_server_tcp_reply(server, ticket, message, len);
        return;
    }
    struct listener *listener = ticket->listener < NP_SERVER_LISTENERS_MAX ? server->listeners[ticket->listener] : NULL;
    if (listener && listener->serial == ticket->serial)
        np_server_udp_reply(listener, &ticket->client, message, len);
}

const struct np_server_stats *np_server_stats(const struct np_server *server)
{
    return &server->stats;
}

static void tick_closed(uv_handle_t *handle)
{
    np_server_handle_closed(handle->data);
}

void np_server_close(struct np_server *server, void (*done)(void *ctx), void *ctx)
{
    if (server->closing)
        return;
    server->closing = true;
    server->done = done;
    server->done_ctx = ctx;
    np_server_tcp_end(server, NULL, true);
    for (size_t i = 0; i < NP_SERVER_LISTENERS_MAX; i++) {
        if (server->listeners[i])
            listener_close(server->listeners[i]);
    }
    uv_close((uv_handle_t *)&server->tick, tick_closed);
}
