/* The check of a chain before it is installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/certificate/package.h"
#include "agent/certificate/pem.h"
#include "resolver/base/error.h"
#include "tests/support/test_ca.h"

#define NOW 1795320000
#define DAY 86400

static const char NAMES[1][NP_NAME_MAX + 1] = {"nifty-babbage.devices.example"};
static const char *const SANS[] = {"nifty-babbage.devices.example"};
static struct np_private_key leaf_key, inter_key, root_key, other_key;
static struct test_certificate leaf, inter, root;
static struct np_package package;
static char why[NP_PACKAGE_WHY_MAX];

static int setup(void **state)
{
    (void)state;
    leaf_key = test_ca_key(1);
    inter_key = test_ca_key(2);
    root_key = test_ca_key(3);
    other_key = test_ca_key(4);
    leaf = (struct test_certificate){.subject = "",
                                     .issuer = "Issuing CA",
                                     .key = &leaf_key.public,
                                     .signer = &inter_key,
                                     .sans = SANS,
                                     .san_count = 1,
                                     .not_before_s = NOW - DAY,
                                     .not_after_s = NOW + 44 * DAY};
    inter = (struct test_certificate){.subject = "Issuing CA",
                                      .issuer = "Root",
                                      .key = &inter_key.public,
                                      .signer = &root_key,
                                      .ca = true,
                                      .not_before_s = NOW - DAY,
                                      .not_after_s = NOW + 1000 * DAY};
    root = (struct test_certificate){.subject = "Root",
                                     .issuer = "Root",
                                     .key = &root_key.public,
                                     .signer = &root_key,
                                     .ca = true,
                                     .not_before_s = NOW - DAY,
                                     .not_after_s = NOW + 20000LL * DAY};
    return 0;
}

static int check(const char *pem, size_t len, int64_t now_s)
{
    struct np_package_wanted wanted = {.key = &leaf_key.public, .names = NAMES, .name_count = 1, .now_s = now_s};
    int rc = np_package_check(pem, len, &wanted, &package, why);
    if (rc == 0)
        assert_string_equal(why, "");
    else
        assert_true(why[0] != 0);
    return rc;
}

static int check_chain(const struct test_certificate *const *certificates, size_t count)
{
    char pem[4 * TEST_CA_PEM_MAX] = "";
    for (size_t i = 0; i < count; i++)
        test_ca_pem(certificates[i], pem, sizeof pem);
    return check(pem, strlen(pem), NOW);
}

#define CHAIN(...)                                                                                                     \
    check_chain((const struct test_certificate *const[]){__VA_ARGS__},                                                 \
                sizeof((const struct test_certificate *const[]){__VA_ARGS__}) / sizeof(void *))

static void good(void **state)
{
    (void)state;
    assert_int_equal(CHAIN(&leaf, &inter), 0);
    assert_int_equal(package.certificate_count, 2);
    assert_int_equal(package.leaf.not_before_s, NOW - DAY);
    assert_int_equal(package.leaf.not_after_s, NOW + 44 * DAY);
    assert_string_equal(package.leaf.issuer, "Issuing CA");
    assert_int_equal(package.leaf.name_count, 1);
    assert_int_equal(CHAIN(&leaf, &inter, &root), 0); /* the root's end is a GeneralizedTime */
    assert_int_equal(CHAIN(&leaf), 0);                /* a CA that signs leaves with its root */
}

static void order(void **state)
{
    (void)state;
    assert_int_equal(CHAIN(&inter, &leaf), NP_E_KEY);
    assert_int_equal(CHAIN(&leaf, &root, &inter), NP_E_CHAIN);
    assert_int_equal(CHAIN(&leaf, &leaf, &inter), NP_E_CHAIN);
    assert_int_equal(CHAIN(&leaf, &inter, &inter), NP_E_CHAIN);
    assert_int_equal(CHAIN(&leaf, &root), NP_E_CHAIN);
    assert_int_equal(CHAIN(&leaf, &inter, &root, &leaf), NP_E_CHAIN);
}

static void signatures(void **state)
{
    (void)state;
    leaf.signer = &other_key;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_CHAIN);
    leaf.signer = &inter_key;
    inter.signer = &other_key;
    assert_int_equal(CHAIN(&leaf, &inter), 0); /* nobody here can judge the last one's signature */
    assert_int_equal(CHAIN(&leaf, &inter, &root), NP_E_CHAIN);
}

static void authorities(void **state)
{
    (void)state;
    inter.ca = false;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_CHAIN);
    assert_int_equal(CHAIN(&leaf, &inter, &root), NP_E_CHAIN);
}

static void foreign_key(void **state)
{
    (void)state;
    leaf.key = &other_key.public;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_KEY);
}

