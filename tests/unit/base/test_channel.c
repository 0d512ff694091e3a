#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/channel.h"
#include "resolver/base/error.h"

#define TEST NP_FRAME('T', 'E', 'S', 'T')

static uint8_t buffer[NP_CHANNEL_FRAME_MAX + 4];

static int make_pair(void **state)
{
    static int fds[2];
    *state = fds;
    return np_channel_pair(fds);
}

static int close_pair(void **state)
{
    int *fds = *state;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *all = opendir("/proc/self/fd");
    while (all && readdir(all))
        count++;
    closedir(all);
    return count;
}

static void test_frames_keep_their_borders(void **state)
{
    int *fds = *state;
    struct np_frame frame;
    assert_int_equal(NP_FRAME('V', 'I', 'E', 'W'), 0x56494557);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), -EAGAIN);
    assert_int_equal(np_channel_send(fds[0], TEST, "one", 3, NULL, 0), 0);
    assert_int_equal(np_channel_send(fds[0], NP_FRAME('S', 'T', 'A', 'T'), NULL, 0, NULL, 0), 0);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(frame.type, TEST);
    assert_int_equal(frame.len, 3);
    assert_memory_equal(frame.payload, "one", 3);
    assert_int_equal(frame.fd_count, 0);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(frame.type, NP_FRAME('S', 'T', 'A', 'T'));
    assert_int_equal(frame.len, 0);
    assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void test_descriptors(void **state)
{
    int *fds = *state, pipe_fds[2];
    struct np_frame frame;
    unsigned before = open_descriptors();
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(np_channel_send(fds[0], TEST, "x", 1, pipe_fds, 2), 0);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(frame.fd_count, 2);
    assert_int_equal(fcntl(frame.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(write(frame.fds[1], "z", 1), 1); /* the same pipe, by other numbers */
    char byte = 0;
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'z');
    int taken = frame.fds[0];
    frame.fds[0] = -1;
    np_frame_close_fds(&frame);
    assert_true(fcntl(taken, F_GETFD) >= 0); /* the taken one is not closed */
    close(taken);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(open_descriptors(), before);
}

static void test_most_descriptors(void **state)
{
    int *fds = *state, many[NP_CHANNEL_FDS_MAX + 1];
    struct np_frame frame;
    for (size_t i = 0; i <= NP_CHANNEL_FDS_MAX; i++)
        many[i] = fds[0];
    assert_int_equal(np_channel_send(fds[0], TEST, "x", 1, many, NP_CHANNEL_FDS_MAX + 1), NP_E_LIMIT);
    assert_int_equal(np_channel_send(fds[0], TEST, "x", 1, many, NP_CHANNEL_FDS_MAX), 0);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(frame.fd_count, NP_CHANNEL_FDS_MAX);
    np_frame_close_fds(&frame);
    assert_int_equal(frame.fd_count, 0);
}

static void test_largest_frame(void **state)
{
    static uint8_t payload[NP_CHANNEL_FRAME_MAX + 1];
    int *fds = *state;
    struct np_frame frame;
    memset(payload, 7, sizeof payload);
    assert_int_equal(np_channel_send(fds[0], TEST, payload, sizeof payload, NULL, 0), NP_E_LIMIT);
    assert_int_equal(np_channel_send(fds[0], TEST, payload, NP_CHANNEL_FRAME_MAX, NULL, 0), 0);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(frame.len, NP_CHANNEL_FRAME_MAX);
    assert_int_equal(frame.payload[frame.len - 1], 7);
}

static void test_slow_peer(void **state)
{
    static uint8_t payload[60000];
    int *fds = *state, sent = 0, rc;
    struct np_frame frame;
    while ((rc = np_channel_send(fds[0], TEST, payload, sizeof payload, NULL, 0)) == 0 && sent < 1000)
        sent++;
    assert_int_equal(rc, -EAGAIN);
    assert_true(sent >= 1 && sent < 100);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(np_channel_send(fds[0], TEST, payload, sizeof payload, NULL, 0), 0); /* room again */
}

/* Sends raw bytes with descriptors, past what np_channel_send would do. */
static void send_raw(int fd, size_t len, const int *passed, size_t count)
{
    static uint8_t zero[NP_CHANNEL_FRAME_MAX + 1000];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 200)];
    } control = {.bytes = {0}};
    struct iovec iov = {zero, len};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(cmsg), passed, sizeof(int) * count);
    }
    assert_int_equal(sendmsg(fd, &message, 0), len);
}

static void test_bad_frames(void **state)
{
    int *fds = *state, many[200];
    struct np_frame frame;
    for (size_t i = 0; i < 200; i++)
        many[i] = fds[0];
    unsigned before = open_descriptors();
    for (size_t len = 1; len < 4; len++) { /* shorter than a type, with descriptors that must not leak */
        send_raw(fds[0], len, many, 2);
        assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), NP_E_MALFORMED);
    }
    send_raw(fds[0], sizeof buffer + 1, many, 3); /* cut */
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), NP_E_MALFORMED);
    send_raw(fds[0], 10, many, 200); /* more descriptors than fit */
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), NP_E_MALFORMED);
    assert_int_equal(open_descriptors(), before);
    send_raw(fds[0], 4, NULL, 0); /* and the channel goes on */
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0);
    assert_int_equal(frame.len, 0);
}

static void test_end(void **state)
{
    struct np_frame frame;
    int fds[2];
    (void)state;
    assert_int_equal(np_channel_pair(fds), 0);
    assert_int_equal(np_channel_send(fds[0], TEST, "last", 4, NULL, 0), 0);
    close(fds[0]);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), 0); /* what was sent still comes */
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), NP_E_CLOSED);
    assert_int_equal(np_channel_receive(fds[1], buffer, sizeof buffer, &frame), NP_E_CLOSED);
    assert_int_equal(np_channel_send(fds[1], TEST, "x", 1, NULL, 0), NP_E_CLOSED); /* and no SIGPIPE */
    close(fds[1]);
    assert_int_equal(np_channel_send(fds[1], TEST, "x", 1, NULL, 0), -EBADF);
}

/* A peer that dies with unread frames gives ECONNRESET, not an end. */
static void test_death_with_unread_frames(void **state)
{
    struct np_frame frame;
    int fds[2];
    (void)state;
    assert_int_equal(np_channel_pair(fds), 0);
    assert_int_equal(np_channel_send(fds[0], TEST, "unread", 6, NULL, 0), 0);
    close(fds[1]);
    int rc = np_channel_receive(fds[0], buffer, sizeof buffer, &frame);
    assert_int_equal(rc, NP_E_CLOSED);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frames_keep_their_borders, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_descriptors, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_most_descriptors, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_largest_frame, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_slow_peer, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_bad_frames, make_pair, close_pair),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_death_with_unread_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
