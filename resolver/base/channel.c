#include "resolver/base/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"

int np_channel_pair(int out_fds[2])
{
    int fds[2], size = NP_CHANNEL_FRAME_MAX + 4096;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size,
                         sizeof size); /* capped by wmem_max; the default suffices */
    out_fds[0] = fds[0];
    out_fds[1] = fds[1];
    return 0;
}

int np_channel_send(int fd, uint32_t type, const void *payload, size_t len, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * NP_CHANNEL_FDS_MAX)];
    } control;
    if (len > NP_CHANNEL_FRAME_MAX || fd_count > NP_CHANNEL_FDS_MAX)
        return NP_E_LIMIT;
    uint8_t head[4];
    struct np_writer w = np_writer_make(head, sizeof head);
    np_write_u32(&w, type);
    struct iovec iov[2] = {{head, sizeof head}, {(void *)(uintptr_t)payload, len}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    return errno == EPIPE || errno == ECONNRESET ? NP_E_CLOSED : -errno;
}

static void take_fds(struct msghdr *message, struct np_frame *frame)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
            if (frame->fd_count < NP_CHANNEL_FDS_MAX)
                frame->fds[frame->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

int np_channel_receive(int fd, uint8_t *buffer, size_t size, struct np_frame *out_frame)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * NP_CHANNEL_FDS_MAX)];
    } control;
    struct iovec iov = {buffer, size};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do {
        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? NP_E_CLOSED : -errno;
    if (n == 0)
        return NP_E_CLOSED;
    struct np_frame frame = {0};
    take_fds(&message, &frame);
    struct np_reader r = np_reader_make(buffer, (size_t)n);
    frame.type = np_read_u32(&r);
    frame.len = np_reader_left(&r);
    frame.payload = np_read_bytes(&r, frame.len);
    if (r.error || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        np_frame_close_fds(&frame);
        return NP_E_MALFORMED;
    }
    *out_frame = frame;
    return 0;
}

void np_frame_close_fds(struct np_frame *frame)
{
    for (size_t i = 0; i < frame->fd_count; i++) {
        if (frame->fds[i] >= 0)
            close(frame->fds[i]);
        frame->fds[i] = -1;
    }
    frame->fd_count = 0;
}
