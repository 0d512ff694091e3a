/* The pages: escaping, size, and that they stand alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/page.h"
#include "resolver/base/error.h"

static char text[2 * NP_PAGE_MAX];

static const char *write_page(const struct np_page *page)
{
    struct np_writer w = np_writer_make(text, NP_PAGE_MAX);
    np_page_write(&w, page);
    assert_int_equal(w.error, 0);
    text[w.pos] = '\0';
    return text;
}

static void test_escape(void **state)
{
    (void)state;
    struct np_writer w = np_writer_make(text, sizeof text);
    np_page_escape(&w, "a&<b>\"'\n\x7f\xc3\xa4");
    np_page_escape(&w, NULL);
    text[w.pos] = '\0';
    assert_string_equal(text, "a&amp;&lt;b&gt;&quot;&#39;??\xc3\xa4");
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
    struct np_page page = {.name = name,
                           .url = url,
                           .issuer = issuer,
                           .not_before_s = -1,
                           .not_after_s = INT64_MAX,
                           .status = 400,
                           .reason = url,
                           .address_count = NP_PAGE_ADDRESSES_MAX};
    for (size_t i = 0; i < NP_PAGE_ADDRESSES_MAX; i++)
        page.addresses[i] = address;
    for (int kind = NP_PAGE_STATUS; kind <= NP_PAGE_ERROR; kind++) {
        for (int secure = 0; secure < 2; secure++) {
            page.kind = (enum np_page_kind)kind;
            page.secure = secure;
            const char *html = write_page(&page);
            assert_true(strlen(html) < 30000);
            assert_null(strstr(html, "<<"));
            assert_null(strstr(html, "\"\"\""));
            assert_null(strstr(html, "''"));
            assert_null(strstr(html, ">>>"));
            assert_null(strstr(html, "<script"));
            assert_null(strstr(html, "http:"));
            assert_null(strstr(html, "@import"));
        }
    }
}

static void test_status(void **state)
{
    struct np_page page = {.kind = NP_PAGE_STATUS};
    (void)state;
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
    (void)state;
    np_page_policy(policy);
    assert_non_null(strstr(policy, "default-src 'none'; style-src 'sha256-"));
    assert_non_null(strstr(policy, "frame-ancestors 'none'"));
    assert_true(strlen(policy) < NP_PAGE_POLICY_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_misdirected_says_nothing),
        cmocka_unit_test(test_too_small_a_buffer),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
