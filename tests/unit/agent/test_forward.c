/* The head that a backend gets over http. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/forward.h"
#include "resolver/base/error.h"

static char out[NP_REQUEST_HEAD_MAX + NP_FORWARD_MORE + 1];

static const char *forward(const char *head, size_t room)
{
    struct np_request request;
    struct np_writer w = np_writer_make(out, room);
    assert_int_equal(np_request_parse(head, strlen(head), &request), strlen(head));
    np_forward_head(&w, head, strlen(head), &request);
    assert_int_equal(w.error, 0);
    out[w.pos] = 0;
    return out;
}

static void test_heads(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: close\r\n\r\n"},
        {"POST /x HTTP/1.1\r\nCONNECTION: keep-alive\r\nHost: a\r\nKeep-Alive: 5\r\nContent-Length: 3\r\n\r\n",
         "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnections: no\r\nX: Connection: y\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\nConnections: no\r\nX: Connection: y\r\nConnection: close\r\n\r\n"},
        {"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
         "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n"},
        /* An upgrade to nothing, or in HTTP/1.0, is none: a second request must not pass unseen. */
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: \r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: keep-alive\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
         "GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n"},
        /* What Connection names ends here, wherever it stands; so do the usual ones. */
        {"GET / HTTP/1.1\r\nX-One: 1\r\nHost: a\r\nConnection: x-one ,, X-TWO\r\nX-Two: 2\r\nX-Three: 3\r\n"
         "Connection: \tX-Four\r\nX-Four: 4\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\nX-Three: 3\r\nConnection: close\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nConnection: close\r\n\r\n"},
        /* absolute-form: the Host that was judged is the one that goes on. */
        {"GET http://a.example:80/x?y HTTP/1.1\r\nA: b\r\nHost: other.example\r\n\r\n",
         "GET /x?y HTTP/1.1\r\nHost: a.example:80\r\nA: b\r\nConnection: close\r\n\r\n"},
        {"GET HTTP://a?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"GET https://[2001:db8::1]:8443 HTTP/1.0\r\n\r\n",
         "GET / HTTP/1.0\r\nHost: [2001:db8::1]:8443\r\nConnection: close\r\n\r\n"},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(forward(cases[i].in, sizeof out - 1), cases[i].out);
}

static void test_it_grows_by_little(void **state)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a HTTP/1.0\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: \ta\r\nUpgrade:x\r\nConnection:upgrade\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        forward(heads[i], strlen(heads[i]) + NP_FORWARD_MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_it_grows_by_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
