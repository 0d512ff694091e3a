/* The pages: escaping, size, and that they stand alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/page.h"
#include "resolver/base/error.h"

#define START_MAX 30000 /* bytes that a start page may have, whatever is in it */

static char text[2 * NP_PAGE_MAX];
static struct np_news news;

static const char *write_page(const struct np_page *page)
{
    struct np_writer w = np_writer_make(text, NP_PAGE_MAX);
    np_page_write(&w, page);
    assert_int_equal(w.error, 0);
    text[w.pos] = '\0';
    return text;
}

/* Every text of every kind, as long as it can be and hostile throughout. */
static void test_hostile_texts(void **state)
{
    char name[254], url[300], issuer[97], address[64];
    (void)state;
    memset(name, '"', sizeof name - 1);
    memset(url, '<', sizeof url - 1);
    memset(issuer, '\'', sizeof issuer - 1);
    memset(address, '>', sizeof address - 1);
    name[sizeof name - 1] = url[sizeof url - 1] = issuer[sizeof issuer - 1] = address[sizeof address - 1] = '\0';
    memset(&news, '&', sizeof news);
    news = (struct np_news){.verdict = {.kind = NP_VERDICT_FILTERED, .mend_count = NP_NEWS_LINES_MAX, .checked_s = 1},
                            .history_count = NP_NEWS_HISTORY_MAX};
    memset(news.verdict.by, '"', sizeof news.verdict.by - 1);
    for (size_t i = 0; i < NP_NEWS_LINES_MAX; i++)
        memset(news.verdict.mend[i], '<', sizeof news.verdict.mend[i] - 1);
    for (size_t i = 0; i < NP_NEWS_HISTORY_MAX; i++) {
        news.history[i] = (struct np_news_addresses){.at_s = INT64_MAX, .count = NP_NEWS_ADDRESSES_MAX};
        for (size_t k = 0; k < NP_NEWS_ADDRESSES_MAX; k++)
            memset(news.history[i].addresses[k], '>', sizeof news.history[i].addresses[k] - 1);
    }
    struct np_page page = {.name = name,
                           .news = &news,
                           .here = address,
                           .probe = true,
                           .go = true,
                           .fallback = true,
                           .url = url,
                           .issuer = issuer,
                           .not_before_s = -1,
                           .not_after_s = INT64_MAX,
                           .status = 400,
                           .reason = url,
                           .address_count = NP_PAGE_ADDRESSES_MAX};
    for (size_t i = 0; i < NP_PAGE_ADDRESSES_MAX; i++)
        page.addresses[i] = address;
    for (int kind = NP_PAGE_START; kind <= NP_PAGE_ERROR; kind++) {
        for (int secure = 0; secure < 2; secure++) {
            page.kind = (enum np_page_kind)kind;
            page.secure = secure;
            const char *html = write_page(&page);
            char *script = strstr(text, "<script>");
            if (script) /* ours, and there is none elsewhere */
                *script = '\0';
            assert_true(kind == NP_PAGE_STATUS || strlen(html) < START_MAX);
            assert_null(strstr(html, "<<"));
            assert_null(strstr(html, "{{"));
            assert_null(strstr(html, "\"\"\""));
            assert_null(strstr(html, "''"));
            assert_null(strstr(html, ">>>"));
            assert_null(strstr(html, "@import"));
        }
    }
}

/* The few addresses of elsewhere that a page may have: the name of SVG is none. */
static void test_nothing_from_elsewhere(void **state)
{
    struct np_page page = {.name = "box.example", .url = "https://box.example/", .here = "192.168.1.1"};
    (void)state;
    for (int kind = NP_PAGE_START; kind <= NP_PAGE_ERROR; kind++) {
        page.kind = (enum np_page_kind)kind;
        const char *html = write_page(&page);
        assert_null(strstr(html, "src=\"http"));
        assert_null(strstr(html, "<link rel=\"stylesheet"));
        for (const char *at = html; (at = strstr(at, "http")); at += 4) {
            bool own = strncmp(at, "https://box.example/", 20) == 0 || strncmp(at, "http://192.168.1.1/", 19) == 0 ||
                       strncmp(at, "http://www.w3.org/", 18) == 0 || strncmp(at, "https.\n", 6) == 0;
            if (!own)
                print_error("kind %d: %.60s\n", kind, at);
            assert_true(own);
        }
    }
}

