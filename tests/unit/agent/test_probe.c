/* agent/network/probe: its questions as servers on loopback see them, repeats, EDNS refused, ports without a server. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/network/probe.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

#define DEADLINE_MS 3000 /* of tests in which all is answered: they end long before */

/* A DNS server on loopback that does as it is told. */
struct server {
    uv_udp_t udp;
    struct np_endpoint endpoint;
    enum { ANSWER, SILENT_ONCE, SILENT, NO_EDNS, WRONG_ID } how;
    unsigned questions;
    char names[8][NP_NAME_TEXT_MAX];
    uint16_t flags; /* of the last question */
    uint8_t packet[1500], answer[NP_DNS_UDP_MAX];
};

static uv_loop_t loop;
static struct server server;
static struct np_probe_server seen[NP_PROBE_SERVERS_MAX];
static size_t seen_count;
static unsigned ends;

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct server *s = handle->data;
    (void)suggested;
    *buffer = uv_buf_init((char *)s->packet, sizeof s->packet);
}

static size_t make_answer(struct server *s, const struct np_query *query)
{
    struct np_answer answer;
    struct np_addr addr = np_addr_from_bytes((uint8_t[]){192, 168, 1, 9}, 4);
    if (s->how == NO_EDNS && query->edns) {
        memcpy(s->answer, s->packet, NP_DNS_HEADER_LEN);
        memset(s->answer + 4, 0, NP_DNS_HEADER_LEN - 4);
        s->answer[2] = 0x80;
        s->answer[3] = NP_RCODE_FORMERR;
        return NP_DNS_HEADER_LEN;
    }
    np_answer_start(&answer, query, s->answer, np_query_limit(query, false), NP_FLAG_RA);
    if (query->qtype == NP_RR_A)
        np_answer_address(&answer, NP_SECTION_ANSWER, &query->qname, 60, &addr);
    size_t len = np_answer_finish(&answer);
    if (s->how == WRONG_ID)
        s->answer[1] ^= 1;
    return len;
}

static void on_question(uv_udp_t *udp, ssize_t n, const uv_buf_t *buffer, const struct sockaddr *from, unsigned flags)
{
    struct server *s = udp->data;
    struct np_query query;
    (void)buffer;
    (void)flags;
    if (n <= 0 || !from)
        return;
    assert_int_equal(np_query_parse(s->packet, (size_t)n, &query), NP_QUERY_GOOD);
    s->flags = query.flags;
    if (s->questions < 8)
        np_name_format(&query.qname, s->names[s->questions]);
    s->questions++;
    if (s->how == SILENT || (s->how == SILENT_ONCE && s->questions == 1))
        return;
    uv_buf_t out = uv_buf_init((char *)s->answer, (unsigned)make_answer(s, &query));
    uv_udp_try_send(udp, &out, 1, from);
}

static int start(void **state)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage bound;
    int len = sizeof bound;
    (void)state;
    memset(&server, 0, sizeof server);
    ends = 0;
    seen_count = 0;
    uv_loop_init(&loop);
    uv_udp_init(&loop, &server.udp);
    server.udp.data = &server;
    uv_udp_bind(&server.udp, (struct sockaddr *)&local, 0);
    uv_udp_getsockname(&server.udp, (struct sockaddr *)&bound, &len);
    server.endpoint = np_endpoint_from_sockaddr((struct sockaddr *)&bound);
    return uv_udp_recv_start(&server.udp, on_alloc, on_question);
}

static int stop(void **state)
{
    (void)state;
    if (!uv_is_closing((uv_handle_t *)&server.udp))
        uv_close((uv_handle_t *)&server.udp, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static void on_done(void *ctx, const struct np_probe_server *servers, size_t count)
{
    (void)ctx;
    ends++;
    seen_count = count;
    memcpy(seen, servers, count * sizeof *servers);
    uv_close((uv_handle_t *)&server.udp, NULL);
}

static struct np_probe_names names(void)
{
    struct np_probe_names n;
    assert_int_equal(np_name_parse("box.devices.example", &n.own), 0);
    assert_int_equal(np_name_parse("devices.example", &n.zone), 0);
    return n;
}

/* Asks the server these items, and waits for the end. */
static void ask(enum np_probe_role role, unsigned items, unsigned deadline_ms)
{
    struct np_probe_server one = {.server = server.endpoint, .role = role};
    struct np_probe_names n = names();
    struct np_probe *probe;
    for (int k = 0; k < NP_PROBE_ITEMS; k++)
        one.asked[k] = items >> k & 1;
    assert_int_equal(np_probe_start(&loop, &n, &one, 1, deadline_ms, on_done, NULL, &probe), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(ends, 1);
    assert_int_equal(seen_count, 1);
}

static void test_questions(void **state)
{
    (void)state;
    ask(NP_PROBE_OFFERED, 0xf, DEADLINE_MS);
    assert_int_equal(server.questions, 4);
    assert_true(server.flags & NP_FLAG_RD);
    assert_string_equal(server.names[0], "box.devices.example");
    assert_string_equal(server.names[1], "box.devices.example");
    assert_string_equal(server.names[2] + 16, ".rebind-test.devices.example"); /* 8 random bytes in hex */
    assert_string_equal(server.names[3] + 16, ".plain-test.devices.example");
    assert_int_not_equal(memcmp(server.names[2], server.names[3], 16), 0);
    for (int k = 0; k < 4; k++)
        assert_int_equal(seen[0].answers[k].state, NP_PROBE_ANSWERED);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN4].address_count, 1);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN6].address_count, 0);
    assert_int_equal(seen[0].answers[NP_PROBE_VERSION].state, NP_PROBE_SILENT);
}

