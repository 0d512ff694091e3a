#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/cache.h"
#include "resolver/view.h"

static const char sample[] =
    "{\"version\":1,\"role\":\"router\",\"own\":[{\"name\":\"nifty-babbage.devices.example\",\"wildcard\":false,"
    "\"https\":true,\"dot\":true}],\"zone\":\"devices.example\",\"ttl\":10,\"serial\":17,\"interfaces\":[{\"index\":3,"
    "\"name\":\"br-lan\",\"lan\":true,\"v4\":[\"192.168.1.1/24\"],\"v6\":[\"fd42::1/64\",\"fe80::1/64\"]}],"
    "\"primary\":{\"v4\":[\"192.168.1.1\"],\"v6\":[\"fd42::1\"]},\"allow\":[\"10.9.0.0/16\"],"
    "\"upstreams\":[\"198.51.100.53:53\",\"[2001:db8::53]:53\"],"
    "\"forward\":[{\"zone\":\"home.arpa\",\"to\":[\"127.0.0.1:5353\"]}],"
    "\"ports\":{\"https\":8443,\"dot\":853},\"limits\":{\"rate\":1000,\"inflight\":64},"
    "\"rebind\":{\"filter\":\"on\",\"allow\":[\"router.example\",\"*.plex.direct\"]},\"mode\":\"own-name-only\","
    "\"canary\":false,\"cache\":1048576}";

static void test_sample(void **state)
{
    (void)state;
    struct np_view *view = test_malloc(sizeof *view);
    char error[NP_VIEW_ERROR_MAX], text[NP_NAME_TEXT_MAX], *json = NULL;
    assert_int_equal(np_view_parse(sample, sizeof sample - 1, view, error), 0);
    assert_int_equal(view->role, NP_ROLE_ROUTER);
    assert_int_equal(view->own_count, 1);
    assert_string_equal(np_name_format(&view->own[0].name, text), "nifty-babbage.devices.example");
    assert_true(view->own[0].https);
    assert_false(view->own[0].wildcard);
    assert_string_equal(np_name_format(&view->zone, text), "devices.example");
    assert_int_equal(view->interface_count, 1);
    assert_string_equal(view->interfaces[0].name, "br-lan");
    assert_string_equal(np_prefix_format(&view->interfaces[0].v4[0], text), "192.168.1.1/24");
    assert_int_equal(view->interfaces[0].v6_count, 2);
    assert_string_equal(np_endpoint_format(&view->upstreams[1].endpoint, text), "[2001:db8::53]:53");
    assert_int_equal(view->forwards[0].to[0].endpoint.port, 5353);
    assert_true(view->own[0].dot);
    assert_int_equal(view->https_port, 8443);
    assert_int_equal(view->dot_port, 853);
    assert_int_equal(view->rate_limit, 1000);
    assert_int_equal(view->inflight_limit, 64);
    assert_int_equal(view->cache, 1048576);
    /* What is encoded is what was parsed. */
    assert_int_equal(np_view_encode(view, &json), 0);
    assert_string_equal(json, sample);
    free(json);
    test_free(view);
}

