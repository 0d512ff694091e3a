/* PROXY headers, byte for byte as the specification has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/proxy.h"
#include "resolver/base/error.h"

static uint8_t out[NP_PROXY_MAX + 1];

static size_t write(enum np_proxy version, const char *remote, const char *local, bool tls, const char *name)
{
    struct np_proxy_client client = {.tls = tls, .server_name = name};
    struct np_writer w = np_writer_make(out, NP_PROXY_MAX);
    assert_int_equal(np_endpoint_parse(remote, 0, &client.remote), 0);
    assert_int_equal(np_endpoint_parse(local, 0, &client.local), 0);
    np_proxy_write(&w, version, &client);
    assert_int_equal(w.error, 0);
    out[w.pos] = 0;
    return w.pos;
}

static void test_version_1(void **state)
{
    (void)state;
    write(NP_PROXY_V1, "192.168.1.7:50000", "192.168.1.1:443", true, "a.example");
    assert_string_equal(out, "PROXY TCP4 192.168.1.7 192.168.1.1 50000 443\r\n");
    write(NP_PROXY_V1, "[fd42::7]:1", "[fd42::1]:80", false, "");
    assert_string_equal(out, "PROXY TCP6 fd42::7 fd42::1 1 80\r\n");
    write(NP_PROXY_V1, "[fe80::7%3]:65535", "[fe80::1%3]:443", true, "");
    assert_string_equal(out, "PROXY TCP6 fe80::7 fe80::1 65535 443\r\n"); /* the interface has no place there */
    write(NP_PROXY_NONE, "192.168.1.7:50000", "192.168.1.1:443", true, "");
    assert_string_equal(out, "");
}

static void test_version_2(void **state)
{
    static const uint8_t plain[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11,
                                    0,    12,   192,  168,  1,    7,    192,  168,  1,    1,    0xc3, 0x50, 0,    80};
    static const uint8_t tls[] = {0x0d,
                                  0x0a,
                                  0x0d,
                                  0x0a,
                                  0x00,
                                  0x0d,
                                  0x0a,
                                  0x51,
                                  0x55,
                                  0x49,
                                  0x54,
                                  0x0a,
                                  0x21,
                                  0x21,
                                  0,
                                  71,
                                  0xfd,
                                  0x42,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  7,
                                  0xfd,
                                  0x42,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  1,
                                  0,
                                  1,
                                  1,
                                  0xbb,
                                  /* AUTHORITY */ 0x02,
                                  0,
                                  3,
                                  'a',
                                  '.',
                                  'b',
                                  /* ALPN */ 0x01,
                                  0,
                                  8,
                                  'h',
                                  't',
                                  't',
                                  'p',
                                  '/',
                                  '1',
                                  '.',
                                  '1',
                                  /* SSL: client, verify, version */ 0x20,
                                  0,
                                  15,
                                  1,
                                  0,
                                  0,
                                  0,
                                  1,
                                  0x21,
                                  0,
                                  7,
                                  'T',
                                  'L',
                                  'S',
                                  'v',
                                  '1',
                                  '.',
                                  '2'};
    (void)state;
    assert_int_equal(write(NP_PROXY_V2, "192.168.1.7:50000", "192.168.1.1:80", false, ""), sizeof plain);
    assert_memory_equal(out, plain, sizeof plain);
    size_t len = write(NP_PROXY_V2, "[fd42::7]:1", "[fd42::1]:443", true, "a.b");
    assert_int_equal(len, sizeof tls);
    assert_memory_equal(out, tls, sizeof tls);
}

static void test_longest_name(void **state)
{
    char name[300];
    (void)state;
    memset(name, 'a', sizeof name);
    name[253] = 0;
    assert_in_range(write(NP_PROXY_V2, "[fd42::7]:1", "[fd42::1]:443", true, name), 300, NP_PROXY_MAX);
    name[253] = 'a';
    name[254] = 0; /* no name is as long: left out */
    assert_in_range(write(NP_PROXY_V2, "[fd42::7]:1", "[fd42::1]:443", true, name), 50, 100);
}

static void test_words(void **state)
{
    enum np_proxy version = NP_PROXY_NONE;
    (void)state;
    for (int i = NP_PROXY_NONE; i <= NP_PROXY_V2; i++) {
        assert_int_equal(np_proxy_parse(np_proxy_name((enum np_proxy)i), &version), 0);
        assert_int_equal(version, i);
    }
    assert_int_equal(np_proxy_parse("", &version), NP_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
