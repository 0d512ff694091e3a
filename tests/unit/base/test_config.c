#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/config.h"
#include "resolver/base/error.h"

static const char *const roles[] = {"router", "host", NULL};

static const struct np_config_key keys[] = {
    {.name = "hq", .type = NP_CONFIG_STRING},
    {.name = "role", .type = NP_CONFIG_STRING, .default_value = "host", .choices = roles},
    {.name = "lan", .type = NP_CONFIG_LIST},
    {.name = "forward", .type = NP_CONFIG_LIST, .default_value = "{a, b}"},
    {.name = "dns-port", .type = NP_CONFIG_INT, .default_value = "53", .min = 1, .max = 65535},
    {.name = "http", .type = NP_CONFIG_BOOL, .default_value = "true"},
    {.name = "backend", .type = NP_CONFIG_STRING, .default_value = ""},
    {.name = NULL},
};

static char error[NP_CONFIG_ERROR_MAX];

static struct np_config *good(const char *text)
{
    struct np_config *config = NULL;
    int rc = np_config_parse(text, strlen(text), "box.conf", keys, &config, error);
    if (rc)
        fail_msg("%s", error);
    assert_string_equal(error, "");
    return config;
}

static void test_defaults(void **state)
{
    (void)state;
    struct np_config *config = good("");
    assert_null(np_config_string(config, "hq"));
    assert_string_equal(np_config_string(config, "role"), "host");
    assert_string_equal(np_config_string(config, "backend"), "");
    assert_int_equal(np_config_int(config, "dns-port"), 53);
    assert_true(np_config_bool(config, "http"));
    assert_int_equal(np_config_list_count(config, "lan"), 0);
    assert_null(np_config_list(config, "lan", 0));
    assert_int_equal(np_config_list_count(config, "forward"), 2);
    assert_string_equal(np_config_list(config, "forward", 1), "b");
    assert_int_equal(np_config_line(config, "role"), 0);
    np_config_free(config);
    np_config_free(NULL);
}

static void test_values(void **state)
{
    (void)state;
    struct np_config *config = good("# a box\n"
                                    "hq = \"https://hq.devices.example\" # the vendor's\n"
                                    "role = router\n\n"
                                    "lan = {\"br-lan\", 'eth0.20',\n  eth1}\n"
                                    "dns-port = 5353\n"
                                    "http = false\n"
                                    "backend = 127.0.0.1:8080");
    assert_string_equal(np_config_string(config, "hq"), "https://hq.devices.example");
    assert_string_equal(np_config_string(config, "role"), "router");
    assert_int_equal(np_config_list_count(config, "lan"), 3);
    assert_string_equal(np_config_list(config, "lan", 0), "br-lan");
    assert_string_equal(np_config_list(config, "lan", 1), "eth0.20");
    assert_string_equal(np_config_list(config, "lan", 2), "eth1");
    assert_null(np_config_list(config, "lan", 3));
    assert_int_equal(np_config_int(config, "dns-port"), 5353);
    assert_false(np_config_bool(config, "http"));
    assert_string_equal(np_config_string(config, "backend"), "127.0.0.1:8080");
    assert_int_equal(np_config_line(config, "hq"), 2);
    assert_int_equal(np_config_line(config, "role"), 3);
    assert_int_equal(np_config_line(config, "dns-port"), 7);
    assert_int_equal(np_config_line(config, "no-such"), 0);
    np_config_free(config);
    config = good("lan = br-lan\nhq = https://hq.example/v1\n"); /* one value needs no braces, a URL no quotes */
    assert_int_equal(np_config_list_count(config, "lan"), 1);
    assert_string_equal(np_config_list(config, "lan", 0), "br-lan");
    assert_string_equal(np_config_string(config, "hq"), "https://hq.example/v1");
    np_config_free(config);
    config = good("# one\n// two\n/* three\nfour */ hq = \"#no // comment /* here\" # five\n\n"
                  "lan = {a, # six\n  'b#c'}/**/\nlan += {d}\nrole = router // seven\n");
    assert_string_equal(np_config_string(config, "hq"), "#no // comment /* here");
    assert_int_equal(np_config_line(config, "hq"), 4);
    assert_int_equal(np_config_list_count(config, "lan"), 3);
    assert_string_equal(np_config_list(config, "lan", 1), "b#c");
    assert_int_equal(np_config_line(config, "role"), 9);
    np_config_free(config);
    config = good("lan = {}\nforward = {}\n");
    assert_int_equal(np_config_list_count(config, "forward"), 0); /* an empty list is not the default */
    np_config_free(config);
}

