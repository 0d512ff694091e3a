/* nameplate-hq.conf: what is refused, and what the error says; the URL; HQ's own certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/config.h"
#include "hq/pki.h"
#include "hq/tls.h"
#include "resolver/base/error.h"

#define REST  "database = d\nsecrets = s\ntls-certificate = c\ntls-key = k\n"
#define START "zone = devices.example\nurl = \"https://hq.devices.example\"\n"

static int read_text(const char *text, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    struct np_config *config = NULL;
    int rc = np_config_parse(text, strlen(text), "hq.conf", np_hq_config_keys(), &config, error);
    if (rc)
        return rc;
    rc = np_hq_config_read(config, out, error);
    np_config_free(config);
    return rc;
}

static void test_good(void **state)
{
    (void)state;
    struct np_hq_config c;
    char error[NP_CONFIG_ERROR_MAX];
    assert_int_equal(read_text(START REST
                               "nameservers = {\"ns1.x=192.0.2.1\", \"ns1.x=2001:db8::1\", \"ns2.x=192.0.2.2\"}\n"
                               "enrol = {open, factory-secret}\nlisten = {\"[::1]:8443\", \"127.0.0.1\"}\n",
                               &c, error),
                     0);
    assert_string_equal(c.host, "hq.devices.example");
    assert_int_equal(c.nameserver_count, 2); /* each name once */
    assert_true(c.enrol[NP_CREDENTIAL_OPEN] && c.enrol[NP_CREDENTIAL_FACTORY_SECRET]);
    assert_int_equal(c.listen_count, 2);
    assert_int_equal(c.listen[0].port, 8443);
    assert_int_equal(c.listen[1].port, 443);
    assert_int_equal(c.ttl_s, 60);
    assert_int_equal(read_text(START "database = d\nsecrets = s\nlisten = {\"unix:/run/h\"}\n", &c, error), 0);
    assert_int_equal(c.listen_count, 0);
    assert_int_equal(c.socket_count, 1);
    assert_string_equal(c.sockets[0], "/run/h");
    assert_int_equal(c.socket_mode, 0660);
    assert_int_equal(
        read_text(START REST "listen = {\"unix:/run/h\", \"[::1]:8443\"}\nlisten-mode = \"600\"\n", &c, error), 0);
    assert_int_equal(c.listen[0].port, 8443);
    assert_int_equal(c.socket_mode, 0600);
    assert_int_equal(read_text(START REST, &c, error), 0);
    assert_true(!c.enrol[NP_CREDENTIAL_OPEN] && c.enrol[NP_CREDENTIAL_FACTORY_SECRET]); /* open is never the default */
    assert_false(c.publish_shared);
    assert_false(c.publish_global);
    assert_string_equal(c.user, "");
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {REST, "'zone' is missing"},
        {"zone = Devices.example\n", "hq.conf:1: zone = Devices.example: must be"},
        {"zone = devices.example\n" REST, "'url' is missing"},
        {"zone = devices.example\n\nurl = \"http://hq\"\n", "hq.conf:3: url = http://hq: must be"},
        {START "database = d\n", "'secrets' is missing"},
        {START REST "listen = \"nonsense\"\n", "listen = nonsense: must be ADDRESS:PORT"},
        {START REST "listen = \"unix:http\"\n", "listen = unix:http: must be unix:/PATH"},
        {START REST "listen = \"unix:/h\"\nlisten-mode = 0668\n", "listen-mode = 0668: must be octal"},
        {START REST "listen = \"unix:/h\"\nlisten-mode = 4755\n", "must be from 0000 to 0777"},
        {START "database = d\nsecrets = s\n", "'tls-certificate' is missing"},
        {START REST "nameservers = ns1\n", "nameservers = ns1: must be NAME=ADDRESS"},
        {START REST "enrol = everybody\n", "enrol = everybody: must be"},
        {START REST "ttl = 0\n", "ttl = 0: must be from 1"},
        {START REST "log-level = loud\n", "log-level = loud: must be one of"},
        {START REST "nameserver = x\n", "did you mean 'nameservers'?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_hq_config c;
        char error[NP_CONFIG_ERROR_MAX] = "";
        if (read_text(rows[i].text, &c, error) != NP_E_CONFIG || !strstr(error, rows[i].error))
            fail_msg("row %zu: %s", i, error);
    }
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
        int port; /* 0: refused */
    } rows[] = {
        {"https://hq.example", "hq.example", 443},
        {"https://hq.example/", "hq.example", 443},
        {"https://hq.example:8443/", "hq.example", 8443},
        {"https://hq.example:65536", "", 0},
        {"https://hq.example:", "", 0},
        {"https://hq.example:0", "", 0},
        {"https://hq.example/v1", "", 0},
        {"https://hq.example//", "", 0},
        {"https://hq.example?x", "", 0},
        {"https://user@hq.example", "", 0},
        {"https://", "", 0},
        {"https:///x", "", 0},
        {"http://hq.example", "", 0},
        {"https://192.0.2.1", "", 0},
        {"https://[2001:db8::1]", "", 0},
        {"HTTPS://hq.example", "", 0},
        {"", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char host[NP_NAME_MAX + 1] = "";
        uint16_t port = 0;
        int rc = np_hq_url_split(rows[i].url, host, &port);
        if (rc != (rows[i].port ? 0 : NP_E_MALFORMED) || strcmp(host, rows[i].host) != 0 || port != rows[i].port)
            fail_msg("%s: %d, %s, %u", rows[i].url, rc, host, port);
    }
}

