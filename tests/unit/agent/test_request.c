/* Heads of requests: what is read, what is refused, and that no cut changes the verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "agent/front/request.h"
#include "resolver/base/error.h"

#define HOST "Host: box.local\r\n"

struct good {
    const char *head;
    enum np_request_method method;
    const char *target, *host;
    bool has_host, keep_alive, has_body;
};

static const struct good goods[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", NP_REQUEST_GET, "/", "box.local", true, true, false},
    {"\r\nHEAD /a?b=c HTTP/1.1\r\nhost:\tBOX.Local.:80 \r\n\r\n", NP_REQUEST_HEAD, "/a?b=c", "box.local", true, true,
     false},
    {"GET / HTTP/1.0\r\n\r\n", NP_REQUEST_GET, "/", "", false, false, false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" HOST "\r\n", NP_REQUEST_GET, "/", "box.local", true, true, false},
    {"GET / HTTP/1.1\r\nConnection: foo , Close\r\n" HOST "\r\n", NP_REQUEST_GET, "/", "box.local", true, false, false},
    {"POST /x HTTP/1.1\r\nContent-Length: 3\r\n" HOST "\r\n", NP_REQUEST_OTHER, "/x", "box.local", true, true, true},
    {"POST /x HTTP/1.1\r\nContent-Length: 000\r\n" HOST "\r\n", NP_REQUEST_OTHER, "/x", "box.local", true, true, false},
    {"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "\r\n", NP_REQUEST_OTHER, "/x", "box.local", true, true,
     true},
    {"GET http://other.local:8080/y HTTP/1.1\r\n" HOST "\r\n", NP_REQUEST_GET, "/y", "other.local", true, true, false},
    {"GET HTTPS://other.local?q HTTP/1.1\r\n" HOST "\r\n", NP_REQUEST_GET, "/?q", "other.local", true, true, false},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", NP_REQUEST_OTHER, "/", "box.local", true, true, false},
    {"get / HTTP/1.1\r\n" HOST "\r\n", NP_REQUEST_OTHER, "/", "box.local", true, true, false},
    {"GET //evil.example/%0d%0a HTTP/1.1\r\n" HOST "\r\n", NP_REQUEST_GET, "//evil.example/%0d%0a", "box.local", true,
     true, false},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        const struct good *good = &goods[i];
        struct np_request request;
        size_t len = strlen(good->head);
        assert_int_equal(np_request_parse(good->head, len, &request), len);
        assert_int_equal(request.method, good->method);
        assert_string_equal(request.target, good->target);
        assert_string_equal(request.host, good->host);
        assert_int_equal(request.host_addr.family, AF_UNSPEC);
        assert_int_equal(request.has_host, good->has_host);
        assert_int_equal(request.keep_alive, good->keep_alive);
        assert_int_equal(request.has_body, good->has_body);
    }
}

static void test_cut_at_each_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        struct np_request request;
        for (size_t len = 0; len < strlen(goods[i].head); len++)
            assert_int_equal(np_request_parse(goods[i].head, len, &request), 0);
    }
}

/* What follows a head is the next one's. */
static void test_length(void **state)
{
    const char *two = "GET / HTTP/1.1\r\n" HOST "\r\nGET / HT";
    struct np_request request;
    (void)state;
    assert_int_equal(np_request_parse(two, strlen(two), &request), strlen(two) - 8);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *host, *addr;
    } cases[] = {
        {"192.168.1.1", "192.168.1.1"}, {"192.168.1.1:8080", "192.168.1.1"},
        {"[FD42::1]", "fd42::1"},       {"[::1]:80", "::1"},
        {"127.0.0.1:", "127.0.0.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[128], text[NP_ADDR_TEXT_MAX];
        struct np_request request;
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
        assert_int_equal(np_request_parse(head, strlen(head), &request), strlen(head));
        assert_string_equal(np_addr_format(&request.host_addr, text), cases[i].addr);
        assert_string_equal(request.host, "");
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *head;
        long error;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", NP_E_HTTP},              /* no Host */
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", NP_E_HTTP}, /* two */
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", NP_E_HTTP},     /* an empty one */
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", NP_E_HTTP}, /* no host at all, and so on */
        {"GET http://a.local/ HTTP/1.1\r\nHost: a b\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: a.local\r\nConnection: x, HOST\r\n\r\n",
         NP_E_HTTP}, /* would take away what frames it */
        {"GET / HTTP/1.1\r\nHost: a.local\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: a.local\r\nConnection: transfer-encoding\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: a.local:x\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: u@a.local\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: a.local:123456\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: [10.0.0.1]\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: \"><script>\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: .\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\nHost: a\n\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost: a.local\rX: y\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\nHost : a.local\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", NP_E_HTTP},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", NP_E_HTTP},
        {"GET /a b HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET / HTTPS/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET /\x7f HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET /#x HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET x HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET * HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"G(T / HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", NP_E_HTTP},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NP_E_VERSION},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", NP_E_HTTP},
        {"GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", NP_E_HTTP},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct np_request request = {.target = "untouched"};
        long got = np_request_parse(cases[i].head, strlen(cases[i].head), &request);
        if (got != cases[i].error)
            print_error("%s gave %ld\n", cases[i].head, got);
        assert_int_equal(got, cases[i].error);
        assert_string_equal(request.target, "untouched");
    }
}

/* A head with pad bytes in a field, or that many in the target. */
static long parse_long(size_t target, size_t field, size_t fields)
{
    static char head[2 * NP_REQUEST_HEAD_MAX];
    static struct np_request request;
    size_t len = (size_t)snprintf(head, sizeof head, "GET /");
    memset(head + len, 'a', target - 1);
    len += target - 1;
    len += (size_t)snprintf(head + len, sizeof head - len, " HTTP/1.1\r\n" HOST);
    for (size_t i = 1; i < fields; i++)
        len += (size_t)snprintf(head + len, sizeof head - len, "X: y\r\n");
    if (field > 0) {
        size_t frame = len + strlen("P: \r\n\r\n");
        len += (size_t)snprintf(head + len, sizeof head - len, "P: ");
        memset(head + len, 'p', field - frame);
        len += field - frame;
        len += (size_t)snprintf(head + len, sizeof head - len, "\r\n");
    }
    len += (size_t)snprintf(head + len, sizeof head - len, "\r\n");
    long got = np_request_parse(head, len, &request);
    return got == (long)len ? 1 : got;
}

static void test_limits(void **state)
{
    char head[512];
    struct np_request request;
    (void)state;
    assert_int_equal(parse_long(NP_REQUEST_TARGET_MAX, 0, 1), 1);
    assert_int_equal(parse_long(NP_REQUEST_TARGET_MAX + 1, 0, 1), -ENAMETOOLONG);
    assert_int_equal(parse_long(1, NP_REQUEST_HEAD_MAX, 1), 1);
    assert_int_equal(parse_long(1, NP_REQUEST_HEAD_MAX + 1, 1), NP_E_LIMIT);
    assert_int_equal(parse_long(1, 0, NP_REQUEST_FIELDS_MAX), 1);
    assert_int_equal(parse_long(1, 0, NP_REQUEST_FIELDS_MAX + 1), NP_E_LIMIT);
    for (int extra = 0; extra < 2; extra++) {
        size_t len = (size_t)snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: ");
        for (int i = 0; i < NP_REQUEST_HOST_MAX + extra; i++)
            head[len++] = i % 60 == 59 ? '.' : 'a';
        len += (size_t)snprintf(head + len, sizeof head - len, "\r\n\r\n");
        assert_int_equal(np_request_parse(head, len, &request), extra ? (long)NP_E_HTTP : (long)len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),   cmocka_unit_test(test_cut_at_each_byte),
        cmocka_unit_test(test_length), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_bad),    cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