static void test_defaults(void **state)
{
    (void)state;
    struct np_view *view = test_malloc(sizeof *view), *again = test_malloc(sizeof *again);
    char error[NP_VIEW_ERROR_MAX], *json = NULL;
    static const char least[] = "{\"version\":1,\"new member\":[{}]}";
    assert_int_equal(np_view_parse(least, sizeof least - 1, view, error), 0);
    assert_int_equal(view->role, NP_ROLE_HOST);
    assert_int_equal(view->ttl, 10);
    assert_int_equal(view->cache, NP_CACHE_SIZE_DEFAULT);
    assert_int_equal(view->rate_limit, 0);
    assert_int_equal(view->inflight_limit, NP_VIEW_INFLIGHT);
    assert_int_equal(view->own_count + view->interface_count + view->upstream_count, 0);
    np_view_init(again);
    assert_int_equal(np_view_encode(again, &json), 0);
    assert_int_equal(np_view_parse(json, strlen(json), again, error), 0);
    assert_memory_equal(view, again, sizeof *view);
    free(json);
    test_free(view);
    test_free(again);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int rc;
        const char *error; /* how the text begins */
    } rows[] = {
        {"", NP_E_MALFORMED, "view:"},
        {"[]", NP_E_TYPE, "view:"},
        {"{}", NP_E_MISSING, "version:"},
        {"{\"version\":2}", NP_E_VERSION, "version:"},
        {"{\"version\":\"1\"}", NP_E_TYPE, "version:"},
        {"{\"version\":1,\"version\":1}", NP_E_MALFORMED, "view:1"},
        {"{\"version\":1} x", NP_E_MALFORMED, "view:1"},
        {"{\"version\":1,\"role\":\"roter\"}", NP_E_UNKNOWN, "role:"},
        {"{\"version\":1,\"ttl\":3601}", NP_E_MALFORMED, "ttl:"},
        {"{\"version\":1,\"ttl\":-1}", NP_E_MALFORMED, "ttl:"},
        {"{\"version\":1,\"ttl\":1.5}", NP_E_TYPE, "ttl:"},
        {"{\"version\":1,\"serial\":4294967296}", NP_E_MALFORMED, "serial:"},
        {"{\"version\":1,\"zone\":\"a..b\"}", NP_E_MALFORMED, "zone:"},
        {"{\"version\":1,\"zone\":\"a\\u0000b\"}", NP_E_MALFORMED, "view:1"},
        {"{\"version\":1,\"own\":{}}", NP_E_TYPE, "own:"},
        {"{\"version\":1,\"own\":[1]}", NP_E_TYPE, "own[0]:"},
        {"{\"version\":1,\"own\":[{}]}", NP_E_MISSING, "own[0].name:"},
        {"{\"version\":1,\"own\":[{\"name\":\".\"}]}", NP_E_MALFORMED, "own[0].name:"},
        {"{\"version\":1,\"own\":[{\"name\":\"a\",\"https\":1}]}", NP_E_TYPE, "own[0].https:"},
        {"{\"version\":1,\"own\":[{\"name\":\"a\"},{\"name\":\"\"}]}", NP_E_MALFORMED, "own[1].name:"},
        {"{\"version\":1,\"own\":[1,1,1,1,1,1,1,1,1]}", NP_E_LIMIT, "own:"},
        {"{\"version\":1,\"interfaces\":[{\"v4\":[]}]}", NP_E_MISSING, "interfaces[0].index:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":0}]}", NP_E_MALFORMED, "interfaces[0].index:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":1},{\"index\":1}]}", NP_E_CONFLICT, "interfaces[1].index:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":1,\"name\":\"0123456789abcdef\"}]}", NP_E_MALFORMED,
         "interfaces[0].name:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":1,\"v4\":[\"192.168.1.1\"]}]}", NP_E_MALFORMED,
         "interfaces[0].v4[0]:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":1,\"v4\":[\"192.168.1.1/24\",\"fd42::1/64\"]}]}", NP_E_MALFORMED,
         "interfaces[0].v4[1]:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":1,\"v4\":[\"192.168.1.1/33\"]}]}", NP_E_MALFORMED,
         "interfaces[0].v4[0]:"},
        {"{\"version\":1,\"interfaces\":[{\"index\":1,\"v6\":[7]}]}", NP_E_TYPE, "interfaces[0].v6[0]:"},
        {"{\"version\":1,\"primary\":[]}", NP_E_TYPE, "primary:"},
        {"{\"version\":1,\"primary\":{\"v4\":[\"127.0.0.1\"]}}", NP_E_MALFORMED, "primary.v4[0]:"},
        {"{\"version\":1,\"primary\":{\"v6\":[\"fe80::1\"]}}", NP_E_MALFORMED, "primary.v6[0]:"},
        {"{\"version\":1,\"allow\":[\"10.9.0.1/16\"]}", NP_E_MALFORMED, "allow[0]:"},
        {"{\"version\":1,\"upstreams\":[\"198.51.100.53:0\"]}", NP_E_MALFORMED, "upstreams[0]:"},
        {"{\"version\":1,\"upstreams\":[\"0.0.0.0\"]}", NP_E_MALFORMED, "upstreams[0]:"},
        {"{\"version\":1,\"upstreams\":[\"tls://192.0.2.1\"]}", NP_E_MALFORMED, "upstreams[0]:"},
        {"{\"version\":1,\"upstreams\":[\"192.0.2.1#a.example\"]}", NP_E_MALFORMED, "upstreams[0]:"},
        {"{\"version\":1,\"ports\":{\"dot\":0}}", NP_E_MALFORMED, "ports.dot:"},
        {"{\"version\":1,\"limits\":[]}", NP_E_TYPE, "limits:"},
        {"{\"version\":1,\"limits\":{\"rate\":100001}}", NP_E_MALFORMED, "limits.rate:"},
        {"{\"version\":1,\"limits\":{\"inflight\":0}}", NP_E_MALFORMED, "limits.inflight:"},
        {"{\"version\":1,\"forward\":[{\"zone\":\"a\"}]}", NP_E_MISSING, "forward[0].to:"},
        {"{\"version\":1,\"forward\":[{\"zone\":\"a\",\"to\":[\"x\"]}]}", NP_E_MALFORMED, "forward[0].to[0]:"},
        {"{\"version\":1,\"forward\":[{\"to\":[\"127.0.0.1\"]}]}", NP_E_MISSING, "forward[0].zone:"},
        {"{\"version\":1,\"mode\":\"own\"}", NP_E_UNKNOWN, "mode:"},
        {"{\"version\":1,\"mode\":1}", NP_E_TYPE, "mode:"},
        {"{\"version\":1,\"canary\":\"yes\"}", NP_E_TYPE, "canary:"},
        {"{\"version\":1,\"rebind\":[]}", NP_E_TYPE, "rebind:"},
        {"{\"version\":1,\"rebind\":{\"filter\":\"yes\"}}", NP_E_UNKNOWN, "rebind.filter:"},
        {"{\"version\":1,\"rebind\":{\"filter\":true}}", NP_E_TYPE, "rebind.filter:"},
        {"{\"version\":1,\"rebind\":{\"allow\":\"a\"}}", NP_E_TYPE, "rebind.allow:"},
        {"{\"version\":1,\"rebind\":{\"allow\":[\"a\",\"*.\"]}}", NP_E_MALFORMED, "rebind.allow[1]:"},
        {"{\"version\":1,\"cache\":\"4M\"}", NP_E_TYPE, "cache:"},
        {"{\"version\":1,\"cache\":1}", NP_E_LIMIT, "cache:"},
        {"{\"version\":1,\"cache\":262143}", NP_E_LIMIT, "cache:"},
        {"{\"version\":1,\"cache\":1073741825}", NP_E_MALFORMED, "cache:"},
        {"{\"version\":1,\"x\":[[[[[[[[[[]]]]]]]]]]}", NP_E_LIMIT, "view:"},
    };
    struct np_view *view = test_malloc(sizeof *view);
    memset(view, 0x5a, sizeof *view);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char error[NP_VIEW_ERROR_MAX];
        int rc = np_view_parse(rows[i].json, strlen(rows[i].json), view, error);
        if (rc != rows[i].rc || strncmp(error, rows[i].error, strlen(rows[i].error)) != 0)
            fail_msg("row %zu: %d '%s'", i, rc, error);
    }
    for (size_t i = 0; i < sizeof *view; i++)
        assert_int_equal(((uint8_t *)view)[i], 0x5a); /* untouched by errors */
    test_free(view);
}

