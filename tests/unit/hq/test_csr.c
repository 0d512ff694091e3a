/* CSRs: one good kind, and every way to be bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <string.h>

#include "hq/csr.h"
#include "resolver/base/error.h"
#include "tests/unit/hq/make_csr.h"

#define NAME "nifty-babbage.devices.example"

static const struct np_csr_expect expect = {.names = {NAME}, .name_count = 1};

static int check(EVP_PKEY *key, const struct csr_recipe *recipe, struct np_refusal *refusal)
{
    uint8_t der[4096];
    struct np_public_key public_key;
    size_t len = csr_make(key, recipe, der, sizeof der);
    assert_true(len > 0);
    return np_csr_check(der, len, &expect, &public_key, refusal);
}

static void test_subject_and_names(void **state)
{
    (void)state;
    static const struct {
        struct csr_recipe recipe;
        const char *why; /* NULL: good */
    } rows[] = {
        {{.san = "DNS:" NAME}, NULL},
        {{.san = "DNS:" NAME, .cn = NAME}, NULL},
        {{.san = "DNS:NIFTY-babbage.Devices.example"}, NULL},
        {{.san = "critical,DNS:" NAME, .key_usage = "digitalSignature"}, NULL},
        {{.san = "DNS:" NAME, .cn = "other.devices.example"}, "CN is not"},
        {{.san = "DNS:" NAME, .cn = NAME, .country = "DE"}, "a CN and nothing else"},
        {{.san = "DNS:" NAME, .country = "DE"}, "a CN and nothing else"},
        {{.cn = NAME}, "no subjectAltName"},
        {{.san = "DNS:other.devices.example"}, "something else"},
        {{.san = "DNS:" NAME ",DNS:other.devices.example"}, "exactly"},
        {{.san = "DNS:*.devices.example"}, "something else"},
        {{.san = "DNS:x." NAME}, "something else"},
        {{.san = "DNS:" NAME "."}, "something else"},
        {{.san = "DNS:" NAME ",DNS:" NAME}, "exactly"},
        {{.san = "IP:192.168.1.1"}, "something else"},
        {{.san = "email:a@" NAME}, "something else"},
        {{.san = "DNS:" NAME, .san_again = "DNS:" NAME}, "more than one"},
        {{.san = "DNS:" NAME, .constraints = "CA:TRUE"}, "an extension"},
        {{.san = "DNS:" NAME, .bad_signature = 1}, "signature"},
    };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_refusal refusal = {0};
        int rc = check(key, &rows[i].recipe, &refusal);
        if (rc != (rows[i].why ? NP_E_REFUSED : 0) || (rows[i].why && !strstr(refusal.problem.detail, rows[i].why)))
            fail_msg("row %zu: %d %s", i, rc, refusal.problem.detail);
        if (rc)
            assert_string_equal(refusal.problem.type, "bad-csr");
    }
    struct np_refusal refusal;
    struct csr_recipe sha384 = {.san = "DNS:" NAME, .digest = EVP_sha384()};
    assert_int_equal(check(key, &sha384, &refusal), NP_E_REFUSED);
    assert_non_null(strstr(refusal.problem.detail, "SHA-256"));
    EVP_PKEY_free(key);
}

static void test_several_names(void **state)
{
    (void)state;
    struct np_csr_expect two = {.names = {NAME, "*." NAME}, .name_count = 2};
    static const struct {
        const char *san;
        int rc;
    } rows[] = {
        {"DNS:" NAME ",DNS:*." NAME, 0},
        {"DNS:*." NAME ",DNS:" NAME, 0},
        {"DNS:" NAME, NP_E_REFUSED},
        {"DNS:" NAME ",DNS:" NAME, NP_E_REFUSED},
    };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t der[2048];
        struct np_public_key public_key;
        struct np_refusal refusal;
        struct csr_recipe recipe = {.san = rows[i].san};
        size_t len = csr_make(key, &recipe, der, sizeof der);
        assert_int_equal(np_csr_check(der, len, &two, &public_key, &refusal), rows[i].rc);
    }
    EVP_PKEY_free(key);
}

static void test_keys(void **state)
{
    (void)state;
    struct csr_recipe recipe = {.san = "DNS:" NAME};
    struct np_refusal refusal;
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *p384 = EVP_EC_gen("P-384"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_int_equal(check(rsa, &recipe, &refusal), NP_E_REFUSED);
    assert_non_null(strstr(refusal.problem.detail, "P-256"));
    assert_int_equal(check(p384, &recipe, &refusal), NP_E_REFUSED);
    assert_non_null(strstr(refusal.problem.detail, "P-256"));
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(ed);
    /* The curve written out, and a compressed point: libcrypto understands them, CAs do not take them. */
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed");
    assert_int_equal(check(key, &recipe, &refusal), NP_E_REFUSED);
    assert_non_null(strstr(refusal.problem.detail, "uncompressed"));
    EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed");
    assert_int_equal(check(key, &recipe, &refusal), 0);
    EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit");
    assert_int_equal(check(key, &recipe, &refusal), NP_E_REFUSED);
    EVP_PKEY_free(key);
}

static void test_identity_key(void **state)
{
    (void)state;
    uint8_t der[1024];
    struct np_csr_expect own = expect;
    struct np_public_key public_key;
    struct np_refusal refusal;
    struct csr_recipe recipe = {.san = "DNS:" NAME};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    size_t len = csr_make(key, &recipe, der, sizeof der);
    assert_int_equal(np_csr_check(der, len, &own, &public_key, &refusal), 0);
    own.identity = public_key;
    assert_int_equal(np_csr_check(der, len, &own, &public_key, &refusal), NP_E_REFUSED);
    assert_string_equal(refusal.problem.type, "key-reused");
    EVP_PKEY_free(key);
}

/* Cut at each byte, one byte too many, one bit wrong anywhere: never accepted. */
static void test_damaged(void **state)
{
    (void)state;
    uint8_t der[1024], copy[1025];
    struct np_public_key public_key;
    struct np_refusal refusal;
    struct csr_recipe recipe = {.san = "DNS:" NAME, .cn = NAME};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    size_t len = csr_make(key, &recipe, der, sizeof der);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(np_csr_check(der, cut, &expect, &public_key, &refusal), NP_E_REFUSED);
    memcpy(copy, der, len);
    copy[len] = 0;
    assert_int_equal(np_csr_check(copy, len + 1, &expect, &public_key, &refusal), NP_E_REFUSED);
    for (size_t i = 0; i < len; i++) {
        memcpy(copy, der, len);
        copy[i] ^= 0x01;
        if (np_csr_check(copy, len, &expect, &public_key, &refusal) == 0)
            fail_msg("accepted with byte %zu of %zu changed", i, len);
    }
    memset(copy, 0x30, sizeof copy);
    assert_int_equal(np_csr_check(copy, NP_CSR_MAX + 1, &expect, &public_key, &refusal), NP_E_REFUSED);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subject_and_names), cmocka_unit_test(test_several_names), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_identity_key),      cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
