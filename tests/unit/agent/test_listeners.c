/* Listening sockets: what is wanted, opened, handed out, dropped; an address in use is no end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/listeners.h"
#include "resolver/base/jobs.h"

static struct np_listeners listeners;
static struct np_agent_config config;
static struct np_address_choice choice;

static int setup(void **state)
{
    (void)state;
    memset(&listeners, 0, sizeof listeners);
    memset(&choice, 0, sizeof choice);
    config = (struct np_agent_config){
        .dns = true, .http = true, .https = true, .dns_port = 20053, .http_port = 20080, .https_port = 20443};
    choice.interface_count = 1;
    choice.interfaces[0].index = 1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    np_listeners_close(&listeners);
    return 0;
}

/* 127.87.0.LAST, ... */
static void addresses(uint8_t first, uint8_t second)
{
    struct np_choice_interface *link = &choice.interfaces[0];
    link->v4_count = 0;
    for (int i = 0; i < 2; i++) {
        uint8_t last = i ? second : first;
        if (last)
            link->v4[link->v4_count++].addr = np_addr_from_bytes((uint8_t[4]){127, 87, 0, last}, 4);
    }
}

static size_t encode(enum np_listener_owner owner, enum np_listener_filter filter, const char *expect)
{
    int fds[NP_CHANNEL_FDS_MAX];
    size_t count;
    char *json;
    assert_int_equal(np_listeners_encode(&listeners, owner, filter, &json, fds, &count), 0);
    assert_true((json != NULL) == (count > 0));
    if (expect)
        assert_non_null(strstr(json, expect));
    free(json);
    return count;
}

static void beside_another_resolver(void **state)
{
    (void)state;
    config.dns_loopback = true;
    addresses(1, 0);
    np_listeners_want(&listeners, &config, &choice);
    np_listeners_open(&listeners, 0);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_FRESH,
                            "{\"address\":\"127.0.0.1\",\"port\":20053,\"kind\":\"dns-tcp\",\"ifindex\":1}"),
                     4);
    np_listeners_settle(&listeners);
    /* It stays whatever the LAN does. */
    addresses(0, 0);
    np_listeners_want(&listeners, &config, &choice);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_OPEN, "\"127.0.0.1\""), 2);
}

static void make_before_break(void **state)
{
    (void)state;
    addresses(1, 0);
    np_listeners_want(&listeners, &config, &choice);
    assert_int_equal(np_listeners_open(&listeners, 0), NP_JOB_NEVER);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_FRESH,
                            "{\"address\":\"127.87.0.1\",\"port\":20053,\"kind\":\"dns-udp\",\"ifindex\":1}"),
                     2);
    assert_int_equal(encode(NP_LISTEN_FOR_FRONT, NP_LISTENERS_FRESH, "\"https\""), 2);
    np_listeners_settle(&listeners);
    assert_int_equal(encode(NP_LISTEN_FOR_FRONT, NP_LISTENERS_FRESH, NULL), 0);
    /* The new address is there before the old one goes. */
    addresses(2, 0);
    np_listeners_want(&listeners, &config, &choice);
    np_listeners_open(&listeners, 1);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_FRESH, "127.87.0.2"), 2);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_GONE, "127.87.0.1"), 2);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_OPEN, "127.87.0.2"), 2);
    np_listeners_settle(&listeners);
    np_listeners_sweep(&listeners);
    assert_int_equal(listeners.count, 4);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_GONE, NULL), 0);
    /* The same again opens nothing anew. */
    np_listeners_want(&listeners, &config, &choice);
    np_listeners_open(&listeners, 2);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_FRESH, NULL), 0);
}

/* DNS over TLS is the front's, as https is, on a port of its own. */
static void dns_over_tls(void **state)
{
    (void)state;
    config.dot = true;
    config.dot_port = 20853;
    addresses(7, 0);
    np_listeners_want(&listeners, &config, &choice);
    np_listeners_open(&listeners, 0);
    assert_int_equal(encode(NP_LISTEN_FOR_FRONT, NP_LISTENERS_FRESH, "\"port\":20853,\"kind\":\"dot\""), 3);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_FRESH, NULL), 2);
}

static void address_in_use(void **state)
{
    (void)state;
    static struct np_listeners other;
    memset(&other, 0, sizeof other);
    addresses(3, 0);
    np_listeners_want(&other, &config, &choice);
    np_listeners_open(&other, 0);
    addresses(3, 4);
    np_listeners_want(&listeners, &config, &choice);
    assert_int_equal(np_listeners_open(&listeners, 1000), 1000 + NP_LISTENER_RETRY_MS);
    size_t failed = 0;
    for (size_t i = 0; i < listeners.count; i++)
        failed += listeners.items[i].error != 0;
    assert_true(failed >= 3 && failed <= 4); /* UDP sockets may share by SO_REUSEADDR */
    assert_true(encode(NP_LISTEN_FOR_FRONT, NP_LISTENERS_FRESH, "127.87.0.4") == 2);
    np_listeners_close(&other);
    assert_int_equal(np_listeners_open(&listeners, 1000 + NP_LISTENER_RETRY_MS), NP_JOB_NEVER);
    assert_int_equal(encode(NP_LISTEN_FOR_FRONT, NP_LISTENERS_OPEN, NULL), 4);
}

/* A bridge that was taken down and made anew has another index and the same addresses. */
static void interface_made_anew(void **state)
{
    (void)state;
    addresses(6, 0);
    choice.interfaces[0].link_local.addr = (struct np_addr){.family = AF_INET6, .bytes = {0xfe, 0x80, [15] = 1}};
    np_listeners_want(&listeners, &config, &choice);
    np_listeners_open(&listeners, 0);
    np_listeners_settle(&listeners);
    choice.interfaces[0].index = 2;
    np_listeners_want(&listeners, &config, &choice);
    np_listeners_open(&listeners, 0);
    /* The sockets on 127.87.0.6 stay; those with the old interface in their address go. */
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_OPEN,
                            "{\"address\":\"127.87.0.6\",\"port\":20053,\"kind\":\"dns-udp\",\"ifindex\":2}"),
                     2);
    assert_int_equal(encode(NP_LISTEN_FOR_RESOLVER, NP_LISTENERS_FRESH, NULL), 0);
    np_listeners_sweep(&listeners);
    assert_int_equal(listeners.count, 8);
    for (size_t i = 0; i < listeners.count; i++)
        assert_int_equal(listeners.items[i].ifindex, 2);
}

static void switched_off(void **state)
{
    (void)state;
    config.http = config.dns = false;
    addresses(5, 0);
    np_listeners_want(&listeners, &config, &choice);
    assert_int_equal(listeners.count, 1);
    assert_int_equal(listeners.items[0].kind, NP_LISTEN_HTTPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(beside_another_resolver, setup, teardown),
        cmocka_unit_test_setup_teardown(make_before_break, setup, teardown),
        cmocka_unit_test_setup_teardown(dns_over_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(address_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(interface_made_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(switched_off, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
