/* The client against a name server and an HTTPS server of the test's own, all on one loop over loopback. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "agent/tls/hqclient.h"
#include "agent/tls/stream.h"
#include "resolver/base/error.h"
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

static void on_done(void *ctx, int err, const char *why, const struct np_http_response *response)
{
    struct world *world = ctx;
    world->done++;
    world->err = err;
    assert_non_null(why);
    snprintf(world->why, sizeof world->why, "%s", why);
    world->status = response ? response->status : 0;
    snprintf(world->body, sizeof world->body, "%s", response ? response->body : "");
    snprintf(world->nonce, sizeof world->nonce, "%s", response ? response->nonce : "");
    assert_true((err == 0) == (response != NULL));
    if (world->then)
        world->then(world);
}

/* Sends a request and runs until its done (or until done was called as often as before plus one). */
static void ask_with(struct world *world, const struct np_hq_request *request)
{
    int before = world->done;
    assert_int_equal(np_hqclient_send(world->client, request, on_done, world), 0);
    assert_int_equal(world->done, before);
    while (world->done == before)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(world->done, before + 1);
}

static const struct np_hq_request get = {.method = "GET", .path = "/v1/x"};

static void ask(struct world *world)
{
    ask_with(world, &get);
}

static void expect_ok(struct world *world)
{
    if (world->err)
        fail_msg("%s: %s", np_err_name(world->err), world->why);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->body, "hi");
}

/* The tests. */

static void test_requests_share_a_connection(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    struct np_hq_request post = {.method = "POST",
                                 .path = "/v1/devices",
                                 .content_type = "application/jose+json",
                                 .body = "{\"a\":\"b\"}",
                                 .body_len = 9};
    ask_with(&world, &post);
    expect_ok(&world);
    assert_string_equal(world.nonce, "n1");
    assert_non_null(strstr(world.request, "POST /v1/devices HTTP/1.1\r\n"));
    char host[64];
    snprintf(host, sizeof host, "\r\nHost: %s:%u\r\n", CERTS_NAME, world.port);
    assert_non_null(strstr(world.request, host));
    assert_non_null(strstr(world.request, "\r\nContent-Type: application/jose+json\r\nContent-Length: 9\r\n"));
    assert_non_null(strstr(world.request, "\r\n\r\n{\"a\":\"b\"}"));
    assert_null(strstr(world.request, "Authorization"));
    struct np_hq_request with_token = {
        .method = "GET", .path = "/p", .bearer = "dG9rZW4", .if_none_match = "\"v1\"", .content_type = NULL};
    ask_with(&world, &with_token);
    expect_ok(&world);
    assert_non_null(strstr(world.request, "\r\nAuthorization: Bearer dG9rZW4\r\nIf-None-Match: \"v1\"\r\n"));
    assert_null(strstr(world.request, "Content-"));
    world.answers[2] = "HTTP/1.1 200 OK\r\nReplay-Nonce: n3\r\nContent-Length: 500\r\n\r\n";
    struct np_hq_request head = {.method = "HEAD", .path = "/v1/nonce"};
    ask_with(&world, &head);
    assert_int_equal(world.err, 0);
    assert_string_equal(world.nonce, "n3");
    assert_string_equal(world.body, "");
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.connections, 1);
    assert_int_equal(world.questions, 2); /* A and AAAA, once */
    world_end(&world);
}

/* The kept connection dies when it is used: once more on a fresh one. A fresh one that dies is an error. */
static void test_retry_on_a_fresh_connection(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    world.answers[1] = DIE;
    ask(&world);
    expect_ok(&world);
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.requests, 3);
    assert_int_equal(world.connections, 2);
    world.answers[3] = world.answers[4] = DIE;
    ask(&world);
    assert_true(world.err == NP_E_CLOSED || world.err == -ECONNRESET);
    assert_int_equal(world.requests, 5);
    assert_int_equal(world.connections, 3);
    ask(&world);
    expect_ok(&world);
    world_end(&world);
}

