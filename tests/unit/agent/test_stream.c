/* A client and a server stream in one process, on one loop, over loopback. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "agent/tls/stream.h"
#include "resolver/base/error.h"
#include "tests/unit/agent/certs.h"

#define DEADLINE_MS 20000
#define LARGE       (3 * 1024 * 1024)

/* One end and what its owner has seen. */
struct side {
    struct np_stream *stream;
    int ready, closed, err;
    char why[128];
    size_t to_send, sent, received;
    size_t chunk;            /* bytes of one write, and so of a record; 0: as many as go */
    bool wrong;              /* a byte that was not the one expected */
    bool close_when_sent;    /* np_stream_close after the last byte */
    bool close_when_blocked; /* np_stream_close as soon as not everything was taken */
    bool close_when_ready;
    bool lazy;   /* takes one byte in three, and goes on only from the timer */
    bool asleep; /* takes nothing */
    bool abort_in_data;
    size_t close_after; /* np_stream_close when so much has come */
};

struct pair {
    uv_loop_t loop;
    uv_timer_t deadline;
    uv_timer_t tick;
    int listener;
    struct np_endpoint endpoint;
    struct side client, server;
    bool timed_out;
    bool slow; /* may take longer than a close's deadline */
};

static struct certs certs;
static struct np_tls_anchors *root;
static struct np_tls_identity *identity;

static uint8_t byte_at(size_t position)
{
    return (uint8_t)(position * 7 + position / 251);
}

static void send_more(struct side *side)
{
    static uint8_t chunk[20000];
    size_t most = side->chunk ? side->chunk : sizeof chunk;
    while (side->sent < side->to_send) {
        size_t n = side->to_send - side->sent < most ? side->to_send - side->sent : most;
        for (size_t i = 0; i < n; i++)
            chunk[i] = byte_at(side->sent + i);
        size_t taken = np_stream_write(side->stream, chunk, n);
        side->sent += taken;
        if (taken < n) {
            if (side->close_when_blocked)
                np_stream_close(side->stream);
            return;
        }
    }
    if (side->close_when_sent)
        np_stream_close(side->stream);
}

static void on_ready(void *ctx, struct np_stream *stream)
{
    struct side *side = ctx;
    side->stream = stream;
    side->ready++;
    if (side->close_when_ready)
        np_stream_close(stream);
    else
        send_more(side);
}

static size_t on_data(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len)
{
    struct side *side = ctx;
    size_t take = side->asleep ? 0 : side->lazy ? (len + 2) / 3 : len;
    for (size_t i = 0; i < take; i++)
        side->wrong |= data[i] != byte_at(side->received + i);
    side->received += take;
    if (side->abort_in_data)
        np_stream_abort(stream);
    if (side->close_after && side->received >= side->close_after)
        np_stream_close(stream);
    return take;
}

static void on_writable(void *ctx, struct np_stream *stream)
{
    (void)stream;
    send_more(ctx);
}

static void on_closed(void *ctx, int err, const char *why)
{
    struct side *side = ctx;
    side->closed++;
    side->err = err;
    side->stream = NULL;
    snprintf(side->why, sizeof side->why, "%s", why);
}

static const struct np_stream_events events = {on_ready, on_data, on_writable, on_closed};

static void on_deadline(uv_timer_t *timer)
{
    struct pair *pair = timer->data;
    pair->timed_out = true;
    uv_stop(&pair->loop);
}

static void on_tick(uv_timer_t *timer)
{
    struct pair *pair = timer->data;
    if (pair->client.lazy && pair->client.stream)
        np_stream_resume(pair->client.stream);
    if (pair->server.lazy && pair->server.stream)
        np_stream_resume(pair->server.stream);
    if (pair->client.closed && pair->server.closed)
        uv_timer_stop(timer);
}

static void pair_init(struct pair *pair)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    memset(pair, 0, sizeof *pair);
    uv_loop_init(&pair->loop);
    uv_timer_init(&pair->loop, &pair->deadline);
    uv_timer_init(&pair->loop, &pair->tick);
    pair->deadline.data = pair->tick.data = pair;
    uv_timer_start(&pair->deadline, on_deadline, DEADLINE_MS, 0);
    uv_timer_start(&pair->tick, on_tick, 1, 1);
    uv_unref((uv_handle_t *)&pair->deadline);
    uv_unref((uv_handle_t *)&pair->tick);
    pair->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(pair->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(pair->listener, 8), 0);
    assert_int_equal(getsockname(pair->listener, (struct sockaddr *)&address, &len), 0);
    pair->endpoint = np_endpoint_from_sockaddr((struct sockaddr *)&address);
}

