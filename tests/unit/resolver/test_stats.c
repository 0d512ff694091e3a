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

static void test_round_trip(void **state)
{
    (void)state;
    stats.answers.own = 1;
    stats.answers.failed = 2;
    stats.server.not_admitted = 3;
    stats.forward.case_broken = INT64_MAX;
    stats.inflight = 5;
    add_upstream(".", "198.51.100.53");
    stats.upstreams[0].alive = stats.upstreams[0].measured = true;
    stats.upstreams[0].srtt_us = 1800;
    add_upstream("home.arpa", "tls://[2001:db8::53]:853#dns.example");
    char *text = np_stats_encode(&stats);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"answers\":{\"own\":1,\"special\":0,"));
    assert_non_null(strstr(text, "{\"zone\":\".\",\"address\":\"198.51.100.53:53\",\"alive\":true,\"srtt_us\":1800,"
                                 "\"answers\":7,\"failures\":0}"));
    assert_non_null(strstr(text, "\"zone\":\"home.arpa\",\"address\":\"tls://[2001:db8::53]:853#dns.example\","
                                 "\"alive\":false,\"srtt_us\":null"));
    assert_int_equal(np_stats_parse(text, strlen(text), &again), 0);
    char *text_again = np_stats_encode(&again);
    assert_string_equal(text, text_again);
    free(text);
    free(text_again);
}

static void test_full(void **state)
{
    (void)state;
    char server[NP_VIEW_UPSTREAM_TEXT_MAX] = "tls://198.51.100.53#", zone[] = "a.b.c.d.e.f.g.h.home.arpa";
    memset(server + strlen(server), 'a', 63);
    while (stats.upstream_count < NP_STATS_UPSTREAMS_MAX)
        add_upstream(zone, server);
    char *text = np_stats_encode(&stats);
    assert_non_null(text);
    assert_int_equal(np_stats_parse(text, strlen(text), &again), 0);
    assert_int_equal(again.upstream_count, NP_STATS_UPSTREAMS_MAX);
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
        {"{\"upstreams\":{}}", NP_E_TYPE},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, clear),
        cmocka_unit_test_setup(test_full, clear),
        cmocka_unit_test_setup(test_strangers, clear),
        cmocka_unit_test_setup(test_limits, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