static void test_cut(void **state)
{
    (void)state;
    struct np_view *view = test_malloc(sizeof *view);
    for (size_t len = 0; len < sizeof sample - 1; len++) {
        char error[NP_VIEW_ERROR_MAX], *exact = test_malloc(len + 1);
        memcpy(exact, sample, len);
        assert_int_not_equal(np_view_parse(exact, len, view, error), 0);
        test_free(exact);
    }
    test_free(view);
}

#define LABEL "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz"

/* A view with every table full can be encoded, sent in one frame, and parsed again. */
static void test_full(void **state)
{
    (void)state;
    struct np_view *view = test_malloc(sizeof *view), *again = test_malloc(sizeof *again);
    char error[NP_VIEW_ERROR_MAX], server[NP_VIEW_UPSTREAM_TEXT_MAX], *json = NULL;
    const char *why;
    np_view_init(view);
    struct np_addr v6;
    snprintf(server, sizeof server,
             "tls://[2001:db8:1234:5678:9abc:def0:1234:5678]:5353#%.63s.%.63s.%.63s.%.61s trust-ad", LABEL, LABEL,
             LABEL, LABEL);
    struct np_name name;
    assert_int_equal(np_addr_parse("2001:db8:1234:5678:9abc:def0:1234:5678", &v6), 0);
    assert_int_equal(np_name_parse("a-rather-long-name-of-a-device.in-a-rather-long-zone.devices.example", &name), 0);
    view->own_count = NP_VIEW_OWN_MAX;
    for (size_t i = 0; i < NP_VIEW_OWN_MAX; i++)
        view->own[i].name = name;
    view->interface_count = NP_VIEW_INTERFACES_MAX;
    for (size_t i = 0; i < NP_VIEW_INTERFACES_MAX; i++) {
        struct np_view_interface *interface = &view->interfaces[i];
        interface->index = (uint32_t)i + 1000;
        interface->lan = true;
        memcpy(interface->name, "0123456789abcde", 16);
        interface->v6_count = interface->v4_count = NP_VIEW_ADDRESSES_MAX;
        for (size_t k = 0; k < NP_VIEW_ADDRESSES_MAX; k++) {
            interface->v6[k] = (struct np_prefix){v6, 128};
            interface->v4[k] =
                (struct np_prefix){{.family = AF_INET, .bytes = {192, 168, 100, (uint8_t)(100 + k)}}, 24};
        }
    }
    view->forward_count = NP_VIEW_FORWARDS_MAX;
    for (size_t i = 0; i < NP_VIEW_FORWARDS_MAX; i++) {
        view->forwards[i].zone = name;
        view->forwards[i].to_count = NP_VIEW_FORWARD_TO_MAX;
        for (size_t k = 0; k < NP_VIEW_FORWARD_TO_MAX; k++)
            assert_int_equal(np_view_upstream_parse(server, &view->forwards[i].to[k], &why), 0);
    }
    view->rebind_count = NP_VIEW_REBIND_MAX;
    for (size_t i = 0; i < NP_VIEW_REBIND_MAX; i++) {
        view->rebind_allow[i].name = name;
        view->rebind_allow[i].below = true;
    }
    assert_int_equal(np_view_encode(view, &json), 0);
    assert_int_equal(np_view_parse(json, strlen(json), again, error), 0);
    assert_memory_equal(view, again, sizeof *view);
    free(json);
    test_free(view);
    test_free(again);
}