static struct np_stream_options options_for(struct pair *pair, struct side *side)
{
    return (struct np_stream_options){
        .loop = &pair->loop, .events = events, .ctx = side, .handshake_ms = 10000, .idle_ms = 0};
}

static void pair_connect(struct pair *pair, const struct np_tls_anchors *anchors, const char *name, int64_t now_s)
{
    struct np_stream_options options = options_for(pair, &pair->client);
    assert_int_equal(np_stream_connect(&options, &pair->endpoint, name, anchors, now_s, &pair->client.stream), 0);
}

static void pair_accept(struct pair *pair)
{
    struct np_stream_options options = options_for(pair, &pair->server);
    int fd = accept(pair->listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(np_stream_accept(&options, fd, identity, NULL, &pair->server.stream), 0);
}

/* Runs until no stream is left, then takes the loop down. */
static void pair_run(struct pair *pair)
{
    uint64_t start = uv_now(&pair->loop);
    uv_run(&pair->loop, UV_RUN_DEFAULT);
    assert_false(pair->timed_out);
    if (!pair->slow) /* nobody waited for the deadline of a close: every close completes by itself */
        assert_true(uv_now(&pair->loop) - start < NP_STREAM_CLOSE_MS);
    uv_close((uv_handle_t *)&pair->deadline, NULL);
    uv_close((uv_handle_t *)&pair->tick, NULL);
    uv_run(&pair->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&pair->loop), 0);
    close(pair->listener);
}

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

static void test_hello_and_close(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    pair.client.to_send = 5;
    pair.server.to_send = 9;
    pair.server.close_after = 5;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.client.ready, 1);
    assert_int_equal(pair.server.ready, 1);
    assert_int_equal(pair.server.received, 5);
    assert_int_equal(pair.client.received, 9);
    assert_int_equal(pair.client.closed, 1);
    assert_int_equal(pair.server.closed, 1);
    assert_int_equal(pair.client.err, 0);
    assert_int_equal(pair.server.err, 0);
}

static void large(bool lazy)
{
    struct pair pair;
    pair_init(&pair);
    size_t size = lazy ? LARGE / 32 : LARGE;
    pair.slow = true;
    pair.client.to_send = size;
    pair.server.to_send = size + 12345;
    pair.client.lazy = pair.server.lazy = lazy;
    if (lazy)
        uv_ref((uv_handle_t *)&pair.tick); /* streams that wait for their owner keep no loop alive */
    pair.client.close_after = size + 12345;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.client.received, size + 12345);
    assert_int_equal(pair.server.received, size);
    assert_false(pair.client.wrong);
    assert_false(pair.server.wrong);
    assert_int_equal(pair.server.sent, size + 12345);
}

static void test_large_both_ways(void **state)
{
    (void)state;
    large(false);
}

static void test_back_pressure(void **state)
{
    (void)state;
    large(true);
}

/* Records so small that many come with one read, and end anywhere in it. */
static void small_records(size_t chunk, size_t size, bool lazy)
{
    struct pair pair;
    pair_init(&pair);
    pair.slow = true;
    pair.client.to_send = size;
    pair.client.chunk = chunk;
    pair.server.lazy = lazy;
    if (lazy)
        uv_ref((uv_handle_t *)&pair.tick);
    pair.server.close_after = size;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.server.received, size);
    assert_false(pair.server.wrong);
}

static void test_small_records(void **state)
{
    (void)state;
    small_records(1, 3000, false);
    small_records(37, 200000, false);
    small_records(37, 500, true);
    small_records(2021, 1000000, false); /* with its head and its tag as long as what is read at once */
    small_records(2021, 10000, true);
}

/* Everything that was written before a close arrives. */
static void test_close_after_write(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    pair.server.to_send = LARGE;
    pair.server.close_when_sent = true;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.client.received, LARGE);
    assert_false(pair.client.wrong);
    assert_int_equal(pair.client.err, 0);
    assert_int_equal(pair.server.err, 0);
}

/* A close while the peer goes on sending: what comes is thrown away, the close completes. */
static void test_close_with_unread_data(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    pair.client.to_send = LARGE;
    pair.server.lazy = true;
    pair.server.close_after = 3;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.server.closed, 1);
    assert_int_equal(pair.client.closed, 1);
    assert_int_equal(pair.server.err, 0);
}

static void on_wake(uv_timer_t *timer)
{
    struct pair *pair = timer->data;
    pair->client.asleep = false;
    if (pair->client.stream)
        np_stream_resume(pair->client.stream);
}

