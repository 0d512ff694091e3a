#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/tls/http.h"
#include "resolver/base/error.h"

static struct np_http_parser parser;

/* Feeds text in pieces of step bytes. Returns the last result. */
static int feed(const char *text, size_t len, size_t step, bool head, size_t *out_used)
{
    np_http_parser_init(&parser, head);
    size_t pos = 0;
    int rc = 0;
    while (pos < len && rc == 0) {
        size_t used = 0, n = len - pos < step ? len - pos : step;
        rc = np_http_parser_feed(&parser, (const uint8_t *)text + pos, n, &used);
        if (rc >= 0)
            pos += used;
    }
    *out_used = pos;
    return rc;
}

static const char good[] =
    "HTTP/1.1 201 Created\r\nContent-Type: Application/JSON; charset=utf-8\r\nReplay-Nonce: abc_-9\r\n"
    "Retry-After: 17\r\nETag: \"p1\"\r\nContent-Length: 7\r\nX-Other:\r\n\r\n{\"a\":1}";

static void test_answer_in_any_pieces(void **state)
{
    (void)state;
    size_t len = sizeof good - 1, used;
    for (size_t step = 1; step <= len; step++) {
        assert_int_equal(feed(good, len, step, false, &used), 1);
        assert_int_equal(used, len);
        assert_int_equal(parser.response.status, 201);
        assert_string_equal(parser.response.content_type, "application/json");
        assert_string_equal(parser.response.nonce, "abc_-9");
        assert_string_equal(parser.response.etag, "\"p1\"");
        assert_int_equal(parser.response.retry_after_s, 17);
        assert_string_equal(parser.response.body, "{\"a\":1}");
        assert_true(parser.response.keep_alive);
    }
}

static void test_every_truncation_is_unfinished(void **state)
{
    (void)state;
    size_t used;
    for (size_t len = 0; len < sizeof good - 1; len++) {
        assert_int_equal(feed(good, len, len ? len : 1, false, &used), 0);
        assert_int_equal(np_http_parser_end(&parser), NP_E_CLOSED);
    }
}

static void test_chunked(void **state)
{
    (void)state;
    static const char text[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWiki\r\nA \r\npedia in ch\r\n"
        "0\r\nX-Trailer: 1\r\n\r\n";
    static const char right[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWiki\r\nB \r\npedia in ch\r\n"
        "0\r\nX-Trailer: 1\r\n\r\nNEXT";
    size_t used;
    assert_int_equal(feed(text, sizeof text - 1, 3, false, &used), NP_E_HTTP); /* a chunk longer than it said */
    for (size_t step = 1; step < sizeof right; step++) {
        assert_int_equal(feed(right, sizeof right - 1, step, false, &used), 1);
        assert_int_equal(used, sizeof right - 1 - 4); /* the next answer's bytes stay */
        assert_string_equal(parser.response.body, "Wikipedia in ch");
    }
}

static void test_no_body(void **state)
{
    (void)state;
    size_t used;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    assert_int_equal(feed(head, sizeof head - 1, 9, true, &used), 1);
    static const char empty[] = "HTTP/1.1 204 No Content\r\nReplay-Nonce: n\r\n\r\n";
    assert_int_equal(feed(empty, sizeof empty - 1, 9, false, &used), 1);
    assert_int_equal(parser.response.body_len, 0);
    static const char same[] = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
    assert_int_equal(feed(same, sizeof same - 1, 9, false, &used), 1);
    static const char early[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(feed(early, sizeof early - 1, 5, false, &used), 1);
    assert_int_equal(parser.response.status, 200);
}

static void test_body_until_close(void **state)
{
    (void)state;
    size_t used;
    static const char text[] = "HTTP/1.0 200 OK\r\n\r\nabc";
    assert_int_equal(feed(text, sizeof text - 1, 2, false, &used), 0);
    assert_int_equal(np_http_parser_end(&parser), 1);
    assert_string_equal(parser.response.body, "abc");
    assert_false(parser.response.keep_alive);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
    } rows[] = {
        {"HTTP/2 200\r\n", NP_E_HTTP},
        {"HTTP/1.1 99\r\n", NP_E_HTTP},
        {"HTTP/1.1 600 No\r\n", NP_E_HTTP},
        {"HTTP/1.1 2000\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\n folded: 1\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nName : 1\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nno colon\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1 1\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", NP_E_HTTP},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NP_E_HTTP},
        {"HTTP/1.1 101 Switching\r\n\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", NP_E_HTTP},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", NP_E_LIMIT},
        {"HTTP/1.1 200 OK\r\nContent-Length: 32769\r\n\r\n", NP_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t used;
        assert_int_equal(feed(rows[i].text, strlen(rows[i].text), 1, false, &used), rows[i].err);
    }
}

static void test_limits(void **state)
{
    (void)state;
    size_t used, size = NP_HTTP_BODY_MAX + 200;
    char *text = calloc(1, size);
    int head = snprintf(text, size, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", NP_HTTP_BODY_MAX);
    memset(text + head, 'x', NP_HTTP_BODY_MAX);
    assert_int_equal(feed(text, (size_t)head + NP_HTTP_BODY_MAX, 1000, false, &used), 1);
    assert_int_equal(parser.response.body_len, NP_HTTP_BODY_MAX);
    head = snprintf(text, size, "HTTP/1.0 200 OK\r\n\r\n");
    memset(text + head, 'x', NP_HTTP_BODY_MAX + 1);
    assert_int_equal(feed(text, (size_t)head + NP_HTTP_BODY_MAX + 1, 1000, false, &used), NP_E_LIMIT);
    /* A head of exactly the limit passes, one byte more does not. */
    for (int extra = 0; extra < 2; extra++) {
        memset(text, 'a', size);
        head = snprintf(text, size, "HTTP/1.1 204 OK\r\nX: ");
        text[head] = 'a';
        size_t total = NP_HTTP_HEAD_MAX + (size_t)extra;
        memcpy(text + total - 4, "\r\n\r\n", 4);
        assert_int_equal(feed(text, total, 777, false, &used), extra ? NP_E_LIMIT : 1);
    }
    free(text);
}

static void test_odd_values_count_as_absent(void **state)
{
    (void)state;
    size_t used;
    static const char text[] =
        "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nReplay-Nonce: a b\r\n"
        "Connection: foo, CLOSE\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(feed(text, sizeof text - 1, 11, false, &used), 1);
    assert_int_equal(parser.response.retry_after_s, 0);
    assert_string_equal(parser.response.nonce, "");
    assert_false(parser.response.keep_alive);
    static const char week[] = "HTTP/1.1 503 Busy\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(feed(week, sizeof week - 1, 11, false, &used), 1);
    assert_int_equal(parser.response.retry_after_s, 7 * 86400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_in_any_pieces),
        cmocka_unit_test(test_every_truncation_is_unfinished),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_body_until_close),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_odd_values_count_as_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
