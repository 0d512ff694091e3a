/* Anchors, the served chain, and the texts of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/certificate/pem.h"
#include "resolver/base/error.h"
#include "tests/unit/agent/certs.h"

static struct certs certs;

/* count times the certificate in file, malloc'd. */
static char *repeated(const char *file, int count)
{
    size_t len = 0, used = 0;
    char *one = certs_read(&certs, file, &len), *all = calloc(1, len * (size_t)count + 1);
    for (int i = 0; i < count; i++, used += len)
        memcpy(all + used, one, len);
    free(one);
    return all;
}

static int parse_anchors(const char *text, size_t len)
{
    struct np_tls_anchors *anchors = NULL;
    int rc = np_tls_anchors_parse(text, len, &anchors);
    assert_true((rc == 0) == (anchors != NULL));
    np_tls_anchors_free(anchors);
    return rc;
}

static void test_anchors(void **state)
{
    (void)state;
    char *most = repeated("root.pem", NP_TLS_ANCHORS_MAX), *more = repeated("rsa.pem", NP_TLS_ANCHORS_MAX + 1);
    assert_int_equal(parse_anchors(most, strlen(most)), 0);
    assert_int_equal(parse_anchors(more, strlen(more)), NP_E_LIMIT);
    free(most);
    free(more);
    assert_int_equal(parse_anchors("", 0), NP_E_MISSING);
    assert_int_equal(parse_anchors("no PEM at all\n", 14), NP_E_MISSING);
    static const char no_certificate[] = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    assert_int_equal(parse_anchors(no_certificate, strlen(no_certificate)), NP_E_MALFORMED);
    char *large = calloc(1, NP_TLS_ANCHORS_FILE_MAX + 1);
    memset(large, '\n', NP_TLS_ANCHORS_FILE_MAX + 1);
    assert_int_equal(parse_anchors(large, NP_TLS_ANCHORS_FILE_MAX), NP_E_MISSING);
    assert_int_equal(parse_anchors(large, NP_TLS_ANCHORS_FILE_MAX + 1), NP_E_LIMIT);
    free(large);
}

/* Cut anywhere in its base64, a certificate is refused; without the newline at its end it is not lost. */
static void test_truncated_anchor(void **state)
{
    (void)state;
    size_t len;
    char *pem = certs_read(&certs, "root.pem", &len);
    assert_int_equal(parse_anchors(pem, len - 1), 0);
    for (size_t n = 0; n < len - 1; n++)
        assert_true(parse_anchors(pem, n) < 0);
    free(pem);
}

/* A certificate cut in its DER, each byte: never accepted, never read past. */
static void test_truncated_der(void **state)
{
    (void)state;
    size_t len;
    uint8_t der[2048];
    char *pem = certs_read(&certs, "rsa.pem", &len), text[4096];
    struct np_pem reader = {.text = pem, .len = len};
    long n = np_pem_next(&reader, "CERTIFICATE", der, sizeof der);
    assert_true(n > 0);
    for (long cut = 1; cut < n; cut++) {
        size_t pos = 0;
        assert_int_equal(np_pem_append("CERTIFICATE", der, (size_t)cut, text, sizeof text, &pos), 0);
        int rc = parse_anchors(text, pos);
        if (rc != NP_E_MALFORMED)
            fail_msg("cut after %ld of %ld bytes: %s", cut, n, np_err_name(rc));
    }
    free(pem);
}

static int new_identity(const char *pem, size_t len, const struct np_private_key *key)
{
    struct np_tls_identity *identity = NULL;
    int rc = np_tls_identity_new(pem, len, key, &identity);
    assert_true((rc == 0) == (identity != NULL));
    np_tls_identity_unref(identity);
    return rc;
}

