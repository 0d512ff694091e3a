/* The stream channel: its messages, and the two ends of one on a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/peer.h"

static struct np_addr address(const char *text)
{
    struct np_addr addr;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    return addr;
}

static struct np_peer_message client_message(const char *remote, const char *local)
{
    struct np_peer_message message;
    memset(&message, 0, sizeof message);
    message.client.remote.addr = address(remote);
    message.client.remote.port = 50123;
    message.client.local = address(local);
    message.client.ifindex = 7;
    message.client.tcp = message.client.tls = true;
    return message;
}

static void test_client(void **state)
{
    (void)state;
    static const struct {
        const char *remote, *local;
    } rows[] = {{"192.168.1.7", "192.168.1.1"}, {"fd42::7", "fd42::1"}, {"fe80::7%7", "fe80::1%7"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_peer_message message = client_message(rows[i].remote, rows[i].local), again;
        uint8_t out[NP_PEER_MESSAGE_MAX];
        long len = np_peer_encode(NP_PEER_CLIENT, &message, out);
        assert_true(len > 0);
        assert_int_equal(np_peer_decode(NP_PEER_CLIENT, out, (size_t)len, &again), 0);
        assert_true(np_addr_equal(&again.client.remote.addr, &message.client.remote.addr));
        assert_true(np_addr_equal(&again.client.local, &message.client.local));
        assert_int_equal(again.client.remote.port, 50123);
        assert_int_equal(again.client.ifindex, 7);
        assert_true(again.client.tcp && again.client.tls);
        /* Cut anywhere, or with more behind it. */
        for (size_t cut = 0; cut < (size_t)len; cut++)
            assert_int_equal(np_peer_decode(NP_PEER_CLIENT, out, cut, &again), NP_E_MALFORMED);
        assert_int_equal(np_peer_decode(NP_PEER_CLIENT, out, (size_t)len + 1, &again), NP_E_MALFORMED);
        out[0] = 5; /* no family */
        assert_int_equal(np_peer_decode(NP_PEER_CLIENT, out, (size_t)len, &again), NP_E_MALFORMED);
    }
    /* Only a link-local address has a scope. */
    static const uint8_t scoped[] = "\4\300\250\1\7\0\0\0\1\303\313\4\300\250\1\1\0\0\0\0\0\0\0\7";
    struct np_peer_message message;
    assert_int_equal(np_peer_decode(NP_PEER_CLIENT, scoped, sizeof scoped - 1, &message), NP_E_MALFORMED);
}

static void test_open(void **state)
{
    (void)state;
    struct np_peer_message message = {.id = 0xfffffffe}, again;
    uint8_t out[NP_PEER_MESSAGE_MAX];
    const char *why;
    assert_int_equal(np_view_upstream_parse("tls://[2001:db8::53]#dns.example trust-ad", &message.server, &why), 0);
    long len = np_peer_encode(NP_PEER_OPEN, &message, out);
    assert_true(len > 0);
    assert_int_equal(np_peer_decode(NP_PEER_OPEN, out, (size_t)len, &again), 0);
    assert_int_equal(again.id, message.id);
    assert_true(np_view_upstream_equal(&again.server, &message.server));
    for (size_t cut = 0; cut < (size_t)len; cut++)
        assert_int_equal(np_peer_decode(NP_PEER_OPEN, out, cut, &again), NP_E_MALFORMED);
    /* A server in clear text is nothing for the front. */
    assert_int_equal(np_view_upstream_parse("192.0.2.53", &message.server, &why), 0);
    len = np_peer_encode(NP_PEER_OPEN, &message, out);
    assert_int_equal(np_peer_decode(NP_PEER_OPEN, out, (size_t)len, &again), NP_E_MALFORMED);
}

static void test_answers(void **state)
{
    (void)state;
    struct np_peer_message message = {.id = 3, .reason = NP_PEER_NAME}, again;
    uint8_t out[NP_PEER_MESSAGE_MAX];
    long len = np_peer_encode(NP_PEER_STREAM, &message, out);
    assert_int_equal(len, 4);
    assert_int_equal(np_peer_decode(NP_PEER_STREAM, out, 4, &again), 0);
    assert_int_equal(again.id, 3);
    assert_int_equal(np_peer_decode(NP_PEER_STREAM, out, 3, &again), NP_E_MALFORMED);
    memset(message.why, 'x', sizeof message.why - 1);
    len = np_peer_encode(NP_PEER_FAILED, &message, out);
    assert_int_equal(np_peer_decode(NP_PEER_FAILED, out, (size_t)len, &again), 0);
    assert_int_equal(again.reason, NP_PEER_NAME);
    assert_string_equal(again.why, message.why);
    out[7] = 1; /* a control character */
    assert_int_equal(np_peer_decode(NP_PEER_FAILED, out, (size_t)len, &again), NP_E_MALFORMED);
    out[7] = 'x';
    out[4] = NP_PEER_REASONS;
    assert_int_equal(np_peer_decode(NP_PEER_FAILED, out, (size_t)len, &again), NP_E_MALFORMED);
    assert_int_equal(np_peer_decode(NP_FRAME('N', 'E', 'W', 'S'), out, 4, &again), NP_E_UNKNOWN);
    assert_int_equal(np_peer_encode(NP_FRAME('N', 'E', 'W', 'S'), &message, out), NP_E_UNKNOWN);
    for (int i = 0; i < NP_PEER_REASONS; i++)
        assert_true(strlen(np_peer_reason_name((enum np_peer_reason)i)) > 0);
}

/* Two ends. */

struct end {
    struct np_peer *peer;
    unsigned frames, gone;
    uint32_t last_type;
    struct np_peer_message last;
    int last_fd; /* taken */
};