/* Half of it is the library for the QR code; the start page has none. */
static void test_sizes(void **state)
{
    struct np_page page = {.kind = NP_PAGE_STATUS,
                           .name = "nifty-babbage.devices.example",
                           .url = "https://nifty-babbage.devices.example/",
                           .addresses = {"192.168.178.123"},
                           .address_count = 1};
    (void)state;
    assert_true(strlen(write_page(&page)) < 30000);
    assert_non_null(strstr(text, "<script>var qrcode="));
    page.kind = NP_PAGE_START;
    assert_true(strlen(write_page(&page)) < 12000);
    assert_null(strstr(text, "<script>var qrcode="));
}

static void test_verdicts(void **state)
{
    static const struct {
        enum np_verdict_kind told;
        const char *name, *url;
        enum np_verdict_kind shown;
        const char *words;
    } cases[] = {
        {NP_VERDICT_FINE, "", "", NP_VERDICT_NO_NAME, "no name yet"},
        {NP_VERDICT_NO_NAME, "nas.home.arpa", "", NP_VERDICT_NO_NAME, "no name yet"},
        {NP_VERDICT_FINE, "a.example", "", NP_VERDICT_NO_CERTIFICATE, "is on its way"},
        {NP_VERDICT_EXPIRED, "a.example", "", NP_VERDICT_EXPIRED, "Certificate not valid"},
        {NP_VERDICT_EXPIRED, "a.example", "https://a.example/", NP_VERDICT_UNKNOWN, "Most often the router"},
        {NP_VERDICT_UNKNOWN, "a.example", "https://a.example/", NP_VERDICT_UNKNOWN, "rebind-domain-ok=/a.example/"},
        {NP_VERDICT_FINE, "a.example", "https://a.example/", NP_VERDICT_FINE, "answer this name as they should"},
        {NP_VERDICT_OFFLINE, "a.example", "https://a.example/", NP_VERDICT_OFFLINE, "no Internet connection"},
        {NP_VERDICT_FILTERED, "a.example", "https://a.example/", NP_VERDICT_FILTERED, "must be allowed there"},
        {NP_VERDICT_STALE, "a.example", "https://a.example/", NP_VERDICT_STALE, "earlier address"},
        {NP_VERDICT_HIJACKED, "a.example", "https://a.example/", NP_VERDICT_HIJACKED, "not this device"},
        {NP_VERDICT_INTERCEPTED, "a.example", "https://a.example/", NP_VERDICT_INTERCEPTED, "on the way"},
        {NP_VERDICT_CAPTIVE, "a.example", "https://a.example/", NP_VERDICT_CAPTIVE, "click or a login"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        news = (struct np_news){.verdict = {.kind = cases[i].told, .by = "dnsmasq"}};
        struct np_page page = {.kind = NP_PAGE_START, .name = cases[i].name, .url = cases[i].url, .news = &news};
        assert_int_equal(np_page_verdict(&page), cases[i].shown);
        const char *html = write_page(&page);
        if (!strstr(html, cases[i].words))
            print_error("%zu: %s is not in\n%s\n", i, cases[i].words, html);
        assert_non_null(strstr(html, cases[i].words));
    }
}

static void test_offline_is_said(void **state)
{
    struct np_page page = {.kind = NP_PAGE_WAITING, .name = "a.example", .news = &news, .here = "192.168.1.1"};
    (void)state;
    news = (struct np_news){.verdict.kind = NP_VERDICT_NO_CERTIFICATE};
    assert_non_null(strstr(write_page(&page), "does not get through"));
    assert_non_null(strstr(text, "href=\"http://192.168.1.1/\""));
    news.online = true;
    assert_null(strstr(write_page(&page), "does not get through"));
}

/* What the probe says to be done is shown as it is, and only with the verdict that it belongs to. */
static void test_mending(void **state)
{
    struct np_page page = {.kind = NP_PAGE_STATUS, .name = "a.example", .url = "https://a.example/", .news = &news};
    (void)state;
    news = (struct np_news){.verdict = {.kind = NP_VERDICT_FILTERED,
                                        .by = "192.168.1.254",
                                        .mend = {"private-domain: \"a.example\"", "then restart it"},
                                        .mend_count = 2,
                                        .checked_s = 951868799},
                            .history = {{.at_s = 60, .addresses = {"192.168.1.1", "fd42::1"}, .count = 2}, {0}},
                            .history_count = 2};
    write_page(&page);
    assert_non_null(strstr(text, "<li><code>private-domain: &quot;a.example&quot;</code></li>"));
    assert_non_null(strstr(text, "then restart it"));
    assert_non_null(strstr(text, "192.168.1.254"));
    assert_non_null(strstr(text, "29 February 2000, 23:59 UTC"));
    assert_null(strstr(text, "FRITZ!Box"));
    assert_non_null(strstr(text, "192.168.1.1, fd42::1"));
    assert_non_null(strstr(text, "1 January 1970, 00:01 UTC"));
    assert_non_null(strstr(text, "<li>none"));
    news.verdict.kind = NP_VERDICT_EXPIRED; /* of a moment ago: https works again */
    assert_null(strstr(write_page(&page), "then restart it"));
}

static void test_what_the_script_may(void **state)
{
    struct np_page page = {.kind = NP_PAGE_START, .name = "a.example", .url = "https://a.example:8443/", .go = true};
    char policy[NP_PAGE_POLICY_MAX];
    (void)state;
    assert_null(strstr(write_page(&page), "data-url")); /* from a public address */
    assert_null(strstr(text, "data-go"));
    assert_null(strstr(np_page_policy(&page, policy), "a.example"));
    page.probe = true;
    assert_non_null(strstr(write_page(&page), "data-url=\"https://a.example:8443/\" data-go=\"yes\""));
    assert_non_null(strstr(np_page_policy(&page, policy), "connect-src 'self' https://a.example:8443;"));
    page.url = "https://a;script-src *.example/";
    assert_null(strstr(np_page_policy(&page, policy), "a;"));
}

static void test_status(void **state)
{
    struct np_page page = {.kind = NP_PAGE_STATUS};
    (void)state;
    news = (struct np_news){0};
    assert_non_null(strstr(write_page(&page), "no name yet"));
    page.name = "box.example";
    assert_non_null(strstr(write_page(&page), "on its way"));
    page.url = "https://box.example/";
    page.issuer = "R11";
    page.not_before_s = 0;
    page.not_after_s = 951868799; /* the last second of 29 February 2000 */
    page.addresses[page.address_count++] = "192.168.1.1";
    const char *html = write_page(&page);
    assert_non_null(strstr(html, "href=\"https://box.example/\""));
    assert_non_null(strstr(html, "1 January 1970 to 29 February 2000"));
    assert_non_null(strstr(html, "<dd>R11</dd>"));
    assert_non_null(strstr(html, "192.168.1.1"));
    page.secure = true;
    assert_non_null(strstr(write_page(&page), "Connected securely"));
}

/* A page that a stranger's name may show knows nothing of the device. */
static void test_misdirected_says_nothing(void **state)
{
    struct np_page page = {.kind = NP_PAGE_MISDIRECTED,
                           .name = "box.example",
                           .url = "https://box.example/",
                           .issuer = "R11",
                           .not_after_s = 1,
                           .addresses = {"192.168.1.1"},
                           .address_count = 1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *html = write_page(&page);
        assert_null(strstr(html, "box.example"));
        assert_null(strstr(html, "192.168"));
        assert_null(strstr(html, "R11"));
        page.kind = NP_PAGE_ERROR;
    }
}

static void test_too_small_a_buffer(void **state)
{
    struct np_page page = {.kind = NP_PAGE_STATUS};
    struct np_writer w = np_writer_make(text, 1000);
    (void)state;
    np_page_write(&w, &page);
    assert_int_equal(w.error, NP_E_LIMIT);
}

static void test_policy(void **state)
{
    char policy[NP_PAGE_POLICY_MAX];
    struct np_page page = {.kind = NP_PAGE_ERROR};
    (void)state;
    np_page_policy(&page, policy);
    assert_null(strstr(policy, "script-src"));
    assert_null(strstr(policy, "connect-src"));
    assert_non_null(strstr(policy, "default-src 'none'; style-src 'sha256-"));
    assert_non_null(strstr(policy, "frame-ancestors 'none'"));
    assert_true(strlen(policy) < NP_PAGE_POLICY_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_nothing_from_elsewhere),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_offline_is_said),
        cmocka_unit_test(test_mending),
        cmocka_unit_test(test_what_the_script_may),
        cmocka_unit_test(test_misdirected_says_nothing),
        cmocka_unit_test(test_too_small_a_buffer),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