static void test_identity(void **state)
{
    (void)state;
    struct np_private_key key, other;
    assert_int_equal(certs_key(&certs, "leaf.der", &key), 0);
    assert_int_equal(certs_key(&certs, "other.der", &other), 0);
    char *most = repeated("leaf.pem", NP_TLS_CHAIN_MAX), *more = repeated("leaf.pem", NP_TLS_CHAIN_MAX + 1);
    char *rsa = repeated("rsa.pem", 1);
    assert_int_equal(new_identity(most, strlen(most), &key), 0);
    assert_int_equal(new_identity(more, strlen(more), &key), NP_E_LIMIT);
    assert_int_equal(new_identity(most, strlen(most), &other), NP_E_KEY);
    assert_int_equal(new_identity(rsa, strlen(rsa), &key), NP_E_KEY);
    assert_int_equal(new_identity("", 0, &key), NP_E_MISSING);
    assert_int_equal(new_identity(most, strlen(most) - 40, &key), NP_E_MALFORMED);
    free(most);
    free(more);
    free(rsa);
    np_tls_identity_unref(NULL);
    struct np_tls_identity *identity = certs_identity(&certs, "leaf.pem");
    assert_ptr_equal(np_tls_identity_ref(identity), identity);
    np_tls_identity_unref(identity);
    np_tls_identity_unref(identity);
}

static void test_profile(void **state)
{
    (void)state;
    static br_ssl_client_context client;
    static br_ssl_server_context server;
    static br_x509_minimal_context x509;
    struct np_tls_anchors *anchors = certs_anchors(&certs, "root.pem");
    struct np_tls_identity *identity = certs_identity(&certs, "leaf.pem");
    np_tls_profile_client(&client, &x509, anchors, 1795320000); /* 2026-11-22 04:00 UTC */
    np_tls_profile_server(&server, identity, NULL);
    const br_ssl_engine_context *engines[] = {&client.eng, &server.eng};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(engines[i]->version_min, BR_TLS12);
        assert_int_equal(engines[i]->version_max, BR_TLS12);
        assert_true(engines[i]->flags & BR_OPT_NO_RENEGOTIATION);
        assert_int_equal(engines[i]->suites_num, 3);
        uint16_t first = br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get()
                             ? BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                             : BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
        assert_int_equal(engines[i]->suites_buf[0], first);
    }
    assert_int_equal(x509.days, 719528 + 1795320000 / 86400);
    assert_int_equal(x509.seconds, 1795320000 % 86400);
    np_tls_anchors_free(anchors);
    np_tls_identity_unref(identity);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        int error, code, alert;
        const char *word;
    } rows[] = {
        {BR_ERR_OK, 0, 0, "no error"},
        {BR_ERR_X509_NOT_TRUSTED, NP_E_CHAIN, 48, "unknown issuer"},
        {BR_ERR_X509_BAD_SIGNATURE, NP_E_CHAIN, 48, "signature"},
        {BR_ERR_X509_NOT_CA, NP_E_CHAIN, 42, "no CA"},
        {BR_ERR_X509_EXPIRED, NP_E_DATE, 45, "expired"},
        {BR_ERR_X509_BAD_SERVER_NAME, NP_E_NAME, 46, "name mismatch"},
        {BR_ERR_BAD_MAC, NP_E_TLS, 0, "forged"},
        {BR_ERR_RECV_FATAL_ALERT + 48, NP_E_TLS, 0, "the peer refused: unknown issuer"},
        {BR_ERR_SEND_FATAL_ALERT + 70, NP_E_TLS, 0, "no common TLS version"},
        {BR_ERR_RECV_FATAL_ALERT + 255, NP_E_TLS, 0, "TLS error"},
        {BR_ERR_SEND_FATAL_ALERT + 255, NP_E_TLS, 0, "TLS error"},
        {-1, NP_E_TLS, 0, "TLS error"},
        {200, NP_E_TLS, 0, "TLS error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(np_tls_error_code(rows[i].error), rows[i].code);
        assert_int_equal(np_tls_error_alert(rows[i].error), rows[i].alert);
        if (!strstr(np_tls_error_text(rows[i].error), rows[i].word))
            fail_msg("%d is \"%s\"", rows[i].error, np_tls_error_text(rows[i].error));
    }
    for (int error = -1; error < 1024; error++)
        assert_non_null(np_tls_error_text(error));
}

static int setup(void **state)
{
    (void)state;
    return certs_make(&certs);
}

static int teardown(void **state)
{
    (void)state;
    certs_remove(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anchors),  cmocka_unit_test(test_truncated_anchor), cmocka_unit_test(test_truncated_der),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_profile),          cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