static void test_connections_that_end(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    world.answers[0] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    ask(&world);
    expect_ok(&world);
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.connections, 2);
    world.close_after_answer = true; /* after an answer that promised more */
    ask(&world);
    expect_ok(&world);
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.connections, 3);
    world.close_after_answer = false;
    ask(&world);
    np_hqclient_disconnect(world.client);
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.connections, 5);
    world.answers[6] = "HTTP/1.0 200 OK\r\n\r\nhi"; /* a body that ends with the connection */
    world.close_after_answer = true;
    ask(&world);
    expect_ok(&world);
    world.answers[7] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"; /* one that ends too early */
    ask(&world);
    assert_int_equal(world.err, NP_E_CLOSED);
    world_end(&world);
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    world.answers[0] = "SMTP ready\r\n";
    ask(&world);
    assert_int_equal(world.err, NP_E_HTTP);
    world.answers[1] = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n";
    ask(&world);
    assert_int_equal(world.err, NP_E_LIMIT);
    world.answers[2] = OK_ANSWER OK_ANSWER; /* the second would be taken for the next request's */
    ask(&world);
    expect_ok(&world);
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.connections, 4);
    /* Something on the idle connection: it is not used again. */
    assert_non_null(world.last);
    np_stream_write(world.last->stream, OK_ANSWER, strlen(OK_ANSWER));
    while (world.last)
        uv_run(&world.loop, UV_RUN_ONCE);
    ask(&world);
    expect_ok(&world);
    assert_int_equal(world.connections, 5);
    world_end(&world);
}

static void test_look_ups(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    np_hqclient_set_servers(world.client, NULL, 0);
    ask(&world);
    assert_int_equal(world.err, NP_E_DNS);
    assert_non_null(strstr(world.why, "name server"));
    np_hqclient_set_servers(world.client, &world.dns_endpoint, 1);
    world.a = world.aaaa = DNS_NXDOMAIN;
    ask(&world);
    assert_int_equal(world.err, NP_E_DNS);
    assert_non_null(strstr(world.why, CERTS_NAME));
    assert_int_equal(world.questions, 2); /* no search domain was tried */
    world.a = world.aaaa = DNS_NODATA;
    ask(&world);
    assert_int_equal(world.err, NP_E_DNS);
    world.a = DNS_ANSWER;
    world.aaaa = DNS_SILENT; /* costs the grace period, not a time-out */
    uint64_t start = uv_now(&world.loop);
    ask(&world);
    expect_ok(&world);
    assert_true(uv_now(&world.loop) - start < 1000);
    world_end(&world);
}

static void test_addresses_are_tried_in_turn(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, SILENT); /* connects, and then says nothing */
    world.a_records[0] = "127.0.0.2";
    world.a_records[1] = "127.0.0.1";
    uint64_t start = uv_now(&world.loop);
    ask(&world);
    expect_ok(&world);
    assert_true(uv_now(&world.loop) - start >= NP_HQCLIENT_STAGGER_MS - 100);
    assert_true(uv_now(&world.loop) - start < NP_HQCLIENT_STAGGER_MS + 1000);
    ask(&world);
    assert_int_equal(world.connections, 1);
    world_end(&world);

    world_init(&world, REFUSE);
    world.a_records[0] = "127.0.0.2";
    world.a_records[1] = "127.0.0.1";
    start = uv_now(&world.loop);
    ask(&world);
    expect_ok(&world);
    assert_true(uv_now(&world.loop) - start < NP_HQCLIENT_STAGGER_MS);
    world_end(&world);
}

static void test_why_no_connection(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    world.a_records[0] = "127.0.0.2";
    ask(&world);
    assert_int_equal(world.err, -ECONNREFUSED);
    assert_non_null(strstr(world.why, "127.0.0.2"));
    world.a_records[0] = "127.0.0.1"; /* what the certificate says weighs more than the other address's silence */
    world.a_records[1] = "127.0.0.2";
    world.now += 25 * 86400;
    ask(&world);
    assert_int_equal(world.err, NP_E_DATE);
    assert_non_null(strstr(world.why, "expired"));
    world.a_records[0] = "127.0.0.2";
    world.a_records[1] = "127.0.0.1";
    ask(&world);
    assert_int_equal(world.err, NP_E_DATE);
    world.now -= 25 * 86400;
    ask(&world);
    expect_ok(&world);
    world_end(&world);
}

static void then_send_again(struct world *world)
{
    world->then = NULL;
    assert_int_equal(np_hqclient_send(world->client, &get, on_done, world), 0);
}