/* A client that reads nothing for longer than a close may take still gets everything that was written before it. */
static void test_close_waits_for_a_paused_peer(void **state)
{
    (void)state;
    struct pair pair;
    uv_timer_t wake;
    pair_init(&pair);
    uv_timer_init(&pair.loop, &wake);
    wake.data = &pair;
    uv_timer_start(&wake, on_wake, 300, 0);
    pair.client.asleep = true;
    pair.server.to_send = 16 * LARGE; /* more than the sockets' buffers */
    pair.server.close_when_blocked = true;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    struct np_stream_options options = options_for(&pair, &pair.server);
    options.idle_ms = 5000;
    options.close_ms = 50;
    assert_int_equal(np_stream_accept(&options, accept(pair.listener, NULL, NULL), identity, NULL, &pair.server.stream),
                     0);
    pair.slow = true;
    uv_run(&pair.loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&wake, NULL);
    pair_run(&pair);
    assert_true(pair.server.sent < 16 * LARGE);
    assert_int_equal(pair.client.received, pair.server.sent);
    assert_false(pair.client.wrong);
    assert_int_equal(pair.client.err, 0);
}

static void test_close_and_abort_in_callbacks(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    pair.client.close_when_ready = true;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.client.err, 0);
    assert_int_equal(pair.server.err, 0);

    pair_init(&pair);
    pair.client.to_send = 100;
    pair.server.abort_in_data = true;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.server.err, 0);
    assert_true(pair.client.err == NP_E_CLOSED || pair.client.err == -ECONNRESET);
}

/* A handshake that must fail at the client, and with which code and word. */
static void refused(const struct np_tls_anchors *anchors, const char *name, int64_t time_s, int code, const char *word)
{
    struct pair pair;
    pair_init(&pair);
    pair_connect(&pair, anchors, name, time_s);
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.client.err, code);
    if (!strstr(pair.client.why, word))
        fail_msg("\"%s\" does not contain \"%s\"", pair.client.why, word);
    assert_int_equal(pair.client.ready, 0);
    assert_int_equal(pair.server.ready, 0);
    assert_int_equal(pair.client.closed, 1);
    assert_int_equal(pair.server.closed, 1);
    assert_int_equal(pair.server.err, NP_E_TLS);
    if (!strstr(pair.server.why, "the peer refused"))
        fail_msg("the server was told \"%s\"", pair.server.why);
}

static void test_refused_certificates(void **state)
{
    (void)state;
    struct np_tls_anchors *other = certs_anchors(&certs, "other.pem");
    assert_non_null(other);
    refused(root, "other.example", now_s(), NP_E_NAME, "name mismatch");
    refused(root, "example", now_s(), NP_E_NAME, "name mismatch");
    refused(root, CERTS_NAME, now_s() + 25 * 86400, NP_E_DATE, "expired");
    refused(root, CERTS_NAME, 0, NP_E_DATE, "expired");
    refused(root, CERTS_NAME, -5, NP_E_DATE, "expired");
    refused(other, CERTS_NAME, now_s(), NP_E_CHAIN, ""); /* the same subject, another key */
    np_tls_anchors_free(other);
    struct np_tls_anchors *rsa = certs_anchors(&certs, "rsa.pem");
    assert_non_null(rsa);
    refused(rsa, CERTS_NAME, now_s(), NP_E_CHAIN, "unknown issuer");
    np_tls_anchors_free(rsa);
}

static void test_rsa_root(void **state)
{
    (void)state;
    struct np_tls_anchors *rsa = certs_anchors(&certs, "rsa.pem");
    struct np_tls_identity *ecdsa = identity;
    identity = certs_identity(&certs, "byrsa.pem");
    assert_non_null(identity);
    struct pair pair;
    pair_init(&pair);
    pair.client.close_when_ready = true;
    pair_connect(&pair, rsa, CERTS_NAME, now_s());
    pair_accept(&pair);
    np_tls_identity_unref(identity); /* the stream has its own reference */
    identity = ecdsa;
    pair_run(&pair);
    assert_int_equal(pair.client.ready, 1);
    assert_int_equal(pair.client.err, 0);
    np_tls_anchors_free(rsa);
}

static void test_no_name_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    struct np_stream_options options = options_for(&pair, &pair.client);
    struct np_stream *stream;
    assert_int_equal(np_stream_connect(&options, &pair.endpoint, NULL, root, now_s(), &stream), NP_E_NAME);
    assert_int_equal(np_stream_connect(&options, &pair.endpoint, "", root, now_s(), &stream), NP_E_NAME);
    pair_run(&pair);
    assert_int_equal(pair.client.closed, 0);
}

