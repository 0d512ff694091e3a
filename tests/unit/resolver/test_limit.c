/* Token buckets under a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "resolver/limit.h"

#define RATE  10u
#define BURST (RATE * NP_LIMIT_BURST_S)

static struct np_limit limit;

static int setup(void **state)
{
    static const uint64_t key[2] = {0x0123456789abcdef, 0xfedcba9876543210};
    (void)state;
    np_limit_init(&limit, key);
    np_limit_set_rate(&limit, RATE);
    return 0;
}

static struct np_addr address(const char *text)
{
    struct np_addr addr;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    return addr;
}

/* Asks count times at now_ms; how many were answered, truncated and dropped, as "a/t/d". */
static const char *ask(const struct np_addr *client, unsigned count, uint32_t now_ms)
{
    static char text[48];
    unsigned got[3] = {0};
    for (unsigned i = 0; i < count; i++)
        got[np_limit_query(&limit, client, now_ms)]++;
    snprintf(text, sizeof text, "%u/%u/%u", got[NP_LIMIT_PASS], got[NP_LIMIT_TRUNCATE], got[NP_LIMIT_DROP]);
    return text;
}

static void no_limit(void **state)
{
    struct np_addr client = address("192.168.1.7");
    (void)state;
    np_limit_set_rate(&limit, 0);
    assert_string_equal(ask(&client, 100000, 5), "100000/0/0");
}

static void burst_and_rate(void **state)
{
    struct np_addr client = address("192.168.1.7"), other = address("192.168.1.8");
    (void)state;
    assert_string_equal(ask(&client, 50, 1000), "20/20/10");
    assert_string_equal(ask(&other, 20, 1000), "20/0/0"); /* one client's thirst is nothing to another */
    /* 100 ms bring one query; in a minute no more than the burst gathers. */
    assert_string_equal(ask(&client, 5, 1099), "0/0/5");
    assert_string_equal(ask(&client, 5, 1100), "1/1/3");
    assert_string_equal(ask(&client, 50, 61100), "20/20/10");
    /* Asked at exactly the rate it is answered for ever. */
    for (uint32_t i = 0; i < 1000; i++)
        assert_string_equal(ask(&client, 1, 62000 + i * 1000 / RATE), "1/0/0");
}

static void clock_wraps(void **state)
{
    struct np_addr client = address("192.168.1.7");
    (void)state;
    assert_string_equal(ask(&client, 40, UINT32_MAX - 99), "20/20/0");
    assert_string_equal(ask(&client, 30, 900), "10/10/10"); /* a second later */
}

static void network_of_ipv6(void **state)
{
    char text[64];
    unsigned answered = 0;
    (void)state;
    struct np_addr one = address("fd42::1"), elsewhere = address("fd42:0:0:1::1");
    assert_string_equal(ask(&one, 50, 0), "20/20/10");
    /* A host that takes a new address for each query ends where its network does. */
    for (unsigned i = 2; i < 2000; i++) {
        snprintf(text, sizeof text, "fd42::%x", i);
        struct np_addr client = address(text);
        answered += np_limit_query(&limit, &client, 0) == NP_LIMIT_PASS;
    }
    assert_int_equal(answered, BURST * NP_LIMIT_NETWORK_SHARE - 20);
    assert_string_equal(ask(&elsewhere, 20, 0), "20/0/0");
}

/* A host whose address makes up for what tells clients from networks; on a big-endian machine the first is that of ::1.
 */
static void no_host_has_its_network_s_place(void **state)
{
    static const char *const hosts[] = {"fd42::1", "fd42::100:0:0:0"};
    static const uint64_t even[2] = {7, 0xfedcba9876543210}, odd[2] = {7, 0xfedcba9876543211};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        np_limit_init(&limit, i < 2 ? even : odd);
        np_limit_set_rate(&limit, RATE);
        struct np_addr host = address(hosts[i % 2]), neighbour = address("fd42::2");
        assert_string_equal(ask(&host, 50, 0), "20/20/10");
        assert_string_equal(ask(&neighbour, 20, 0), "20/0/0");
    }
}

/* More clients than places: those that ask now are limited as before, whoever came and went. */
static void table_is_full(void **state)
{
    char text[64];
    (void)state;
    struct np_addr flooder = address("10.0.0.1");
    assert_string_equal(ask(&flooder, 1000, 0), "20/20/960");
    unsigned answered = 0;
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "10.%u.%u.%u", 1 + i / 65536, i / 256 % 256, i % 256);
        struct np_addr client = address(text);
        assert_int_equal(np_limit_query(&limit, &client, 1 + i / 1000), NP_LIMIT_PASS);
        answered += np_limit_query(&limit, &flooder, 1 + i / 1000) == NP_LIMIT_PASS;
    }
    assert_true(answered <= 1 + BURST); /* its bucket was never the oldest of its set */
}

static void rate_changes(void **state)
{
    struct np_addr client = address("192.168.1.7");
    (void)state;
    assert_string_equal(ask(&client, 1, 0), "1/0/0");
    np_limit_set_rate(&limit, 1);
    assert_string_equal(ask(&client, 10, 0), "2/2/6");
    np_limit_set_rate(&limit, UINT32_MAX); /* the largest fills no counter over */
    struct np_addr fast = address("fd00::1");
    assert_string_equal(ask(&fast, 200001, 7), "200000/1/0");
    assert_string_equal(ask(&fast, 3, UINT32_MAX), "3/0/0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_limit, setup),           cmocka_unit_test_setup(burst_and_rate, setup),
        cmocka_unit_test_setup(clock_wraps, setup),        cmocka_unit_test_setup(network_of_ipv6, setup),
        cmocka_unit_test(no_host_has_its_network_s_place), cmocka_unit_test_setup(table_is_full, setup),
        cmocka_unit_test_setup(rate_changes, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
