#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/listen.h"

static void test_parse(void **state)
{
    (void)state;
    static const char json[] = "[{\"address\":\"192.168.1.1\",\"port\":53,\"kind\":\"dns-udp\",\"ifindex\":3},"
                               "{\"address\":\"fe80::1\",\"port\":53,\"kind\":\"dns-tcp\",\"ifindex\":3},"
                               "{\"address\":\"fd42::1\",\"port\":443,\"kind\":\"https\",\"new\":[]},"
                               "{\"address\":\"fd42::1\",\"port\":853,\"kind\":\"dot\",\"ifindex\":3}]";
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    char text[NP_ADDR_TEXT_MAX];
    assert_int_equal(np_listen_parse(json, sizeof json - 1, items), 4);
    assert_string_equal(np_endpoint_format(&items[0].local, text), "192.168.1.1:53");
    assert_int_equal(items[0].kind, NP_LISTEN_DNS_UDP);
    assert_string_equal(np_endpoint_format(&items[1].local, text), "[fe80::1%3]:53");
    assert_int_equal(items[1].kind, NP_LISTEN_DNS_TCP);
    assert_int_equal(items[2].kind, NP_LISTEN_HTTPS);
    assert_int_equal(items[2].ifindex, 0);
    assert_int_equal(items[3].kind, NP_LISTEN_DOT);
    for (size_t len = 0; len < sizeof json - 1; len++)
        assert_int_equal(np_listen_parse(json, len, items), NP_E_MALFORMED);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}",
        "[1]",
        "[{\"address\":\"192.168.1.1\",\"port\":53}]",
        "[{\"address\":\"192.168.1.1\",\"port\":0,\"kind\":\"http\"}]",
        "[{\"address\":\"192.168.1.1\",\"port\":65536,\"kind\":\"http\"}]",
        "[{\"address\":\"192.168.1.1\",\"port\":\"53\",\"kind\":\"http\"}]",
        "[{\"address\":\"192.168.1\",\"port\":53,\"kind\":\"http\"}]",
        "[{\"address\":\"192.168.1.1\",\"port\":53,\"kind\":\"smtp\"}]",
        "[{\"address\":\"192.168.1.1\",\"port\":53,\"kind\":\"http\",\"ifindex\":-1}]",
    };
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (np_listen_parse(rows[i], strlen(rows[i]), items) != NP_E_MALFORMED)
            fail_msg("row %zu", i);
    }
}

/* As many elements as a frame has descriptors, and not one more. */
static void test_limit(void **state)
{
    (void)state;
    static const char item[] = "{\"address\":\"192.168.1.1\",\"port\":53,\"kind\":\"dns-udp\"}";
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    for (size_t count = NP_CHANNEL_FDS_MAX; count <= NP_CHANNEL_FDS_MAX + 1; count++) {
        char *json = test_malloc(count * sizeof item + 2);
        size_t len = 0;
        for (size_t i = 0; i < count; i++)
            len += (size_t)snprintf(json + len, sizeof item + 2, "%c%s", i ? ',' : '[', item);
        json[len++] = ']';
        assert_int_equal(np_listen_parse(json, len, items),
                         count > NP_CHANNEL_FDS_MAX ? NP_E_LIMIT : (int)NP_CHANNEL_FDS_MAX);
        test_free(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
