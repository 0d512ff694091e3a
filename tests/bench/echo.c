/* bench_echo: the limit that the resolver's answers are measured against: a UDP server that does nothing but receive
 * with recvmmsg and send the same packets back with sendmmsg, in one thread that blocks in recvmmsg.
 *
 *   bench_echo ADDR:PORT [pktinfo] [epoll]
 *
 * pktinfo also asks for each packet's local address and sends from it, epoll waits in epoll_wait as a server with more
 * than one socket must. "The limit" in docs/bench.md is the plain form, without either. IPv4 alone. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "resolver/base/address.h"

#define BATCH       32 /* as the resolver's */
#define PACKET_MAX  2048
#define CONTROL_LEN 64
#define BUFFER      (1 << 20)

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in peers[BATCH];
    union {
        struct cmsghdr align;
        unsigned char bytes[CONTROL_LEN];
    } control[BATCH];
    unsigned char data[BATCH][PACKET_MAX];
};

static int die(const char *what)
{
    fprintf(stderr, "bench_echo: %s: %s\n", what, strerror(errno));
    return 1;
}

static int open_socket(const char *address, bool pktinfo)
{
    struct np_endpoint endpoint;
    struct sockaddr_storage local;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = BUFFER, on = 1;
    if (fd < 0 || np_endpoint_parse(address, 0, &endpoint))
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (pktinfo && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on))
        return -1;
    socklen_t len = np_endpoint_to_sockaddr(&endpoint, &local);
    return bind(fd, (struct sockaddr *)&local, len) ? -1 : fd;
}

static void prepare(struct batch *batch, unsigned i, bool pktinfo)
{
    batch->iov[i] = (struct iovec){batch->data[i], PACKET_MAX};
    batch->messages[i].msg_hdr = (struct msghdr){
        .msg_name = &batch->peers[i],
        .msg_namelen = sizeof batch->peers[i],
        .msg_iov = &batch->iov[i],
        .msg_iovlen = 1,
        .msg_control = pktinfo ? &batch->control[i] : NULL,
        .msg_controllen = pktinfo ? sizeof batch->control[i] : 0,
    };
}

/* Turns what was received into what is sent. The control message that came in is the one that goes out: its
 * ipi_spec_dst is the local address. */
static void turn(struct batch *batch, unsigned i, bool pktinfo)
{
    batch->iov[i].iov_len = batch->messages[i].msg_len;
    if (!pktinfo)
        return;
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&batch->messages[i].msg_hdr);
    struct in_pktinfo *info = cmsg ? (struct in_pktinfo *)(void *)CMSG_DATA(cmsg) : NULL;
    if (info)
        info->ipi_ifindex = 0;
}

static int serve(int fd, int epoll, bool pktinfo, struct batch *batch)
{
    for (unsigned i = 0; i < BATCH; i++)
        prepare(batch, i, pktinfo);
    for (;;) {
        struct epoll_event event;
        if (epoll >= 0 && epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
            return die("epoll_wait");
        int n = recvmmsg(fd, batch->messages, BATCH, epoll >= 0 ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return die("recvmmsg");
        for (int i = 0; i < n; i++)
            turn(batch, (unsigned)i, pktinfo);
        for (int sent = 0; sent < n;) {
            int m = sendmmsg(fd, batch->messages + sent, (unsigned)(n - sent), 0);
            sent += m > 0 ? m : 1; /* one that the kernel refuses is passed over */
        }
        for (int i = 0; i < n; i++)
            prepare(batch, (unsigned)i, pktinfo);
    }
}

int main(int argc, char **argv)
{
    bool pktinfo = false, wait = false;
    for (int i = 2; i < argc; i++) {
        pktinfo = pktinfo || strcmp(argv[i], "pktinfo") == 0;
        wait = wait || strcmp(argv[i], "epoll") == 0;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: bench_echo ADDR:PORT [pktinfo] [epoll]\n");
        return 2;
    }
    int fd = open_socket(argv[1], pktinfo), epoll = wait ? epoll_create1(EPOLL_CLOEXEC) : -1;
    struct epoll_event readable = {.events = EPOLLIN};
    struct batch *batch = calloc(1, sizeof *batch);
    if (fd < 0 || (wait && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable)) || !batch)
        return die(argv[1]);
    return serve(fd, epoll, pktinfo, batch);
}
