/* The NEWS frame: both ways, hostile, and the history of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/news.h"
#include "resolver/base/error.h"

static void test_round_trip(void **state)
{
    static const struct np_news news = {
        .verdict = {.kind = NP_VERDICT_FILTERED,
                    .by = "dnsmasq",
                    .mend = {"rebind-domain-ok=/a.example/", "reload it"},
                    .mend_count = 2,
                    .checked_s = 1700000000},
        .online = true,
        .history = {{.at_s = 5, .addresses = {"192.168.1.1", "fd42::1"}, .count = 2}, {.at_s = 0, .count = 0}},
        .history_count = 2,
    };
    static struct np_news back;
    (void)state;
    char *text = np_news_encode(&news);
    assert_non_null(text);
    assert_int_equal(np_news_parse(text, strlen(text), &back), 0);
    assert_memory_equal(&back, &news, sizeof news);
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(np_news_parse(text, len, &back), NP_E_MALFORMED);
    free(text);
}

static void test_odd_ones(void **state)
{
    static struct np_news news;
    (void)state;
    assert_int_equal(np_news_parse("[]", 2, &news), NP_E_MALFORMED);
    static const char empty[] =
        "{\"verdict\":\"of-tomorrow\",\"by\":1,\"mend\":[1,{}],\"history\":[3,{}],\"online\":1}";
    assert_int_equal(np_news_parse(empty, strlen(empty), &news), 0);
    assert_int_equal(news.verdict.kind, NP_VERDICT_UNKNOWN);
    assert_int_equal(news.verdict.mend_count, 0);
    assert_int_equal(news.history_count, 1);
    assert_false(news.online);
}

static void test_too_much_is_cut(void **state)
{
    static struct np_news news;
    static char text[8000], line[600];
    int len = snprintf(text, sizeof text, "{\"by\":\"a\\nb\",\"mend\":[");
    (void)state;
    memset(line, 'x', sizeof line - 1);
    for (int i = 0; i < NP_NEWS_LINES_MAX + 1; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "%s\"%s\"", i ? "," : "", line);
    len += snprintf(text + len, sizeof text - (size_t)len,
                    "],\"history\":[{\"addresses\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}");
    for (int i = 0; i < NP_NEWS_HISTORY_MAX; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, ",{}");
    len += snprintf(text + len, sizeof text - (size_t)len, "]}");
    assert_int_equal(np_news_parse(text, (size_t)len, &news), 0);
    assert_string_equal(news.verdict.by, "a?b");
    assert_int_equal(news.verdict.mend_count, NP_NEWS_LINES_MAX);
    assert_int_equal(strlen(news.verdict.mend[0]), NP_NEWS_LINE_MAX);
    assert_int_equal(news.history_count, NP_NEWS_HISTORY_MAX);
    assert_int_equal(news.history[0].count, NP_NEWS_ADDRESSES_MAX);
}

static void test_words(void **state)
{
    (void)state;
    for (int i = 0; i < NP_VERDICT_KINDS; i++)
        assert_int_equal(np_verdict_parse(np_verdict_name((enum np_verdict_kind)i)), i);
    assert_int_equal(np_verdict_parse(""), NP_VERDICT_UNKNOWN);
}

static void test_history(void **state)
{
    static struct np_news news;
    struct np_news_addresses entry = {.count = 1};
    (void)state;
    for (int i = 0; i < NP_NEWS_HISTORY_MAX + 3; i++) {
        entry.at_s = i;
        snprintf(entry.addresses[0], sizeof entry.addresses[0], "10.0.0.%d", i);
        assert_true(np_news_add_addresses(&news, &entry));
        entry.at_s = 1000; /* the same addresses are no change */
        assert_false(np_news_add_addresses(&news, &entry));
    }
    assert_int_equal(news.history_count, NP_NEWS_HISTORY_MAX);
    assert_int_equal(news.history[0].at_s, NP_NEWS_HISTORY_MAX + 2);
    assert_string_equal(news.history[NP_NEWS_HISTORY_MAX - 1].addresses[0], "10.0.0.3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_odd_ones), cmocka_unit_test(test_too_much_is_cut),
        cmocka_unit_test(test_words),      cmocka_unit_test(test_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
