#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/ingress.h"
#include "resolver/base/log.h"

#define ACCEPT_A_TURN 32 /* then the clients that are there get theirs */

/* The interface that has this address; 0 when none has, or more than one. */
static uint32_t interface_of(const struct np_view *view, const struct np_addr *local)
{
    uint32_t found = 0;
    for (size_t i = 0; i < view->interface_count; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        const struct np_prefix *list = local->family == AF_INET ? interface->v4 : interface->v6;
        size_t count = local->family == AF_INET ? interface->v4_count : interface->v6_count;
        for (size_t k = 0; k < count; k++) {
            if (list[k].addr.family != local->family ||
                memcmp(list[k].addr.bytes, local->bytes, np_addr_len(local)) != 0)
                continue;
            if (found && found != interface->index)
                return 0;
            found = interface->index;
        }
    }
    return found;
}

static void accept_one(struct np_front_listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct np_front *front = listener->front;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    enum np_listen_kind kind = listener->what.kind;
    struct np_client client = {.tcp = true, .tls = kind != NP_LISTEN_HTTP};
    client.remote = np_endpoint_from_sockaddr((const struct sockaddr *)peer);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        client.local = np_endpoint_from_sockaddr((struct sockaddr *)&sa).addr;
    client.ifindex = np_ingress_of_accepted(fd, client.remote.addr.family);
    if (client.ifindex == 0)
        client.ifindex = client.local.scope ? client.local.scope : interface_of(&front->view, &client.local);
    if (!np_admit(&front->admit, &client.remote.addr, client.ifindex)) {
        char text[NP_ADDR_TEXT_MAX];
        front->stats.not_admitted++;
        np_debug("%s on interface %u is not admitted", np_addr_format(&client.remote.addr, text),
                 (unsigned)client.ifindex);
        close(fd);
        return;
    }
    int slot = np_front_find_place(front, kind == NP_LISTEN_DOT, &client.remote.addr);
    int rc = slot;
    if (slot >= 0)
        rc = np_front_connection_open(front, (size_t)slot, fd, kind, &client);
    if (rc < 0) {
        front->stats.refused++;
        front->stats.dot_refused += kind == NP_LISTEN_DOT;
        close(fd);
        return;
    }
    front->stats.accepted++;
    front->stats.dot_accepted += kind == NP_LISTEN_DOT;
}

void np_front_accept(struct np_front_listener *listener)
{
    for (int i = 0; i < ACCEPT_A_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(listener, fd, &peer);
            continue;
        }
        /* Without this the poll would come back at once, for ever. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            listener->paused = true;
            uv_poll_stop(&listener->poll);
            np_front_need_tick(listener->front);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}