static void then_free(struct world *world)
{
    world->then = NULL;
    world->freed = true;
    np_hqclient_free(world->client, NULL, NULL);
}

static void then_cancel(struct world *world)
{
    world->then = NULL;
    np_hqclient_cancel(world->client);
    np_hqclient_disconnect(world->client);
}

static void test_calls_inside_done(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    world.then = then_send_again;
    ask(&world);
    while (world.done < 2)
        uv_run(&world.loop, UV_RUN_ONCE);
    expect_ok(&world);
    assert_int_equal(world.connections, 1);
    world.then = then_cancel;
    ask(&world);
    expect_ok(&world);
    world.then = then_free;
    ask(&world);
    expect_ok(&world);
    world_end(&world);

    world_init(&world, REFUSE); /* free inside an error's done */
    world.a_records[0] = "127.0.0.2";
    world.then = then_free;
    ask(&world);
    assert_int_equal(world.err, -ECONNREFUSED);
    world_end(&world);
}

/* A request is given up after each number of turns of the loop, wherever it is then; the next one works. */
static void test_cancel_anywhere(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    for (int turns = 0; turns < 14; turns++) {
        int before = world.done;
        world.requests = 0;
        np_hqclient_disconnect(world.client);
        assert_int_equal(np_hqclient_send(world.client, &get, on_done, &world), 0);
        assert_int_equal(np_hqclient_send(world.client, &get, on_done, &world), -EBUSY);
        for (int i = 0; i < turns && world.done == before; i++)
            uv_run(&world.loop, UV_RUN_ONCE);
        np_hqclient_cancel(world.client);
        before = world.done;
        world.requests = 0;
        ask(&world);
        expect_ok(&world);
        assert_int_equal(world.done, before + 1);
    }
    /* And freed in the middle. */
    assert_int_equal(np_hqclient_send(world.client, &get, on_done, &world), 0);
    uv_run(&world.loop, UV_RUN_ONCE);
    world_end(&world);
}

static void test_refused_requests(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    char long_text[100];
    memset(long_text, 'x', sizeof long_text);
    long_text[91] = 0;
    const struct {
        struct np_hq_request request;
        int rc;
    } rows[] = {
        {{.method = "GET", .path = "/a b"}, NP_E_MALFORMED},
        {{.method = "GET", .path = "/a\r\nX: y"}, NP_E_MALFORMED},
        {{.method = "GET", .path = "/a", .bearer = "a\r\nb"}, NP_E_MALFORMED},
        {{.method = "GET", .path = "/a", .bearer = ""}, NP_E_MALFORMED},
        {{.method = "GET", .path = "/a", .bearer = long_text}, NP_E_LIMIT},
        {{.method = "GET", .path = "/a", .if_none_match = long_text}, NP_E_LIMIT},
        {{.method = "PUT", .path = "/a", .content_type = long_text}, NP_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(np_hqclient_send(world.client, &rows[i].request, on_done, &world), rows[i].rc);
    long_text[90] = 0;
    struct np_hq_request longest = {.method = "GET", .path = "/a", .bearer = long_text};
    ask_with(&world, &longest);
    expect_ok(&world);
    assert_non_null(strstr(world.request, long_text));
    static const char *const urls[] = {"http://a.example",       "https://",
                                       "https://a.example/path", "https://a.example:0",
                                       "https://1.2.3.4",        "https://a.example:99999",
                                       "https://a.example:1x",   "https://u@a.example",
                                       "https://[::1]",          ""};
    struct np_hqclient *client;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        if (np_hqclient_new(&world.loop, urls[i], root, world_now, &world, &client) != NP_E_MALFORMED)
            fail_msg("\"%s\" was accepted", urls[i]);
    }
    world_end(&world);
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
        cmocka_unit_test(test_requests_share_a_connection),
        cmocka_unit_test(test_retry_on_a_fresh_connection),
        cmocka_unit_test(test_connections_that_end),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_look_ups),
        cmocka_unit_test(test_addresses_are_tried_in_turn),
        cmocka_unit_test(test_why_no_connection),
        cmocka_unit_test(test_calls_inside_done),
        cmocka_unit_test(test_cancel_anywhere),
        cmocka_unit_test(test_refused_requests),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, setup, teardown);
}