static void test_errors(void **state)
{
    static const struct {
        const char *text, *wanted; /* wanted is a part of the error */
    } rows[] = {
        {"roel = router\n", "box.conf:1: unknown key 'roel', did you mean 'role'?"},
        {"\n\nhttpp = true\n", "box.conf:3: unknown key 'httpp', did you mean 'http'?"},
        {"dns_port = 5\n", "box.conf:1: unknown key 'dns_port', did you mean 'dns-port'?"},
        {"colour = red\n", "box.conf:1: unknown key 'colour'"},
        {"hq = a\nrole = gateway\n", "box.conf:2: role = gateway: must be one of router host"},
        {"dns-port = 0\n", "box.conf:1: dns-port = 0: must be from 1 to 65535"},
        {"dns-port = 65536\n", "box.conf:1: dns-port = 65536: must be from 1 to 65535"},
        {"dns-port = 99999999999999999999\n", "box.conf:1: "},
        {"dns-port = many\n", "box.conf:1: "},
        {"dns-port = -1\n", "box.conf:1: "},
        {"http = perhaps\n", "box.conf:1: "},
        {"role = router\nhq = a\nrole = host\n", "box.conf:3: role is set twice (first in line 1)"},
        {"lan = {a}\nlan = {b}\n", "box.conf:2: lan is set twice (first in line 1)"},
        {"lan = {a, b}\nlan = {b, c}\n", "box.conf:2: lan is set twice (first in line 1)"},
        {"# one\n# two\nroel = x\n", "box.conf:3: unknown key 'roel'"},
        {"hq = a\n/* never closed\nrole = host\n", "box.conf:2: a comment is never closed"},
        {"role router\n", "box.conf:1: "},
        {"role =\n", "box.conf:"},
        {"\nrole = \"router\nhq = a\n", "box.conf:2: a quoted value is never closed"},
        {"hq = 'it\\'s\n", "box.conf:1: a quoted value is never closed"},
        {"lan = {a, b\n", "box.conf:"},
        {"hq = {a, b}\n", "box.conf:1: "},
        {"section {\n}\n", "box.conf:1: unknown key 'section'"},
        {"= 5\n", "box.conf:1: "},
        {"}\n", "box.conf:1: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_config *config = NULL;
        int rc = np_config_parse(rows[i].text, strlen(rows[i].text), "box.conf", keys, &config, error);
        if (rc != NP_E_CONFIG || config || !strstr(error, rows[i].wanted))
            fail_msg("'%s': %d '%s'", rows[i].text, rc, error);
        /* Nothing of a broken file is left for the next one. */
        config = good("role = router\n");
        assert_int_equal(np_config_line(config, "role"), 1);
        np_config_free(config);
    }
}

static void test_odd_bytes(void **state)
{
    struct np_config *config = NULL;
    (void)state;
    assert_int_equal(np_config_parse("role = host\0\n", 13, "box.conf", keys, &config, error), NP_E_CONFIG);
    assert_non_null(strstr(error, "NUL"));
    assert_int_equal(np_config_parse("ro\x1b[31mle = x\n", 14, "box.conf", keys, &config, error), NP_E_CONFIG);
    assert_null(strchr(error, '\x1b'));
    char *huge = malloc(NP_CONFIG_FILE_MAX + 1);
    memset(huge, '\n', NP_CONFIG_FILE_MAX + 1);
    assert_int_equal(np_config_parse(huge, NP_CONFIG_FILE_MAX + 1, "box.conf", keys, &config, error), NP_E_CONFIG);
    assert_non_null(strstr(error, "too large"));
    assert_int_equal(np_config_parse(huge, NP_CONFIG_FILE_MAX, "box.conf", keys, &config, error), 0);
    np_config_free(config);
    free(huge);
    config = good("hq = \"caf\xc3\xa9\"\r\nrole = host\r\n"); /* UTF-8 in a value, and lines from a PC */
    assert_string_equal(np_config_string(config, "role"), "host");
    np_config_free(config);
}

static void test_list_limit(void **state)
{
    char text[1024];
    struct np_config *config = NULL;
    (void)state;
    for (int extra = 0; extra <= 1; extra++) {
        size_t n = (size_t)snprintf(text, sizeof text, "lan = {x");
        for (int i = 1; i < NP_CONFIG_LIST_MAX + extra; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, ", x%d", i);
        snprintf(text + n, sizeof text - n, "}\n");
        int rc = np_config_parse(text, strlen(text), "box.conf", keys, &config, error);
        assert_int_equal(rc, extra ? NP_E_CONFIG : 0);
        if (!extra)
            np_config_free(config);
    }
    assert_non_null(strstr(error, "lan has more than 64 values"));
}

static void test_load(void **state)
{
    char path[] = "/tmp/np-test-config-XXXXXX";
    struct np_config *config = NULL;
    (void)state;
    assert_int_equal(np_config_load("/nonexistent/box.conf", keys, &config, error), NP_E_CONFIG);
    assert_string_equal(error, "/nonexistent/box.conf: No such file or directory (--config FILE names another)");
    FILE *file = fdopen(mkstemp(path), "w");
    fputs("role = router\n", file);
    fclose(file);
    assert_int_equal(np_config_load(path, keys, &config, error), 0);
    assert_string_equal(np_config_string(config, "role"), "router");
    np_config_free(config);
    remove(path);
}

static void test_fail(void **state)
{
    (void)state;
    struct np_config *config = good("\nhq = ftp://x\n");
    assert_int_equal(np_config_fail(config, "hq", error, "hq = %s: not https", "ftp://x\n"), NP_E_CONFIG);
    assert_string_equal(error, "box.conf:2: hq = ftp://x?: not https");
    assert_int_equal(np_config_fail(config, "lan", error, "lan is required"), NP_E_CONFIG);
    assert_string_equal(error, "box.conf: lan is required");
    np_config_free(config);
}

static void test_nearest(void **state)
{
    static const char *const words[] = {"role", "lan", "publish", "hq-anchors", "resolv-conf", "http", "https"};
    static const struct {
        const char *text, *wanted;
    } rows[] = {{"role", "role"},
                {"rol", "role"},
                {"roel", "role"},
                {"lna", "lan"},
                {"pulbish", "publish"},
                {"hq_anchors", "hq-anchors"},
                {"resolvconf", "resolv-conf"},
                {"htps", "https"},
                {"httpss", "https"},
                {"completely", NULL},
                {"xyz", NULL},
                {"", NULL},
                {"resolver-config", "resolv-conf"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = np_nearest(rows[i].text, words, sizeof words / sizeof *words);
        if (got != rows[i].wanted && (!got || !rows[i].wanted || strcmp(got, rows[i].wanted) != 0))
            fail_msg("'%s' is near '%s'", rows[i].text, got ? got : "nothing");
    }
    char long_word[200];
    memset(long_word, 'a', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = 0;
    assert_null(np_nearest(long_word, words, 2));
    assert_null(np_nearest("role", words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),  cmocka_unit_test(test_values),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_odd_bytes), cmocka_unit_test(test_list_limit), cmocka_unit_test(test_load),
        cmocka_unit_test(test_fail),      cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
