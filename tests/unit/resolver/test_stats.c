/* The resolver's counters as JSON, there and back, and what a stranger could send instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/stats.h"

static struct np_stats stats, again;

static int clear(void **state)
{
    (void)state;
    memset(&stats, 0, sizeof stats);
    memset(&again, 0x5a, sizeof again);
    return 0;
}

static void add_upstream(const char *zone, const char *server)
{
    const char *why;
    struct np_forward_upstream *upstream = &stats.upstreams[stats.upstream_count++];
    assert_int_equal(np_name_parse(zone, &upstream->zone), 0);
    assert_int_equal(np_view_upstream_parse(server, &upstream->server, &why), 0);
    upstream->answers = 7;
}

static void add_blocked(const char *name, const char *addr)
{
    struct np_blocked_name *entry = &stats.blocked[stats.blocked_count++];
    assert_int_equal(np_name_parse(name, &entry->name), 0);
    if (addr)
        assert_int_equal(np_addr_parse(addr, &entry->addr), 0);
    entry->count = 3;
    entry->error = 1;
    entry->qtype = 28;
    entry->last_ms = 20000;
}

static void test_round_trip(void **state)
{
    (void)state;
    stats.answers.own = 1;
    stats.answers.failed = 2;
    stats.server.not_admitted = 3;
    stats.forward.case_broken = INT64_MAX;
    stats.inflight = 5;
    stats.cache.hits = 6;
    stats.cache.size = 4 << 20;
    add_upstream(".", "198.51.100.53");
    stats.upstreams[0].alive = stats.upstreams[0].measured = true;
    stats.upstreams[0].health = NP_FORWARD_ALIVE;
    stats.upstreams[0].srtt_us = 1800;
    add_upstream("home.arpa", "tls://[2001:db8::53]:853#dns.example");
    stats.upstreams[1].tls = (struct np_upstream_tls){.failed = true, .reason = NP_PEER_NAME, .refused = 2};
    add_blocked("evil.example", "192.168.1.1");
    add_blocked("a\\000b.example", NULL);
    for (int i = 0; i < 99; i++)
        np_latency_add(&stats.local, 1500);
    np_latency_add(&stats.local, 20000000000);
    np_latency_add(&stats.forward.latency, 30000000);
    char *text = np_stats_encode(&stats);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"local\":{\"count\":100,\"sum_ns\":"));
    assert_non_null(strstr(text, "\"p50_ns\":1536,\"p99_ns\":1536,\"buckets\":[[1536,99],[9223372036854775807,1]]}"));
    assert_non_null(strstr(text, "\"forwarded\":{\"count\":1,\"sum_ns\":30000000,\"p50_ns\":33554432,"));
    assert_non_null(strstr(text, "\"blocked\":[{\"name\":\"evil.example\",\"count\":3,\"error\":1,\"type\":28,"
                                 "\"address\":\"192.168.1.1\",\"last_seconds\":20},{\"name\":\"a\\\\000b.example\","));
    assert_non_null(strstr(text, "\"address\":null"));
    assert_non_null(strstr(text, "\"answers\":{\"own\":1,\"special\":0,"));
    assert_non_null(strstr(text, "\"cache\":{\"hits\":6,"));
    assert_non_null(strstr(text, "\"size\":4194304}"));
    assert_non_null(strstr(text, "{\"zone\":\".\",\"address\":\"198.51.100.53:53\",\"alive\":true,\"srtt_us\":1800,"
                                 "\"answers\":7,\"failures\":0,\"health\":\"alive\",\"tls\":\"off\",\"tls_opened\":0,"
                                 "\"tls_failed\":0}"));
    assert_non_null(strstr(text, "\"tls\":\"name-mismatch\",\"tls_opened\":0,\"tls_failed\":2}"));
    assert_non_null(strstr(text, "\"zone\":\"home.arpa\",\"address\":\"tls://[2001:db8::53]:853#dns.example\","
                                 "\"alive\":false,\"srtt_us\":null"));
    assert_int_equal(np_stats_parse(text, strlen(text), &again), 0);
    char *text_again = np_stats_encode(&again);
    assert_string_equal(text, text_again);
    free(text);
    free(text_again);
}

/* Whatever the names, it fits into a frame, and the most frequent ones are in it. */
static void test_full(void **state)
{
    (void)state;
    char server[NP_VIEW_UPSTREAM_TEXT_MAX] = "tls://[2001:db8:1111:2222:3333:4444:5555:6666]:853#";
    struct np_name worst = {.len = 255};
    for (size_t i = 0; i + 1 < worst.len; i += worst.wire[i] + 1u)
        worst.wire[i] = i + 64 < worst.len ? 63 : (uint8_t)(worst.len - i - 2);
    for (size_t i = 0; i < NP_VIEW_AUTH_MAX; i++)
        snprintf(server + strlen(server), 2, i % 64 == 63 ? "." : "a");
    while (stats.upstream_count < NP_STATS_UPSTREAMS_MAX) {
        add_upstream(".", server);
        stats.upstreams[stats.upstream_count - 1].zone = worst;
    }
    while (stats.blocked_count < NP_BLOCKED_MAX) {
        add_blocked("x", "fd00:1111:2222:3333:4444:5555:6666:7777");
        stats.blocked[stats.blocked_count - 1].name = worst;
        stats.blocked[stats.blocked_count - 1].count = 1000 - stats.blocked_count;
    }
    for (size_t i = 0; i < NP_LATENCY_BUCKETS; i++) {
        stats.local.buckets[i] = stats.cached.buckets[i] = stats.forward.latency.buckets[i] =
            INT64_MAX / NP_LATENCY_BUCKETS;
        stats.local.count = stats.forward.latency.count = INT64_MAX;
    }
    char *text = np_stats_encode(&stats);
    assert_non_null(text);
    assert_in_range(strlen(text), NP_STATS_TEXT_MAX / 2, NP_STATS_TEXT_MAX);
    assert_int_equal(np_stats_parse(text, strlen(text), &again), 0);
    assert_int_equal(again.upstream_count, NP_STATS_UPSTREAMS_MAX);
    assert_in_range(again.blocked_count, 12, NP_BLOCKED_MAX);
    assert_int_equal(again.blocked[0].count, 999);
    free(text);
}

