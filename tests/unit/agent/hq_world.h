/* hq_world: a name server, an HTTPS server that plays HQ and a client of it, all on one loop over loopback.
 *
 * world_init, then change what the servers do (a_records, a, aaaa, answers, close_after_answer), ask through
 * world.client, world_end. Included once, by test_hqclient.c. */
#ifndef TESTS_UNIT_AGENT_HQ_WORLD_H
#define TESTS_UNIT_AGENT_HQ_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "agent/tls/hqclient.h"
#include "agent/tls/stream.h"
#include "tests/unit/agent/certs.h"

#define DEADLINE_MS 20000
#define OK_ANSWER   "HTTP/1.1 200 OK\r\nReplay-Nonce: n1\r\nContent-Length: 2\r\n\r\nhi"
#define DIE         NULL /* instead of an answer: close the socket */

enum { LISTENERS = 2, SERVE = 0, SILENT = 1, REFUSE = 2 }; /* on 127.0.0.1 and 127.0.0.2, one port */
enum dns_mode { DNS_ANSWER, DNS_NODATA, DNS_SILENT, DNS_NXDOMAIN };

struct world;

struct served {
    struct world *world;
    struct np_stream *stream;
    size_t len;
    char text[4096]; /* the request so far */
};

struct listener {
    uv_poll_t poll;
    int fd;
    int mode;
    struct world *world;
};

struct world {
    uv_loop_t loop;
    uv_timer_t deadline;
    uv_udp_t dns;
    struct np_endpoint dns_endpoint;
    const char *a_records[3]; /* NULL ends */
    enum dns_mode a, aaaa;
    int questions;
    struct listener listeners[LISTENERS];
    int silent_fd;
    uint16_t port;
    const char *answers[8]; /* to the first, second, ... request */
    bool close_after_answer;
    int connections, requests;
    struct served *last; /* the connection accepted last, while it lives */
    char request[4096];  /* the request that came last */
    struct np_tls_identity *identity;
    struct np_hqclient *client;
    int64_t now;
    int done, err, status;
    char why[256], body[256], nonce[NP_HTTP_NONCE_MAX + 1];
    void (*then)(struct world *world); /* called at the end of each done */
    bool freed;
};

static struct certs certs;
static struct np_tls_anchors *root;
static struct np_tls_identity *identity;

/* The name server: one question, answered with the A records, or as the modes say. */

static void on_sent(uv_udp_send_t *send, int status)
{
    (void)status;
    free(send->data);
    free(send);
}

static void dns_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char space[2048];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(space, sizeof space);
}

static void dns_reply(struct world *world, const uint8_t *query, size_t question_len, const struct sockaddr *to,
                      enum dns_mode mode, bool is_a)
{
    uint8_t *reply = calloc(1, 1024);
    size_t len = 12 + question_len;
    memcpy(reply, query, len);
    reply[2] = 0x81;
    reply[3] = mode == DNS_NXDOMAIN ? 0x83 : 0x80;
    memset(reply + 6, 0, 6);
    for (size_t i = 0; is_a && mode == DNS_ANSWER && i < 3 && world->a_records[i]; i++) {
        static const uint8_t fixed[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};
        struct np_addr address;
        np_addr_parse(world->a_records[i], &address);
        memcpy(reply + len, fixed, sizeof fixed);
        memcpy(reply + len + sizeof fixed, address.bytes, 4);
        len += sizeof fixed + 4;
        reply[7]++;
    }
    uv_udp_send_t *send = malloc(sizeof *send);
    send->data = reply;
    uv_buf_t buf = uv_buf_init((char *)reply, (unsigned)len);
    assert_int_equal(uv_udp_send(send, &world->dns, &buf, 1, to, on_sent), 0);
}

static void on_question(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct world *world = udp->data;
    const uint8_t *query = (const uint8_t *)buf->base;
    (void)flags;
    if (n < 17 || !from)
        return;
    size_t pos = 12;
    while (pos < (size_t)n && query[pos])
        pos += query[pos] + 1u;
    bool is_a = query[pos + 2] == 1;
    enum dns_mode mode = is_a ? world->a : world->aaaa;
    world->questions++;
    if (mode != DNS_SILENT)
        dns_reply(world, query, pos + 5 - 12, from, mode, is_a);
}

/* HQ. */