static void test_admit(void **state)
{
    (void)state;
    static const char json[] =
        "{\"version\":1,\"interfaces\":[{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\",\"192.168.1.2/24\"],"
        "\"v6\":[\"fe80::1/64\"]},{\"index\":2,\"lan\":false,\"v4\":[\"203.0.113.5/24\"]},"
        "{\"index\":4,\"lan\":true,\"v6\":[\"fe80::1/64\"]}],\"allow\":[\"10.9.0.0/16\"]}";
    static const struct {
        const char *source;
        uint32_t ifindex;
        bool admitted;
    } rows[] = {
        {"192.168.1.77", 3, true},  {"192.168.1.77", 2, false}, {"203.0.113.9", 2, false}, {"10.9.1.1", 2, true},
        {"fe80::7", 3, true},       {"fe80::7", 4, true},       {"fe80::7", 2, false},     {"127.0.0.1", 1, true},
        {"198.51.100.1", 3, false}, {"192.168.2.1", 3, false},
    };
    struct np_view *view = test_malloc(sizeof *view);
    char error[NP_VIEW_ERROR_MAX];
    struct np_admit admit;
    assert_int_equal(np_view_parse(json, sizeof json - 1, view, error), 0);
    assert_int_equal(np_view_admit(view, &admit), 0);
    assert_int_equal(admit.subnet_count, 2); /* each subnet once; fe80 alone only where there is nothing else */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr source;
        assert_int_equal(np_addr_parse(rows[i].source, &source), 0);
        if (np_admit(&admit, &source, rows[i].ifindex) != rows[i].admitted)
            fail_msg("row %zu", i);
    }
    test_free(view);
}

