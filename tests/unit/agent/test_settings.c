/* The CONF frame, and which backend a name has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/settings.h"
#include "resolver/base/error.h"

static void parse(const char *text, struct np_front_settings *out)
{
    assert_int_equal(np_front_settings_parse(text, strlen(text), out), 0);
}

static void test_round_trip(void **state)
{
    static const char text[] =
        "{\"backend\":\"127.0.0.1:8080\",\"backends\":[{\"name\":\"files\",\"to\":\"[fd00::1]:9000\"}],"
        "\"proxy\":\"v1\",\"address-access\":true,\"handshakes\":50}";
    struct np_front_settings settings;
    (void)state;
    parse(text, &settings);
    char *again = np_front_settings_encode(&settings);
    assert_string_equal(again, text);
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(np_front_settings_parse(text, len, &settings), NP_E_MALFORMED);
    free(again);
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        "[]",
        "{\"backend\":1}",
        "{\"backend\":\"127.0.0.1\"}",
        "{\"backend\":\"nowhere:80\"}",
        "{\"proxy\":\"v3\"}",
        "{\"handshakes\":-1}",
        "{\"handshakes\":10001}",
        "{\"backends\":[{\"name\":\"a b\",\"to\":\"127.0.0.1:1\"}]}",
        "{\"backends\":[{\"name\":\"\",\"to\":\"127.0.0.1:1\"}]}",
        "{\"backends\":[{\"to\":\"127.0.0.1:1\"}]}",
        "{\"backends\":[1]}",
        "{\"backends\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}",
    };
    struct np_front_settings settings;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(np_front_settings_parse(cases[i], strlen(cases[i]), &settings), NP_E_MALFORMED);
}

static void test_backend_of_a_name(void **state)
{
    static const struct {
        const char *host;
        int port; /* 0: none */
    } cases[] = {
        {"", 80},
        {"box.example", 80},
        {"files.box.example", 81},
        {"x.box.example", 80},
        {"nas.home.arpa", 82},
        {"files.nas.home.arpa", 80},
        {"x.files.box.example", 80},
        {"files", 80},
        {"filesbox.example", 80},
    };
    static struct np_view view;
    struct np_front_settings settings;
    (void)state;
    np_view_init(&view);
    view.own_count = 2;
    assert_int_equal(np_name_parse("box.example", &view.own[0].name), 0);
    assert_int_equal(np_name_parse("nas.home.arpa", &view.own[1].name), 0);
    view.own[0].wildcard = true;
    parse("{\"backend\":\"10.0.0.1:80\",\"backends\":[{\"name\":\"Files\",\"to\":\"10.0.0.1:81\"},"
          "{\"name\":\"NAS.home.arpa\",\"to\":\"10.0.0.1:82\"}]}",
          &settings);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct np_endpoint *backend = np_front_settings_backend(&settings, &view, cases[i].host);
        assert_int_equal(backend ? backend->port : 0, cases[i].port);
    }
    settings.has_backend = false;
    assert_null(np_front_settings_backend(&settings, &view, "box.example"));
    assert_non_null(np_front_settings_backend(&settings, &view, "files.box.example"));
    view.own[0].wildcard = false; /* then no certificate is for it */
    assert_null(np_front_settings_backend(&settings, &view, "files.box.example"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_backend_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