static void answer(struct served *served)
{
    struct world *world = served->world;
    const char *text = world->requests < 8 ? world->answers[world->requests] : DIE;
    world->requests++;
    memcpy(world->request, served->text, sizeof world->request);
    served->len = 0;
    memset(served->text, 0, sizeof served->text);
    if (!text) {
        np_stream_abort(served->stream);
        return;
    }
    assert_int_equal(np_stream_write(served->stream, text, strlen(text)), strlen(text));
    if (world->close_after_answer)
        np_stream_close(served->stream);
}

static size_t served_data(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len)
{
    struct served *served = ctx;
    (void)stream;
    assert_true(len < sizeof served->text - served->len);
    memcpy(served->text + served->len, data, len);
    served->len += len;
    char *end = strstr(served->text, "\r\n\r\n"), *length = strstr(served->text, "Content-Length: ");
    if (end && served->len >= (size_t)(end + 4 - served->text) + (length ? strtoul(length + 16, NULL, 10) : 0))
        answer(served);
    return len;
}

static void served_closed(void *ctx, int err, const char *why)
{
    struct served *served = ctx;
    (void)err;
    (void)why;
    if (served->world->last == served)
        served->world->last = NULL;
    free(served);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    struct world *world = listener->world;
    (void)status;
    (void)events;
    int fd = accept(listener->fd, NULL, NULL);
    assert_true(fd >= 0);
    if (listener->mode == SILENT) {
        world->silent_fd = fd;
        return;
    }
    struct served *served = calloc(1, sizeof *served);
    served->world = world;
    struct np_stream_options options = {.loop = &world->loop,
                                        .events = {.on_data = served_data, .on_closed = served_closed},
                                        .ctx = served,
                                        .handshake_ms = 5000};
    assert_int_equal(np_stream_accept(&options, fd, world->identity, NULL, &served->stream), 0);
    world->connections++;
    world->last = served;
}

/* The world. */

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the test hangs");
}

static int64_t world_now(void *ctx)
{
    return ((struct world *)ctx)->now;
}

static void listener_open(struct world *world, int i, int mode)
{
    struct listener *listener = &world->listeners[i];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(world->port)};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)i);
    listener->mode = mode;
    listener->world = world;
    listener->fd = -1;
    if (mode == REFUSE)
        return;
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener->fd, 8), 0);
    assert_int_equal(getsockname(listener->fd, (struct sockaddr *)&address, &len), 0);
    world->port = ntohs(address.sin_port);
    uv_poll_init(&world->loop, &listener->poll, listener->fd);
    listener->poll.data = listener;
    uv_poll_start(&listener->poll, UV_READABLE, on_connection);
    uv_unref((uv_handle_t *)&listener->poll);
}

static void world_init(struct world *world, int second_listener)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    memset(world, 0, sizeof *world);
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->deadline);
    uv_timer_start(&world->deadline, on_deadline, DEADLINE_MS, 0);
    uv_unref((uv_handle_t *)&world->deadline);
    uv_udp_init(&world->loop, &world->dns);
    world->dns.data = world;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(uv_udp_bind(&world->dns, (struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_udp_getsockname(&world->dns, (struct sockaddr *)&address, &len), 0);
    world->dns_endpoint = np_endpoint_from_sockaddr((struct sockaddr *)&address);
    uv_udp_recv_start(&world->dns, dns_alloc, on_question);
    uv_unref((uv_handle_t *)&world->dns);
    listener_open(world, 0, SERVE);
    listener_open(world, 1, second_listener);
    world->a_records[0] = "127.0.0.1";
    world->aaaa = DNS_NODATA;
    world->silent_fd = -1;
    world->identity = identity;
    world->now = time(NULL);
    for (int i = 0; i < 8; i++)
        world->answers[i] = OK_ANSWER;
    char url[64];
    snprintf(url, sizeof url, "https://%s:%u", CERTS_NAME, world->port);
    assert_int_equal(np_hqclient_new(&world->loop, url, root, world_now, world, &world->client), 0);
    np_hqclient_set_servers(world->client, &world->dns_endpoint, 1);
}

static void world_end(struct world *world)
{
    if (!world->freed)
        np_hqclient_free(world->client, NULL, NULL);
    uv_close((uv_handle_t *)&world->deadline, NULL);
    uv_close((uv_handle_t *)&world->dns, NULL);
    for (int i = 0; i < LISTENERS; i++) {
        if (world->listeners[i].fd >= 0)
            uv_close((uv_handle_t *)&world->listeners[i].poll, NULL);
    }
    uv_run(&world->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < LISTENERS; i++) {
        if (world->listeners[i].fd >= 0)
            close(world->listeners[i].fd);
    }
    if (world->silent_fd >= 0)
        close(world->silent_fd);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}

#endif
