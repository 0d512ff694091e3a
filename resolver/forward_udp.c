#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/forward_private.h"

#define ID_DRAWS 8 /* for an ID that is free on the socket: at most 64 of 65,536 are taken */

static void socket_closed(uv_handle_t *handle)
{
    struct udp_socket *sock = handle->data;
    struct remote *remote = sock->remote;
    struct np_forward *forward = remote->forward;
    free(sock);
    np_forward_remote_release(remote);
    np_forward_handle_closed(forward);
}

/* The socket has no tries any more. */
static void socket_close(struct udp_socket *sock)
{
    struct np_forward *forward = sock->remote->forward;
    if (sock->closing)
        return;
    sock->closing = true;
    if (sock->remote->current == sock)
        sock->remote->current = NULL;
    struct udp_socket **at = &forward->sockets;
    while (*at != sock)
        at = &(*at)->next;
    *at = sock->next;
    forward->socket_count--;
    uv_poll_stop(&sock->poll);
    close(sock->fd);
    uv_close((uv_handle_t *)&sock->poll, socket_closed);
}

/* The kernel reports an ICMP error: nobody listens there, or there is no way. */
static void socket_failed(struct udp_socket *sock)
{
    if (sock->remote->current == sock)
        sock->remote->current = NULL;
    for (size_t i = 0; i < NP_FORWARD_SOCKET_QUERIES; i++) {
        if (sock->tries[i])
            np_forward_try_failed(sock->tries[i]);
    }
    socket_close(sock);
}

static void poll_callback(uv_poll_t *poll, int status, int events)
{
    struct udp_socket *sock = poll->data;
    struct np_forward *forward = sock->remote->forward;
    bool stray = sock->active == 0; /* nobody waits for what is there: the socket goes, and it with it */
    (void)events;
    while (status == 0 && !stray) {
        ssize_t n = recv(sock->fd, forward->receive, sizeof forward->receive, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0)
            break;
        np_forward_received(forward, sock->tries, NP_FORWARD_SOCKET_QUERIES, false, forward->receive, (size_t)n);
        if (sock->closing || sock->active == 0)
            return;
    }
    /* libuv stops a poll at POLLERR and says EBADF; recv fails with what ICMP said. Either way the socket is done. */
    socket_failed(sock);
}

static int socket_open(struct remote *remote, struct udp_socket **out_sock)
{
    struct np_forward *forward = remote->forward;
    struct sockaddr_storage sa;
    socklen_t len = np_endpoint_to_sockaddr(&remote->state.endpoint, &sa);
    if (forward->socket_count >= NP_FORWARD_SOCKETS_MAX)
        return NP_E_LIMIT;
    struct udp_socket *sock = calloc(1, sizeof *sock);
    if (!sock)
        return -ENOMEM;
    sock->remote = remote;
    sock->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* connect draws the source port at random, and from then on the kernel checks where answers come from. */
    int rc = sock->fd < 0 || connect(sock->fd, (struct sockaddr *)&sa, len) ? -errno : 0;
    if (!rc)
        rc = uv_poll_init(forward->loop, &sock->poll, sock->fd);
    if (rc) {
        if (sock->fd >= 0)
            close(sock->fd);
        free(sock);
        return rc;
    }
    sock->poll.data = sock;
    sock->born_ms = (int64_t)uv_now(forward->loop);
    sock->next = forward->sockets;
    forward->sockets = sock;
    forward->socket_count++;
    forward->handles++;
    remote->references++;
    (void)uv_poll_start(&sock->poll, UV_READABLE, poll_callback);
    np_forward_need_sweep(forward);
    *out_sock = sock;
    return 0;
}

/* The socket for the next query: the current one, unless it has served its time. */
static int current_socket(struct remote *remote, struct udp_socket **out_sock)
{
    struct udp_socket *sock = remote->current;
    int64_t now = (int64_t)uv_now(remote->forward->loop);
    if (sock && (sock->used >= NP_FORWARD_SOCKET_QUERIES || now - sock->born_ms >= NP_FORWARD_SOCKET_AGE_MS)) {
        remote->current = NULL;
        if (sock->active == 0)
            socket_close(sock);
        sock = NULL;
    }
    if (!sock) {
        int rc = socket_open(remote, &sock);
        if (rc)
            return rc;
        remote->current = sock;
    }
    *out_sock = sock;
    return 0;
}

static bool id_taken(const struct udp_socket *sock, uint16_t id)
{
    for (size_t i = 0; i < NP_FORWARD_SOCKET_QUERIES; i++) {
        if (sock->tries[i] && sock->tries[i]->id == id)
            return true;
    }
    return false;
}

int np_forward_udp_send(struct question *question, struct remote *remote, bool probe)
{
    struct np_forward *forward = remote->forward;
    uint8_t packet[QUERY_SIZE_MAX];
    struct udp_socket *sock;
    int rc = current_socket(remote, &sock);
    if (rc)
        return rc;
    struct try *try = np_forward_try(question, remote, probe);
    if (!try)
        return NP_E_LIMIT;
    for (int draw = 0; draw < ID_DRAWS; draw++) {
        np_forward_random(forward, &try->id, sizeof try->id);
        if (!id_taken(sock, try->id))
            break;
    }
    /* A socket is used for as many queries as it has places, so the next place is free. */
    try->place = (uint8_t)sock->used++;
    try->socket = sock;
    sock->tries[try->place] = try;
    sock->active++;
    size_t len = np_forward_write(try, packet, sizeof packet);
    forward->stats.sent_udp++;
    ssize_t n;
    do {
        n = send(sock->fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    /* A full buffer is like a packet lost on the way: the retry will see to it. */
    if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return 0;
    rc = -errno;
    np_forward_try_end(try);
    return rc;
}

void np_forward_udp_idle(struct udp_socket *sock)
{
    if (sock->remote->current != sock)
        socket_close(sock);
}

void np_forward_udp_sweep(struct np_forward *forward, bool everything)
{
    int64_t now = (int64_t)uv_now(forward->loop);
    for (struct udp_socket *sock = forward->sockets, *next; sock; sock = next) {
        next = sock->next;
        if (everything || (sock->active == 0 && now - sock->born_ms >= NP_FORWARD_SOCKET_AGE_MS))
            socket_close(sock);
    }
}
