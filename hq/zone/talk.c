#include "hq/zone/talk.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "resolver/base/error.h"

int np_talk_open(struct np_talk *talk, const struct np_endpoint *server)
{
    const struct timeval timeout = {.tv_sec = NP_TALK_TIMEOUT_MS / 1000};
    const int on = 1;
    struct sockaddr_storage address;
    socklen_t len = np_endpoint_to_sockaddr(server, &address);
    talk->len = 0;
    talk->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (talk->fd < 0)
        return -errno;
    /* The send timeout is connect's, too. */
    if (setsockopt(talk->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ||
        setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) ||
        setsockopt(talk->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        connect(talk->fd, (const struct sockaddr *)&address, len)) {
        int rc = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
        np_talk_close(talk);
        return rc;
    }
    return 0;
}

static int send_all(int fd, const uint8_t *data, size_t len, int flags)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL | flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int np_talk_send(struct np_talk *talk, const uint8_t *message, size_t len)
{
    const uint8_t prefix[2] = {(uint8_t)(len >> 8), (uint8_t)len};
    int rc = send_all(talk->fd, prefix, sizeof prefix, MSG_MORE);
    return rc ? rc : send_all(talk->fd, message, len, 0);
}

static int receive_all(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(fd, out, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n == 0)
            return NP_E_CLOSED;
        out += n;
        len -= (size_t)n;
    }
    return 0;
}

int np_talk_receive(struct np_talk *talk)
{
    uint8_t prefix[2];
    int rc = receive_all(talk->fd, prefix, sizeof prefix);
    if (rc)
        return rc;
    size_t len = (size_t)prefix[0] << 8 | prefix[1];
    rc = receive_all(talk->fd, talk->buffer, len);
    talk->len = rc ? 0 : len;
    return rc;
}

void np_talk_close(struct np_talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    talk->fd = -1;
}