/* A peer that says nothing, one that sends no TLS, and one that is not there. */
static void test_bad_peers(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    struct np_stream_options options = options_for(&pair, &pair.client);
    options.handshake_ms = 30;
    assert_int_equal(np_stream_connect(&options, &pair.endpoint, CERTS_NAME, root, now_s(), &pair.client.stream), 0);
    int silent = accept(pair.listener, NULL, NULL);
    pair_run(&pair);
    close(silent);
    assert_int_equal(pair.client.err, -ETIMEDOUT);

    pair_init(&pair);
    pair_connect(&pair, root, CERTS_NAME, now_s());
    int talker = accept(pair.listener, NULL, NULL);
    assert_int_equal(write(talker, "SSH-2.0-OpenSSH_9.2\r\n", 21), 21);
    pair_run(&pair);
    close(talker);
    assert_int_equal(pair.client.err, NP_E_TLS);

    pair_init(&pair);
    close(pair.listener);
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_run(&pair);
    assert_int_equal(pair.client.err, -ECONNREFUSED);
}

/* A byte with each tick, of a record that could be a ServerHello's. */
struct trickle {
    uv_timer_t timer;
    int fd;
    size_t sent;
};

static void on_trickle(uv_timer_t *timer)
{
    static const uint8_t head[] = {22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb, 3, 3};
    struct trickle *trickle = timer->data;
    uint8_t byte = trickle->sent < sizeof head ? head[trickle->sent] : 0;
    if (write(trickle->fd, &byte, 1) == 1)
        trickle->sent++;
}

/* The handshake's deadline is over all of it: bytes that come one at a time do not put it off. */
static void test_slow_handshake(void **state)
{
    (void)state;
    struct pair pair;
    struct trickle trickle = {.sent = 0};
    pair_init(&pair);
    struct np_stream_options options = options_for(&pair, &pair.client);
    options.handshake_ms = 100;
    assert_int_equal(np_stream_connect(&options, &pair.endpoint, CERTS_NAME, root, now_s(), &pair.client.stream), 0);
    trickle.fd = accept(pair.listener, NULL, NULL);
    assert_int_equal(fcntl(trickle.fd, F_SETFL, O_NONBLOCK), 0);
    uv_timer_init(&pair.loop, &trickle.timer);
    trickle.timer.data = &trickle;
    uv_unref((uv_handle_t *)&trickle.timer);
    uv_timer_start(&trickle.timer, on_trickle, 10, 10);
    while (!pair.client.closed && !pair.timed_out)
        uv_run(&pair.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&trickle.timer, NULL);
    pair_run(&pair);
    close(trickle.fd);
    assert_true(trickle.sent > 0);
    assert_int_equal(pair.client.ready, 0);
    assert_int_equal(pair.client.err, -ETIMEDOUT);
}

static void test_idle(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    struct np_stream_options options = options_for(&pair, &pair.server);
    options.idle_ms = 40;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    int fd = accept(pair.listener, NULL, NULL);
    assert_int_equal(np_stream_accept(&options, fd, identity, NULL, &pair.server.stream), 0);
    pair_run(&pair);
    assert_int_equal(pair.server.ready, 1);
    assert_int_equal(pair.server.err, -ETIMEDOUT);
    assert_int_equal(pair.client.err, NP_E_CLOSED);
}

/* The server closes its socket without close_notify: not the same as an orderly end. */
static void test_truncated(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    pair.server.abort_in_data = true;
    pair.client.to_send = 1;
    pair_connect(&pair, root, CERTS_NAME, now_s());
    pair_accept(&pair);
    pair_run(&pair);
    assert_int_equal(pair.client.err, NP_E_CLOSED);
}

static void test_descriptor_stays_on_failure(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    struct np_stream_options options = options_for(&pair, &pair.server);
    struct np_stream *stream;
    assert_true(np_stream_accept(&options, -1, identity, NULL, &stream) < 0);
    pair_run(&pair);
    assert_int_equal(pair.server.closed, 0);
}

static int setup(void **state)
{
    (void)state;
    if (certs_make(&certs))
        return -1;
    root = certs_anchors(&certs, "root.pem");
    identity = certs_identity(&certs, "leaf.pem");
    return root && identity ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    np_tls_identity_unref(identity);
    np_tls_anchors_free(root);
    certs_remove(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_and_close),
        cmocka_unit_test(test_large_both_ways),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_small_records),
        cmocka_unit_test(test_close_after_write),
        cmocka_unit_test(test_close_with_unread_data),
        cmocka_unit_test(test_close_waits_for_a_paused_peer),
        cmocka_unit_test(test_close_and_abort_in_callbacks),
        cmocka_unit_test(test_refused_certificates),
        cmocka_unit_test(test_rsa_root),
        cmocka_unit_test(test_no_name_is_refused),
        cmocka_unit_test(test_bad_peers),
        cmocka_unit_test(test_slow_handshake),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_descriptor_stays_on_failure),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, setup, teardown);
}
