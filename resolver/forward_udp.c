#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/forward_private.h"

#define LINGER_MAX (NP_FORWARD_SOCKETS_MAX / 2) /* sockets; past that none stays open for answers nobody waits for */
#define TELL_MS    60000

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

/* Closes a socket that takes no queries any more and that nobody waits for; while an answer is still due, it stays for
 * a moment (the sweep ends it): a late answer tells how fast its server is. */
static void close_if_idle(struct udp_socket *sock)
{
    if (sock->active > 0 || sock->closing || sock->remote->current == sock)
        return;
    if (sock->waiting == 0 || sock->remote->forward->socket_count > LINGER_MAX)
        socket_close(sock);
}

/* The kernel reports an ICMP error: nobody listens there, or there is no way. */
static void socket_failed(struct udp_socket *sock)
{
    int64_t now = (int64_t)uv_now(sock->remote->forward->loop);
    if (sock->remote->current == sock)
        sock->remote->current = NULL;
    if (sock->active == 0 && sock->waiting)
        np_upstream_failed(&sock->remote->state, now, 0);
    for (unsigned i = 0; i < sock->used; i++) {
        if (sock->tries[i])
            np_forward_try_failed(sock->tries[i]);
    }
    socket_close(sock);
}

/* Somebody guesses: what was asked from this port is asked over a stream, where nobody can. */
static void distrust(struct udp_socket *sock)
{
    struct remote *remote = sock->remote;
    struct np_forward *forward = remote->forward;
    int64_t now = (int64_t)uv_now(forward->loop);
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    if (remote->current == sock)
        remote->current = NULL;
    if (!forward->told_forged_ms || now - forward->told_forged_ms >= TELL_MS) {
        forward->told_forged_ms = now;
        np_warning(
            "forged answers: %u packets from %s to one port of ours answer nothing we asked; its questions go over "
            "TCP (%llu such packets since the start)",
            sock->foreign, np_view_upstream_format(&remote->server, text), (unsigned long long)forward->stats.foreign);
    }
    for (unsigned i = 0; i < sock->used; i++) {
        struct pending *pending = sock->tries[i];
        if (!pending)
            continue;
        struct question *question = pending->question;
        unsigned how = pending->try.how;
        np_forward_try_end(pending);
        forward->stats.distrusted++;
        if (how & NP_TRY_BESIDE)
            continue;
        np_forward_over_stream(question, remote, how, NP_STREAM_FORGED);
    }
    socket_close(sock);
}

/* A packet came in. Returns false when the socket has been given up. */
static bool take(struct udp_socket *sock, const uint8_t *message, size_t len)
{
    struct np_forward *forward = sock->remote->forward;
    unsigned place = 0;
    uint16_t id = len >= 2 ? (uint16_t)(message[0] << 8 | message[1]) : 0;
    while (place < sock->used && sock->ids[place] != id)
        place++;
    bool known = len >= NP_DNS_HEADER_LEN && place < sock->used;
    uint64_t bit = known ? 1ull << place : 0;
    if (known && sock->tries[place]) {
        known = np_forward_received(sock->tries[place], message, len);
        sock->waiting &= known ? ~bit : ~0ull;
    } else if (known) {
        forward->stats.late++;
        if (sock->waiting & bit)
            np_upstream_answered(&sock->remote->state, (int64_t)uv_now(forward->loop),
                                 np_forward_us() - sock->sent_us[place]);
        sock->waiting &= ~bit;
    }
    if (!known) {
        forward->stats.foreign++;
        sock->foreign++;
    }
    if (sock->closing)
        return false;
    if (sock->foreign >= NP_FORWARD_FOREIGN_MAX) {
        distrust(sock);
        return false;
    }
    close_if_idle(sock);
    return !sock->closing;
}

static void poll_callback(uv_poll_t *poll, int status, int events)
{
    struct udp_socket *sock = poll->data;
    struct np_forward *forward = sock->remote->forward;
    (void)events;
    while (status == 0) {
        int n = recvmmsg(sock->fd, forward->headers, UDP_BATCH, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0)
            break;
        for (int i = 0; i < n; i++) {
            if (!take(sock, forward->receive[i], forward->headers[i].msg_len))
                return;
        }
        if (n < UDP_BATCH)
            return;
    }
    /* libuv stops a poll at POLLERR and says EBADF; recv fails with what ICMP said. Either way the socket is done. */
    socket_failed(sock);
}