static void names(void **state)
{
    (void)state;
    static const char *const other[] = {"other.devices.example"};
    static const char *const more[] = {"nifty-babbage.devices.example", "other.devices.example"};
    static const char *const wild[] = {"*.devices.example"};
    static const char *const upper[] = {"Nifty-Babbage.Devices.Example"};
    leaf.sans = other;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_NAME);
    leaf.sans = wild;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_NAME);
    leaf.sans = more;
    leaf.san_count = 2;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_NAME);
    leaf.san_count = 0;
    leaf.subject = "nifty-babbage.devices.example"; /* a CN is no name */
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_NAME);
    leaf.sans = upper;
    leaf.san_count = 1;
    assert_int_equal(CHAIN(&leaf, &inter), 0);
}

static void dates(void **state)
{
    (void)state;
    char pem[2 * TEST_CA_PEM_MAX] = "";
    test_ca_pem(&leaf, pem, sizeof pem);
    test_ca_pem(&inter, pem, sizeof pem);
    size_t len = strlen(pem);
    assert_int_equal(check(pem, len, leaf.not_before_s - 1), NP_E_DATE);
    assert_int_equal(check(pem, len, leaf.not_before_s), 0);
    assert_int_equal(check(pem, len, leaf.not_after_s), 0);
    assert_int_equal(check(pem, len, leaf.not_after_s + 1), NP_E_DATE);
    inter.not_after_s = NOW - 1;
    assert_int_equal(CHAIN(&leaf, &inter), NP_E_DATE);
}

/* The text's form does not matter; what is kept is always the same. */
static void forms(void **state)
{
    (void)state;
    char pem[2 * TEST_CA_PEM_MAX] = "", crlf[4 * TEST_CA_PEM_MAX], chain[NP_CHAIN_MAX + 1];
    size_t n = 0;
    test_ca_pem(&leaf, pem, sizeof pem);
    test_ca_pem(&inter, pem, sizeof pem);
    size_t len = strlen(pem);
    assert_int_equal(check(pem, len, NOW), 0);
    memcpy(chain, package.chain, sizeof chain);
    assert_string_equal(chain, pem);
    assert_int_equal(check(pem, len - 1, NOW), 0); /* no final newline */
    assert_string_equal(package.chain, chain);
    assert_int_equal(package.certificate_count, 2);
    for (size_t i = 0; i < len; i++) {
        if (pem[i] == '\n')
            crlf[n++] = '\r';
        crlf[n++] = pem[i];
    }
    assert_int_equal(check(crlf, n, NOW), 0);
    assert_string_equal(package.chain, chain);
}

static void cut(void **state)
{
    (void)state;
    char pem[2 * TEST_CA_PEM_MAX] = "";
    uint8_t der[2048];
    struct np_x509 x509;
    test_ca_pem(&leaf, pem, sizeof pem);
    size_t one = strlen(pem), len;
    test_ca_pem(&inter, pem, sizeof pem);
    len = strlen(pem);
    for (size_t i = 0; i < len - 1; i++) {
        int rc = check(pem, i, NOW);
        /* Between the two it is a chain of one. */
        bool whole = i >= one - 1 && i < one + strlen("-----BEGIN CERTIFICATE-----");
        assert_true(whole ? rc == 0 : rc < 0);
    }
    size_t der_len = test_ca_der(&leaf, der, sizeof der);
    assert_int_equal(np_x509_parse(der, der_len, &x509), 0);
    for (size_t i = 0; i < der_len; i++)
        assert_true(np_x509_parse(der, i, &x509) < 0);
}

static void limits(void **state)
{
    (void)state;
    static char large[NP_CHAIN_MAX + 2];
    memset(large, '\n', sizeof large);
    assert_int_equal(check(large, NP_CHAIN_MAX, NOW), NP_E_MALFORMED); /* nothing inside */
    assert_int_equal(check(large, NP_CHAIN_MAX + 1, NOW), NP_E_LIMIT);
    assert_int_equal(CHAIN(&leaf, &inter, &root, &root, &root, &root, &root), NP_E_LIMIT);
    static const char *const broken[] = {
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAA==A\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAB==\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_int_equal(check(broken[i], strlen(broken[i]), NOW), NP_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(good, setup),        cmocka_unit_test_setup(order, setup),
        cmocka_unit_test_setup(signatures, setup),  cmocka_unit_test_setup(authorities, setup),
        cmocka_unit_test_setup(foreign_key, setup), cmocka_unit_test_setup(names, setup),
        cmocka_unit_test_setup(dates, setup),       cmocka_unit_test_setup(forms, setup),
        cmocka_unit_test_setup(cut, setup),         cmocka_unit_test_setup(limits, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