static void on_frame(void *ctx, uint32_t type, const struct np_peer_message *message, int *fd)
{
    struct end *end = ctx;
    end->frames++;
    end->last_type = type;
    end->last = *message;
    if (end->last_fd >= 0)
        close(end->last_fd);
    end->last_fd = *fd;
    *fd = -1;
}

static void on_gone(void *ctx)
{
    struct end *end = ctx;
    end->gone++;
}

static const struct np_peer_events events = {on_frame, on_gone};

struct fixture {
    uv_loop_t loop;
    struct end a, b;
    int raw; /* b's descriptor where b is not made */
};

static void begin(struct fixture *f, bool both)
{
    int fds[2];
    memset(f, 0, sizeof *f);
    f->a.last_fd = f->b.last_fd = f->raw = -1;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(np_channel_pair(fds), 0);
    assert_int_equal(np_peer_new(&f->loop, fds[0], &events, &f->a, &f->a.peer), 0);
    if (both)
        assert_int_equal(np_peer_new(&f->loop, fds[1], &events, &f->b, &f->b.peer), 0);
    else
        f->raw = fds[1];
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 50; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void end(struct fixture *f)
{
    np_peer_close(f->a.peer);
    np_peer_close(f->b.peer);
    if (f->a.last_fd >= 0)
        close(f->a.last_fd);
    if (f->b.last_fd >= 0)
        close(f->b.last_fd);
    if (f->raw >= 0)
        close(f->raw);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

/* More at once than the kernel takes: all arrive, in order, with their descriptors. */
static void test_queue(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true);
    struct np_peer_message message = client_message("192.168.1.7", "192.168.1.1");
    unsigned sent = 0;
    for (unsigned i = 0; i < 40; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        message.client.remote.port = (uint16_t)(1000 + i);
        assert_int_equal(write(pair[0], &i, sizeof i), sizeof i);
        assert_int_equal(np_peer_send_take(f.a.peer, NP_PEER_CLIENT, &message, pair[1]), 0);
        close(pair[0]);
        sent++;
    }
    turn(&f);
    assert_int_equal(f.b.frames, sent);
    assert_int_equal(f.b.last.client.remote.port, 1000 + sent - 1);
    unsigned last;
    assert_int_equal(read(f.b.last_fd, &last, sizeof last), sizeof last);
    assert_int_equal(last, sent - 1);
    /* And back, without a descriptor. */
    message.id = 9;
    message.reason = NP_PEER_DATE;
    memcpy(message.why, "expired", sizeof "expired");
    assert_int_equal(np_peer_send_take(f.b.peer, NP_PEER_FAILED, &message, -1), 0);
    turn(&f);
    assert_int_equal(f.a.last_type, NP_PEER_FAILED);
    assert_string_equal(f.a.last.why, "expired");
    end(&f);
}

/* The other side does not read: what is too much is refused, and no descriptor leaks. */
static void test_limit(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    struct np_peer_message message = client_message("192.168.1.7", "192.168.1.1");
    int rc = 0, first = dup(f.raw), count = 0;
    close(first);
    while (rc == 0 && count < 5000) {
        int fd = dup(f.raw);
        assert_true(fd >= 0 && fd < first + NP_PEER_QUEUE_MAX + 1);
        rc = np_peer_send_take(f.a.peer, NP_PEER_CLIENT, &message, fd);
        count++;
    }
    assert_int_equal(rc, NP_E_LIMIT);
    assert_true(count > NP_PEER_QUEUE_MAX);
    end(&f);
}

static void test_gone(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true);
    np_peer_close(f.b.peer);
    f.b.peer = NULL;
    turn(&f);
    assert_int_equal(f.a.gone, 1);
    struct np_peer_message message = client_message("192.168.1.7", "192.168.1.1");
    assert_int_equal(np_peer_send_take(f.a.peer, NP_PEER_CLIENT, &message, dup(0)), NP_E_CLOSED);
    turn(&f);
    assert_int_equal(f.a.gone, 1);
    end(&f);
}

/* Nonsense ends the channel; a later version's frame does not. */
static void test_nonsense(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *payload;
        size_t len;
        int fds;
        bool ends;
    } rows[] = {
        {NP_FRAME('N', 'E', 'W', 'S'), "anything", 8, 1, false},
        {NP_PEER_STREAM, "\0\0\0\1", 4, 1, false},
        {NP_PEER_STREAM, "\0\0\0\1", 4, 0, true},
        {NP_PEER_STREAM, "\0\0\0\1", 4, 2, true},
        {NP_PEER_STREAM, "\0\0\0", 3, 1, true},
        {NP_PEER_FAILED, "\0\0\0\1\1\0\0", 7, 0, false},
        {NP_PEER_FAILED, "\0\0\0\1\1\0\0", 7, 1, true},
        {NP_PEER_CLIENT, "", 0, 1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        begin(&f, false);
        int fds[2] = {f.raw, f.raw};
        assert_int_equal(np_channel_send(f.raw, rows[i].type, rows[i].payload, rows[i].len, fds, (size_t)rows[i].fds),
                         0);
        turn(&f);
        if (f.a.gone != rows[i].ends)
            fail_msg("row %zu", i);
        end(&f);
    }
    struct fixture f;
    uint8_t longest[NP_PEER_MESSAGE_MAX + 5] = {0};
    begin(&f, false);
    assert_int_equal(np_channel_send(f.raw, NP_FRAME('N', 'E', 'W', 'S'), longest, sizeof longest, NULL, 0), 0);
    turn(&f);
    assert_int_equal(f.a.gone, 1);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client),   cmocka_unit_test(test_open),  cmocka_unit_test(test_answers),
        cmocka_unit_test(test_queue),    cmocka_unit_test(test_limit), cmocka_unit_test(test_gone),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