void np_forward_udp_init(struct np_forward *forward)
{
    for (int i = 0; i < UDP_BATCH; i++) {
        forward->iov[i] = (struct iovec){forward->receive[i], UDP_RECEIVE_MAX};
        forward->headers[i].msg_hdr = (struct msghdr){.msg_iov = &forward->iov[i], .msg_iovlen = 1};
    }
}

/* connect draws the source port at random, and from then on the kernel checks where answers come from. */
static int connect_socket(struct remote *remote)
{
    struct sockaddr_storage sa;
    socklen_t len = np_endpoint_to_sockaddr(&remote->state.endpoint, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = connect(fd, (struct sockaddr *)&sa, len) ? -errno : np_forward_is_own(remote, fd) ? NP_E_REFUSED : 0;
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

static int socket_open(struct remote *remote, struct udp_socket **out_sock)
{
    struct np_forward *forward = remote->forward;
    if (forward->socket_count >= NP_FORWARD_SOCKETS_MAX)
        return NP_E_LIMIT;
    struct udp_socket *sock = calloc(1, sizeof *sock);
    if (!sock)
        return -ENOMEM;
    sock->remote = remote;
    sock->fd = connect_socket(remote);
    int rc = sock->fd < 0 ? sock->fd : uv_poll_init(forward->loop, &sock->poll, sock->fd);
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
    if (remote->server.tls == NP_TLS_STRICT)
        return NP_E_TLS; /* never in clear text, whatever went wrong elsewhere */
    if (sock && (sock->used >= NP_FORWARD_SOCKET_QUERIES || now - sock->born_ms >= NP_FORWARD_SOCKET_AGE_MS)) {
        remote->current = NULL;
        close_if_idle(sock);
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
    bool taken = false;
    for (unsigned i = 0; i < sock->used; i++)
        taken |= sock->ids[i] == id;
    return taken;
}

/* Takes the socket's next place, with an ID of its own. */
static unsigned take_place(struct udp_socket *sock, int64_t sent_us)
{
    uint16_t id;
    do {
        np_forward_random(sock->remote->forward, &id, sizeof id);
    } while (id_taken(sock, id)); /* at most 63 of 65,536 are */
    unsigned place = sock->used++;
    sock->ids[place] = id;
    sock->sent_us[place] = sent_us;
    sock->waiting |= 1ull << place;
    return place;
}

/* A full buffer is like a packet lost on the way: the retry will see to it. */
static int send_packet(const struct udp_socket *sock, const uint8_t *packet, size_t len)
{
    for (;;) {
        ssize_t n = send(sock->fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

int np_forward_udp_send(struct question *question, struct remote *remote, unsigned how)
{
    uint8_t packet[QUERY_SIZE_MAX];
    struct udp_socket *sock;
    int rc = current_socket(remote, &sock);
    if (rc)
        return rc;
    int64_t now = (int64_t)uv_now(remote->forward->loop);
    struct np_try try =
        np_try_init(&question->attempt, np_forward_index(question, remote), &remote->state, how, now, np_forward_us());
    struct pending *pending = np_forward_try(question, remote, try);
    if (!pending)
        return NP_E_LIMIT;
    pending->place = (uint8_t)take_place(sock, pending->try.sent_us);
    pending->id = sock->ids[pending->place];
    pending->socket = sock;
    sock->tries[pending->place] = pending;
    sock->active++;
    remote->forward->stats.sent_udp++;
    rc = send_packet(sock, packet, np_forward_write(pending, packet, sizeof packet));
    if (rc)
        np_forward_try_end(pending);
    return rc;
}

void np_forward_udp_ping(struct remote *remote)
{
    static const struct np_name root = {.len = 1};
    uint8_t packet[QUERY_SIZE_MAX];
    struct udp_socket *sock;
    if (current_socket(remote, &sock))
        return;
    unsigned place = take_place(sock, np_forward_us());
    bool edns = np_upstream_has_edns(&remote->state, (int64_t)uv_now(remote->forward->loop));
    int len = np_query_write(packet, sizeof packet, sock->ids[place], NP_FLAG_RD, &root, NP_RR_NS, edns, false);
    remote->forward->stats.pinged++;
    if (len > 0)
        (void)send_packet(sock, packet, (size_t)len);
}

void np_forward_udp_take_off(struct pending *pending)
{
    struct udp_socket *sock = pending->socket;
    sock->tries[pending->place] = NULL;
    sock->active--;
    close_if_idle(sock);
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