static void test_private_ca(void **state)
{
    (void)state;
    struct np_hq_key *ca = NULL, *other = NULL, *leaf_key = NULL;
    struct np_tls *tls = NULL;
    char *ca_pem = NULL, *leaf = NULL, *leaf_key_pem = NULL, *other_pem = NULL;
    int64_t from, to, now = 1790000000;
    assert_int_equal(np_hq_key_make(&ca), 0);
    assert_int_equal(np_hq_key_make(&other), 0);
    assert_int_equal(np_hq_key_make(&leaf_key), 0);
    assert_int_equal(np_pki_make_ca(ca, "nameplate HQ hq.devices.example", now, &ca_pem), 0);
    assert_int_equal(np_pki_make_leaf(other, ca_pem, leaf_key, "hq.devices.example", now, &leaf), NP_E_CHAIN);
    assert_int_equal(np_pki_make_leaf(ca, "nothing", leaf_key, "hq.devices.example", now, &leaf), NP_E_CHAIN);
    assert_int_equal(np_pki_make_leaf(ca, ca_pem, leaf_key, "hq.devices.example", now, &leaf), 0);
    assert_int_equal(np_pki_validity(leaf, strlen(leaf), &from, &to), 0);
    assert_int_equal(from, now - 86400);
    assert_int_equal(to - from, NP_PKI_LEAF_DAYS * 86400);
    assert_false(np_pki_is_due(from, to, now));
    assert_false(np_pki_is_due(from, to, to - (to - from) / 3 - 1));
    assert_true(np_pki_is_due(from, to, to - (to - from) / 3));
    assert_int_equal(np_pki_validity(leaf, 20, &from, &to), NP_E_CHAIN);
    assert_int_equal(np_hq_key_pem(leaf_key, &leaf_key_pem), 0);
    assert_int_equal(np_hq_key_pem(other, &other_pem), 0);
    assert_int_equal(np_tls_new(&tls), 0);
    assert_int_equal(np_tls_load(tls, leaf, strlen(leaf), other_pem, strlen(other_pem)), NP_E_KEY);
    assert_int_equal(np_tls_load(tls, "x", 1, leaf_key_pem, strlen(leaf_key_pem)), NP_E_CHAIN);
    assert_int_equal(np_tls_load(tls, leaf, strlen(leaf), leaf_key_pem, strlen(leaf_key_pem)), 0);
    np_tls_free(tls);
    np_hq_key_free(ca);
    np_hq_key_free(other);
    np_hq_key_free(leaf_key);
    free(ca_pem);
    free(leaf);
    free(leaf_key_pem);
    free(other_pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_private_ca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
