/* What a proxy says about its client, and what a client says about itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "hq/api/forwarded.h"
#include "resolver/base/error.h"

static void test_last_entry(void **state)
{
    static const struct {
        const char *value, *client;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"198.51.100.7, 192.0.2.1", "192.0.2.1"},
        {"unknown,nonsense ,\t192.0.2.1 ", "192.0.2.1"},
        {"198.51.100.7, 2001:db8::1", "2001:db8::1"},
        {"192.0.2.1:41000", "192.0.2.1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:41000", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct np_addr client;
        char text[NP_ADDR_TEXT_MAX];
        assert_int_equal(np_forwarded_client(cases[i].value, &client), 0);
        assert_string_equal(np_addr_format(&client, text), cases[i].client);
    }
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        ",",
        "192.0.2.1,",
        "192.0.2.1, ",
        "unknown",
        "_hidden",
        "192.0.2.1;198.51.100.7",
        "192.0.2",
        "192.0.2.1 198.51.100.7",
        "for=192.0.2.1",
        "fe80::1%1",
        "[192.0.2.1",
        "192.0.2.1:99999",
        " ",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct np_addr client = {.family = AF_INET6, .scope = 7};
        if (np_forwarded_client(cases[i], &client) != NP_E_MALFORMED)
            fail_msg("'%s' was taken", cases[i]);
        assert_int_equal(client.scope, 7);
    }
    struct np_addr client;
    assert_int_equal(np_forwarded_client(NULL, &client), NP_E_NOT_FOUND);
    assert_int_equal(np_forwarded_client("", &client), NP_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_last_entry), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