static void test_zone_is_asked_without_recursion(void **state)
{
    (void)state;
    ask(NP_PROBE_ZONE, 1 << NP_PROBE_OWN4, DEADLINE_MS);
    assert_false(server.flags & NP_FLAG_RD);
}

static void test_lost_packet(void **state)
{
    (void)state;
    server.how = SILENT_ONCE;
    ask(NP_PROBE_OFFERED, 1 << NP_PROBE_OWN4, DEADLINE_MS);
    assert_int_equal(server.questions, 2);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN4].state, NP_PROBE_ANSWERED);
}

static void test_no_edns(void **state)
{
    (void)state;
    server.how = NO_EDNS;
    ask(NP_PROBE_OFFERED, 1 << NP_PROBE_OWN4, DEADLINE_MS);
    assert_int_equal(server.questions, 2);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN4].rcode, NP_RCODE_NOERROR);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN4].address_count, 1);
}

static void test_silence(void **state)
{
    (void)state;
    server.how = SILENT;
    ask(NP_PROBE_OFFERED, 1 << NP_PROBE_OWN4, 150);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN4].state, NP_PROBE_SILENT);
}

static void test_wrong_id_is_no_answer(void **state)
{
    (void)state;
    server.how = WRONG_ID;
    ask(NP_PROBE_OFFERED, 1 << NP_PROBE_OWN4, 150);
    assert_int_equal(seen[0].answers[NP_PROBE_OWN4].state, NP_PROBE_SILENT);
}

/* A port where nobody listens says so at once: it is not waited for. */
static void test_nobody_there(void **state)
{
    struct sockaddr_storage sa;
    socklen_t len = np_endpoint_to_sockaddr(&server.endpoint, &sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)state;
    ((struct sockaddr_in *)&sa)->sin_port = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    server.endpoint = np_endpoint_from_sockaddr((struct sockaddr *)&sa);
    close(fd);
    ask(NP_PROBE_GATEWAY, 0x1f, 60000);
    for (int k = 0; k < NP_PROBE_ITEMS; k++) {
        assert_int_equal(seen[0].answers[k].state, NP_PROBE_UNREACHABLE);
        assert_int_equal(seen[0].answers[k].error, -ECONNREFUSED);
    }
}

static void test_cancel_and_limits(void **state)
{
    static struct np_probe_server many[NP_PROBE_SERVERS_MAX + 1];
    struct np_probe_names n = names();
    struct np_probe *probe;
    (void)state;
    for (size_t i = 0; i < NP_PROBE_SERVERS_MAX; i++)
        many[i] = (struct np_probe_server){.server = server.endpoint, .asked = {true, true, true, true, true}};
    assert_int_equal(np_probe_start(&loop, &n, many, 0, 0, on_done, NULL, &probe), NP_E_LIMIT);
    assert_int_equal(np_probe_start(&loop, &n, many, NP_PROBE_SERVERS_MAX + 1, 0, on_done, NULL, &probe), NP_E_LIMIT);
    assert_int_equal(np_probe_start(&loop, &n, many, NP_PROBE_SERVERS_MAX, 0, on_done, NULL, &probe), 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    np_probe_cancel(probe);
    uv_close((uv_handle_t *)&server.udp, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(ends, 0);
    np_probe_cancel(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_questions),    TEST(test_zone_is_asked_without_recursion),
        TEST(test_lost_packet),  TEST(test_no_edns),
        TEST(test_silence),      TEST(test_wrong_id_is_no_answer),
        TEST(test_nobody_there), TEST(test_cancel_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
