#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "resolver/base/ingress.h"
#include "resolver/server_private.h"

/* The answer's source address, where the socket is bound to none: where it is, the kernel takes that, and a control
 * message would only cost it a look whether the address is ours. The interface is named only where the address means
 * nothing without it: elsewhere the routing table knows better, for a client behind a router that is reached by another
 * way. Returns the length used. */
static size_t write_pktinfo(const struct listener *listener, const struct np_client *client, void *control)
{
    struct cmsghdr *cmsg = control;
    if (!listener->wildcard)
        return 0;
    if (client->local.family == AF_INET) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, client->local.bytes, 4);
        cmsg->cmsg_level = IPPROTO_IP;
        cmsg->cmsg_type = IP_PKTINFO;
        cmsg->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(cmsg), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    if (client->local.family == AF_INET6) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, client->local.bytes, 16);
        if (client->local.scope || client->remote.addr.scope)
            info.ipi6_ifindex = client->ifindex;
        cmsg->cmsg_level = IPPROTO_IPV6;
        cmsg->cmsg_type = IPV6_PKTINFO;
        cmsg->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(cmsg), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    return 0;
}

/* Sends what is ready. A packet the kernel refuses is passed over; when its buffers are full the rest is dropped, as a
 * network would: the clients ask again, and a queue here would only add delay. */
static void send_batch(struct listener *listener, unsigned count)
{
    struct np_server *server = listener->server;
    unsigned sent = 0;
    while (sent < count) {
        int n = sendmmsg(listener->fd, server->udp.out + sent, count - sent, 0);
        if (n > 0) {
            sent += (unsigned)n;
            server->stats.udp_out += (unsigned)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM) {
            server->stats.udp_dropped += count - sent;
            return;
        }
        server->stats.udp_dropped++;
        sent++;
    }
}

/* Serves packet i of the batch; returns true when its answer stands at place out. */
static bool serve_packet(struct listener *listener, unsigned i, unsigned out)
{
    struct np_server *server = listener->server;
    struct udp_batch *batch = &server->udp;
    struct msghdr *header = &batch->in[i].msg_hdr;
    struct np_ticket ticket = {.listener = listener->index, .serial = listener->serial};
    struct np_client *client = &ticket.client;
    server->stats.udp_in++;
    client->remote = np_endpoint_from_sockaddr((struct sockaddr *)&batch->peers[i]);
    /* A query from port 0 cannot be answered; one longer than the buffer is no query. */
    if (!np_ingress_read(header, &client->local, &client->ifindex) || (header->msg_flags & MSG_TRUNC) ||
        client->remote.port == 0) {
        server->stats.udp_dropped++;
        return false;
    }
    if (client->local.family == AF_UNSPEC)
        client->local = listener->local.addr;
    if (server->admit && !server->admit(server->ctx, client)) {
        server->stats.not_admitted++;
        return false;
    }
    long len = server->serve(server->ctx, &ticket, batch->in_data[i], batch->in[i].msg_len, batch->out_data[out],
                             sizeof batch->out_data[out]);
    if (len <= 0)
        return false;
    struct msghdr *answer = &batch->out[out].msg_hdr;
    batch->out_iov[out].iov_len = (size_t)len;
    answer->msg_name = header->msg_name;
    answer->msg_namelen = header->msg_namelen;
    answer->msg_controllen = write_pktinfo(listener, client, &batch->out_control[out]);
    answer->msg_control = answer->msg_controllen > 0 ? &batch->out_control[out] : NULL;
    return true;
}

/* What the kernel wrote into the header of a received packet, put back. */
static void reset_header(struct udp_batch *batch, unsigned i)
{
    batch->in[i].msg_hdr.msg_namelen = sizeof batch->peers[i];
    batch->in[i].msg_hdr.msg_controllen = sizeof batch->in_control[i];
}

void np_server_udp_init(struct np_server *server)
{
    struct udp_batch *batch = &server->udp;
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        batch->in_iov[i] = (struct iovec){batch->in_data[i], UDP_QUERY_MAX};
        batch->in[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->peers[i],
            .msg_iov = &batch->in_iov[i],
            .msg_iovlen = 1,
            .msg_control = &batch->in_control[i],
        };
        reset_header(batch, i);
        batch->out_iov[i].iov_base = batch->out_data[i];
        batch->out[i].msg_hdr = (struct msghdr){.msg_iov = &batch->out_iov[i], .msg_iovlen = 1};
    }
}

void np_server_udp_readable(struct listener *listener)
{
    struct udp_batch *batch = &listener->server->udp;
    for (int round = 0; round < UDP_BATCHES; round++) {
        int n = recvmmsg(listener->fd, batch->in, UDP_BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0)
            return;
        unsigned answers = 0;
        for (unsigned i = 0; i < (unsigned)n; i++)
            answers += serve_packet(listener, i, answers);
        if (answers > 0)
            send_batch(listener, answers);
        for (unsigned i = 0; i < (unsigned)n; i++)
            reset_header(batch, i);
        if (n < UDP_BATCH || listener->server->closing)
            return;
    }
}

void np_server_udp_reply(struct listener *listener, const struct np_client *client, const uint8_t *message, size_t len)
{
    struct sockaddr_storage peer;
    union {
        struct cmsghdr align;
        uint8_t bytes[UDP_CONTROL_LEN];
    } control;
    struct iovec iov = {(void *)(uintptr_t)message, len};
    struct msghdr header = {.msg_name = &peer, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    header.msg_namelen = np_endpoint_to_sockaddr(&client->remote, &peer);
    header.msg_controllen = write_pktinfo(listener, client, &control);
    if (header.msg_controllen == 0)
        header.msg_control = NULL;
    if (sendmsg(listener->fd, &header, MSG_DONTWAIT) < 0)
        listener->server->stats.udp_dropped++;
    else
        listener->server->stats.udp_out++;
}