static void test_admit_limit(void **state)
{
    (void)state;
    struct np_view *view = test_malloc(sizeof *view);
    struct np_admit admit;
    np_view_init(view);
    view->interface_count = NP_VIEW_INTERFACES_MAX;
    for (size_t i = 0; i < NP_VIEW_INTERFACES_MAX; i++) {
        view->interfaces[i] = (struct np_view_interface){.index = (uint32_t)i + 1, .lan = true, .v4_count = 3};
        for (size_t k = 0; k < 3; k++)
            view->interfaces[i].v4[k] =
                (struct np_prefix){{.family = AF_INET, .bytes = {10, (uint8_t)i, (uint8_t)k, 1}}, 24};
    }
    assert_int_equal(np_view_admit(view, &admit), NP_E_LIMIT);
    assert_int_equal(admit.subnet_count, NP_ADMIT_SUBNETS_MAX);
    view->interface_count = 21;
    assert_int_equal(np_view_admit(view, &admit), 0);
    test_free(view);
}

static void test_upstream(void **state)
{
    (void)state;
    static const struct {
        const char *text, *formatted;
        enum np_tls_mode tls;
        bool trusted;
        const char *name, *clear; /* clear: "" where there is none */
    } rows[] = {
        {"192.0.2.53", "192.0.2.53:53", NP_TLS_OFF, false, "", "192.0.2.53:53"},
        {"[2001:db8::53]:5353", "[2001:db8::53]:5353", NP_TLS_OFF, false, "", "[2001:db8::53]:5353"},
        {"127.0.0.1:5335 trust-ad", "127.0.0.1:5335 trust-ad", NP_TLS_OFF, true, "", "127.0.0.1:5335"},
        {"tls://9.9.9.9#DNS.Quad9.net", "tls://9.9.9.9:853#dns.quad9.net", NP_TLS_STRICT, false, "dns.quad9.net", ""},
        {"tls://2620:fe::fe#dns.quad9.net trust-ad", "tls://[2620:fe::fe]:853#dns.quad9.net trust-ad", NP_TLS_STRICT,
         true, "dns.quad9.net", ""},
        {"tls://[fe80::1%7]:8853#a.example", "tls://[fe80::1%7]:8853#a.example", NP_TLS_STRICT, false, "a.example", ""},
        {"opportunistic://192.0.2.1", "opportunistic://192.0.2.1:853", NP_TLS_OPPORTUNISTIC, false, "", "192.0.2.1:53"},
        {"opportunistic://192.0.2.1:8853#a.example", "opportunistic://192.0.2.1:8853#a.example", NP_TLS_OPPORTUNISTIC,
         false, "a.example", "192.0.2.1:53"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_view_upstream upstream, again;
        struct np_endpoint clear;
        char text[NP_VIEW_UPSTREAM_TEXT_MAX], address[NP_ADDR_TEXT_MAX];
        const char *why = "";
        if (np_view_upstream_parse(rows[i].text, &upstream, &why))
            fail_msg("%s: %s", rows[i].text, why);
        assert_string_equal(np_view_upstream_format(&upstream, text), rows[i].formatted);
        assert_int_equal(upstream.tls, rows[i].tls);
        assert_int_equal(upstream.trusted, rows[i].trusted);
        assert_string_equal(upstream.name, rows[i].name);
        assert_int_equal(np_view_upstream_clear(&upstream, &clear), rows[i].clear[0] != 0);
        if (rows[i].clear[0])
            assert_string_equal(np_endpoint_format(&clear, address), rows[i].clear);
        assert_int_equal(np_view_upstream_parse(text, &again, &why), 0);
        assert_true(np_view_upstream_equal(&upstream, &again));
        again.trusted = !again.trusted;
        assert_false(np_view_upstream_equal(&upstream, &again));
    }
}

static void test_upstream_errors(void **state)
{
    (void)state;
    static const char long_name[] = LABEL "." LABEL "." LABEL "." LABEL "." LABEL;
    static const struct {
        const char *text, *why;
        int rc;
    } rows[] = {
        {"", "not an address", NP_E_MALFORMED},
        {" trust-ad", "not an address", NP_E_MALFORMED},
        {"dns.example", "not an address", NP_E_MALFORMED},
        {"192.0.2.53:0", "not an address", NP_E_MALFORMED},
        {"0.0.0.0", "not an address", NP_E_MALFORMED},
        {"ff02::1", "not an address", NP_E_MALFORMED},
        {"https://192.0.2.53", "not an address", NP_E_MALFORMED},
        {"192.0.2.53 trust-da", "not an address", NP_E_MALFORMED},
        {"tls://", "not an address", NP_E_MALFORMED},
        {"tls://#dns.example", "not an address", NP_E_MALFORMED},
        {"tls://dns.example#dns.example", "not an address", NP_E_MALFORMED},
        {"192.0.2.53#dns.example", "over TLS alone", NP_E_MALFORMED},
        {"tls://192.0.2.53", "needs the name", NP_E_MISSING},
        {"tls://192.0.2.53#", "host name", NP_E_MALFORMED},
        {"tls://192.0.2.53#192.0.2.53", "host name", NP_E_MALFORMED},
        {"tls://192.0.2.53#a b", "host name", NP_E_MALFORMED},
        {"tls://192.0.2.53#a.example#b", "host name", NP_E_MALFORMED},
        {"tls://192.0.2.53#a.example.", "host name", NP_E_MALFORMED},
        {"opportunistic://192.0.2.53#-a", "host name", NP_E_MALFORMED},
    };
    struct np_view_upstream upstream;
    const char *why;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        why = "nothing";
        int rc = np_view_upstream_parse(rows[i].text, &upstream, &why);
        if (rc != rows[i].rc || !strstr(why, rows[i].why))
            fail_msg("'%s': %d, %s", rows[i].text, rc, why);
    }
    char text[sizeof long_name + 32];
    snprintf(text, sizeof text, "tls://192.0.2.53#%s", long_name);
    assert_int_equal(np_view_upstream_parse(text, &upstream, &why), NP_E_MALFORMED);
}

