/* The client against a name server and an HTTPS server of the test's own, all on one loop over loopback. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolver/base/error.h"
#include "tests/unit/agent/hq_world.h"

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
    assert_non_null(strstr(world.why, "not one that HTTP/1.1 allows"));
    world.answers[1] = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n";
    ask(&world);
    assert_int_equal(world.err, NP_E_LIMIT);
    assert_non_null(strstr(world.why, "longer than"));
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

/* HQ has two places. Where one gives no answer the next request goes to the other, and stays there. */
static void second_place(void **state)
{
    (void)state;
    struct world world;
    char url[64];
    world_init(&world, REFUSE);
    snprintf(url, sizeof url, "https://localhost:%u", 1);
    assert_int_equal(np_hqclient_add_url(world.client, "http://x"), NP_E_MALFORMED);
    assert_int_equal(np_hqclient_add_url(world.client, url), 0);
    assert_int_equal(np_hqclient_add_url(world.client, url), NP_E_LIMIT);
    ask(&world);
    expect_ok(&world);
    ask(&world);
    expect_ok(&world); /* no change while there are answers */
    assert_string_equal(np_hqclient_host(world.client), CERTS_NAME);
    world.answers[2] = world.answers[3] = DIE;
    ask(&world);
    assert_int_not_equal(world.err, 0);
    assert_string_equal(np_hqclient_host(world.client), "localhost");
    ask(&world); /* nobody is at that port */
    assert_int_not_equal(world.err, 0);
    assert_string_equal(np_hqclient_host(world.client), CERTS_NAME);
    ask(&world);
    expect_ok(&world);
    world_end(&world);
}

/* To ask for the time: HQ's certificate is judged from when on it is valid, an ended one stays ended; and the
 * connection serves nothing else. */
static void judged_leniently(void **state)
{
    (void)state;
    struct world world;
    struct np_hq_request lenient = get;
    int64_t right = 0;
    world_init(&world, REFUSE);
    right = world.now;
    world.now += 10 * 365 * 86400; /* our clock is years ahead */
    ask(&world);
    assert_int_equal(world.err, NP_E_DATE);
    lenient.judge_s = right - 3 * 365 * 86400; /* what is sure to have passed */
    ask_with(&world, &lenient);
    expect_ok(&world);
    assert_int_equal(world.connections, 2);
    ask(&world);
    assert_int_equal(world.err, NP_E_DATE);
    world.now = right;
    ask(&world);
    expect_ok(&world);
    int before = world.connections;
    ask_with(&world, &lenient); /* not over the connection that is kept */
    expect_ok(&world);
    assert_int_equal(world.connections, before + 1);
    lenient.judge_s = right + 365 * 86400;
    ask_with(&world, &lenient);
    assert_int_equal(world.err, NP_E_DATE);
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

/* The network is another one, and nobody answers on the old connection: the request goes over a new one. */
static void test_disconnect_under_way(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, REFUSE);
    ask(&world);
    world.answers[1] = ""; /* and no more */
    assert_int_equal(np_hqclient_send(world.client, &get, on_done, &world), 0);
    while (world.requests < 2)
        uv_run(&world.loop, UV_RUN_ONCE);
    np_hqclient_disconnect(world.client);
    while (world.done < 2)
        uv_run(&world.loop, UV_RUN_ONCE);
    expect_ok(&world);
    assert_int_equal(world.requests, 3);
    assert_int_equal(world.connections, 2);
    for (int turns = 0; turns < 14; turns++) { /* wherever it is */
        int before = world.done;
        world.requests = 2;
        assert_int_equal(np_hqclient_send(world.client, &get, on_done, &world), 0);
        for (int i = 0; i < turns && world.done == before; i++)
            uv_run(&world.loop, UV_RUN_ONCE);
        np_hqclient_disconnect(world.client);
        np_hqclient_disconnect(world.client);
        while (world.done == before)
            uv_run(&world.loop, UV_RUN_ONCE);
        expect_ok(&world);
        assert_int_equal(world.done, before + 1);
    }
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
        cmocka_unit_test(judged_leniently),
        cmocka_unit_test(second_place),
        cmocka_unit_test(test_requests_share_a_connection),
        cmocka_unit_test(test_retry_on_a_fresh_connection),
        cmocka_unit_test(test_connections_that_end),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_look_ups),
        cmocka_unit_test(test_addresses_are_tried_in_turn),
        cmocka_unit_test(test_why_no_connection),
        cmocka_unit_test(test_calls_inside_done),
        cmocka_unit_test(test_cancel_anywhere),
        cmocka_unit_test(test_disconnect_under_way),
        cmocka_unit_test(test_refused_requests),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, setup, teardown);
}