static void test_strangers(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int rc;
    } rows[] = {
        {"{}", 0},
        {"{\"new\":[{}],\"answers\":{\"new\":\"x\"}}", 0},
        {"", NP_E_MALFORMED},
        {"[]", NP_E_MALFORMED},
        {"{} x", NP_E_MALFORMED},
        {"{\"answers\":{},\"answers\":{}}", NP_E_MALFORMED},
        {"{\"answers\":[]}", NP_E_TYPE},
        {"{\"answers\":{\"own\":\"1\"}}", NP_E_TYPE},
        {"{\"answers\":{\"own\":1.5}}", NP_E_TYPE},
        {"{\"answers\":{\"own\":-1}}", NP_E_MALFORMED},
        {"{\"answers\":{\"own\":9223372036854775808}}", NP_E_MALFORMED},
        {"{\"forward\":{\"inflight\":null}}", NP_E_TYPE},
        {"{\"latency\":[],\"upstreams\":[]}", 0},
        {"{\"latency\":{\"local\":{\"buckets\":[[1536,5],[1536,6]]}}}", 0},
        {"{\"latency\":{\"local\":{\"buckets\":[[1537,5]]}}}", NP_E_MALFORMED},
        {"{\"latency\":{\"local\":{\"buckets\":[[1536,5,6]]}}}", NP_E_MALFORMED},
        {"{\"latency\":{\"local\":{\"buckets\":[[1536,-5]]}}}", NP_E_MALFORMED},
        {"{\"latency\":{\"local\":{\"buckets\":[[1536,9223372036854775807],[1536,1]]}}}", NP_E_MALFORMED},
        {"{\"latency\":{\"local\":{\"buckets\":[\"x\"]}}}", NP_E_MALFORMED},
        {"{\"latency\":{\"forwarded\":{\"sum_ns\":\"x\"}}}", NP_E_TYPE},
        {"{\"upstreams\":{}}", NP_E_TYPE},
        {"{\"blocked\":{}}", NP_E_TYPE},
        {"{\"blocked\":[{}]}", NP_E_MALFORMED},
        {"{\"blocked\":[{\"name\":\"a\",\"address\":\"x\"}]}", NP_E_MALFORMED},
        {"{\"blocked\":[{\"name\":\"a\",\"type\":65536}]}", NP_E_MALFORMED},
        {"{\"blocked\":[{\"name\":\"a\",\"last_seconds\":9223372036854775807}]}", NP_E_MALFORMED},
        {"{\"upstreams\":[1]}", NP_E_MALFORMED},
        {"{\"upstreams\":[{\"zone\":\".\"}]}", NP_E_MALFORMED},
        {"{\"upstreams\":[{\"zone\":\"a..b\",\"address\":\"192.0.2.1\"}]}", NP_E_MALFORMED},
        {"{\"upstreams\":[{\"zone\":\".\",\"address\":\"<b>\"}]}", NP_E_MALFORMED},
        {"{\"upstreams\":[{\"zone\":\".\",\"address\":\"192.0.2.1\",\"srtt_us\":-1}]}", NP_E_MALFORMED},
        {"{\"upstreams\":[{\"zone\":\".\",\"address\":\"192.0.2.1\",\"failures\":\"\"}]}", NP_E_TYPE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_stats before = again;
        int rc = np_stats_parse(rows[i].json, strlen(rows[i].json), &again);
        if (rc != rows[i].rc)
            fail_msg("%s: %d", rows[i].json, rc);
        if (rc)
            assert_memory_equal(&again, &before, sizeof again);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static char text[NP_STATS_TEXT_MAX + 2];
    memset(text, ' ', sizeof text);
    memcpy(text, "{}", 2);
    assert_int_equal(np_stats_parse(text, NP_STATS_TEXT_MAX, &again), 0);
    assert_int_equal(np_stats_parse(text, NP_STATS_TEXT_MAX + 1, &again), NP_E_LIMIT);
    size_t len = (size_t)snprintf(text, sizeof text, "{\"upstreams\":[0");
    for (size_t i = 0; i < NP_STATS_UPSTREAMS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",0");
    len += (size_t)snprintf(text + len, sizeof text - len, "]}");
    assert_int_equal(np_stats_parse(text, len, &again), NP_E_LIMIT);
}

/* The rows of a family stand together and its first one has the help: promtool and parsers of OpenMetrics insist. */
static void test_metrics(void **state)
{
    (void)state;
    struct np_metrics metrics;
    add_upstream(".", "198.51.100.53");
    add_upstream("home.arpa", "127.0.0.1:5353");
    stats.upstreams[0].alive = true;
    stats.answers.own = 7;
    np_latency_add(&stats.local, 1500);
    np_metrics_init(&metrics, NP_METRICS_OPENMETRICS);
    np_stats_write_metrics(&stats, &metrics);
    char *text = np_metrics_finish(&metrics);
    assert_non_null(text);
    assert_non_null(strstr(text, "\nnameplate_dns_queries_total{outcome=\"own\"} 7\n"));
    assert_non_null(strstr(text, "\nnameplate_dns_upstream_up{zone=\".\",server=\"198.51.100.53:53\"} 1\n"
                                 "nameplate_dns_upstream_up{zone=\"home.arpa\",server=\"127.0.0.1:5353\"} 0\n"));
    assert_non_null(strstr(text, "{path=\"local\",le=\"1.024e-06\"} 0\n"));
    assert_non_null(strstr(text, "{path=\"local\",le=\"2.048e-06\"} 1\n"));
    assert_non_null(strstr(text, "_sum{path=\"local\"} 1.5e-06\n"));
    for (const char *at = text; (at = strstr(at, "# TYPE ")); at++) {
        char line[128];
        snprintf(line, sizeof line, "%.*s ", (int)strcspn(at + 7, " "), at + 7);
        char type[160];
        snprintf(type, sizeof type, "# TYPE %s", line);
        assert_null(strstr(at + 1, type));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, clear), cmocka_unit_test_setup(test_full, clear),
        cmocka_unit_test_setup(test_metrics, clear),    cmocka_unit_test_setup(test_strangers, clear),
        cmocka_unit_test_setup(test_limits, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