static void test_pattern(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"router.example", "router.example", true},
        {"router.example", "ROUTER.Example", true},
        {"router.example", "www.router.example", false},
        {"router.example", "xrouter.example", false},
        {"router.example", "example", false},
        {"*.plex.direct", "a.plex.direct", true},
        {"*.plex.direct", "a.b.PLEX.direct", true},
        {"*.plex.direct", "plex.direct", false},
        {"*.plex.direct", "aplex.direct", false},
        {"*.example.", "a.example", true},
        {"a.*.example", "a.*.example", true},
        {"a.*.example", "a.b.example", false},
    };
    struct np_view_pattern pattern;
    struct np_name name;
    char text[NP_NAME_TEXT_MAX + 2];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(np_view_pattern_parse(rows[i].pattern, &pattern), 0);
        assert_int_equal(np_name_parse(rows[i].name, &name), 0);
        if (np_view_pattern_matches(&pattern, &name) != rows[i].matches)
            fail_msg("%s, %s", rows[i].pattern, rows[i].name);
    }
    assert_int_equal(np_view_pattern_parse("*.plex.direct", &pattern), 0);
    assert_string_equal(np_view_pattern_format(&pattern, text), "*.plex.direct");
    static const char *const bad[] = {"", ".", "*.", "*..", "a..b", "*.a..b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (np_view_pattern_parse(bad[i], &pattern) != NP_E_MALFORMED)
            fail_msg("'%s' is taken", bad[i]);
    }
}

static void test_filters(void **state)
{
    (void)state;
    struct np_view *view = test_malloc(sizeof *view);
    np_view_init(view);
    assert_false(np_view_filters(view));
    view->role = NP_ROLE_ROUTER;
    assert_true(np_view_filters(view));
    view->rebind_filter = NP_FILTER_OFF;
    assert_false(np_view_filters(view));
    view->role = NP_ROLE_HOST;
    view->rebind_filter = NP_FILTER_ON;
    assert_true(np_view_filters(view));
    test_free(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_admit),
        cmocka_unit_test(test_pattern),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_admit_limit),
        cmocka_unit_test(test_upstream),
        cmocka_unit_test(test_upstream_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
