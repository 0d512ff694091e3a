/* The factory's folder: each credential, which one counts, and what is said of a folder that is not right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/certificate/pem.h"
#include "agent/identity/factory.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "tests/support/test_ca.h"

static char folder[64];
static const char *const names[] = {"certificate.pem", "key.pem", "secret", "claim-code"};

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/np-factory-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[128];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* NULL: the file goes. */
static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (text)
        assert_int_equal(np_file_write_atomic(path, text, strlen(text), 0600), 0);
    else
        unlink(path);
}

static void expect(int rc, const char *why)
{
    struct np_factory factory;
    char error[NP_FACTORY_ERROR_MAX] = "";
    int got = np_factory_read(folder, &factory, error);
    if (got != rc || !strstr(error, why) || !strstr(error, folder))
        fail_msg("%s: '%s', wanted %s", np_err_name(got), error, why);
}

static struct np_factory read_good(enum np_credential_type type)
{
    struct np_factory factory;
    char error[NP_FACTORY_ERROR_MAX] = "";
    if (np_factory_read(folder, &factory, error))
        fail_msg("%s", error);
    assert_int_equal(factory.type, type);
    return factory;
}

static void make_certificate(uint8_t key_number, char pem[TEST_CA_PEM_MAX])
{
    struct np_private_key ca = test_ca_key(200), key = test_ca_key(key_number);
    const struct test_certificate leaf = {.subject = "NP-0001",
                                          .issuer = "Line 7",
                                          .key = &key.public,
                                          .signer = &ca,
                                          .not_before_s = 1700000000,
                                          .not_after_s = 1900000000};
    pem[0] = 0;
    test_ca_pem(&leaf, pem, TEST_CA_PEM_MAX);
}

static void key_text(uint8_t number, char pem[600])
{
    struct np_private_key key = test_ca_key(number);
    uint8_t der[NP_KEY_SEC1_LEN];
    size_t at = 0;
    np_key_encode_sec1(&key, der);
    assert_int_equal(np_pem_append("EC PRIVATE KEY", der, sizeof der, pem, 600, &at), 0);
}

static void test_each_kind(void **state)
{
    char certificate[TEST_CA_PEM_MAX], key[600];
    (void)state;
    expect(NP_E_NOT_FOUND, "no factory identity");
    put("claim-code", "04hm-asw9-nf6y-y09z\r\n");
    struct np_factory factory = read_good(NP_CREDENTIAL_CLAIM_CODE);
    assert_string_equal(factory.code, "04HMASW9NF6YY09Z");
    put("secret", "serial = \"NP-0001\"\nsecret = 0101010101010101010101010101010101010101010101010101010101010101\n");
    factory = read_good(NP_CREDENTIAL_FACTORY_SECRET);
    assert_string_equal(factory.serial, "NP-0001");
    assert_int_equal(factory.secret[31], 1);
    make_certificate(3, certificate);
    key_text(3, key);
    put("certificate.pem", certificate);
    put("key.pem", key);
    factory = read_good(NP_CREDENTIAL_FACTORY_CERTIFICATE);
    assert_int_equal(factory.certificate_count, 1);
    struct np_private_key wanted = test_ca_key(3);
    assert_memory_equal(&factory.key, &wanted, sizeof wanted);
}

static void test_mistakes(void **state)
{
    char certificate[TEST_CA_PEM_MAX], key[600], four[4 * TEST_CA_PEM_MAX];
    (void)state;
    make_certificate(3, certificate);
    key_text(3, key);
    /* One half of a certificate is a mistake, even where a secret stands beside it. */
    put("secret", "serial = \"NP-0001\"\nsecret = 0101010101010101010101010101010101010101010101010101010101010101\n");
    put("certificate.pem", certificate);
    expect(NP_E_CONFIG, "no key.pem");
    put("certificate.pem", NULL);
    put("key.pem", key);
    expect(NP_E_CONFIG, "no certificate.pem");
    put("certificate.pem", "nothing");
    expect(NP_E_CONFIG, "certificate.pem holds no certificate");
    put("certificate.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    expect(NP_E_CONFIG, "is damaged");
    put("certificate.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    expect(NP_E_CONFIG, "cannot be read");
    put("certificate.pem", certificate);
    key_text(4, key);
    put("key.pem", key);
    expect(NP_E_CONFIG, "not the key of the first");
    put("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n");
    expect(NP_E_CONFIG, "without a passphrase");
    put("key.pem", "");
    expect(NP_E_CONFIG, "key.pem must hold");
    key_text(3, key);
    put("key.pem", key);
    snprintf(four, sizeof four, "%s%s%s%s", certificate, certificate, certificate, certificate);
    put("certificate.pem", four);
    expect(NP_E_CONFIG, "leave the root out");
    put("certificate.pem", NULL);
    put("key.pem", NULL);
    put("secret", "serial = \"NP-0001\"\n");
    expect(NP_E_CONFIG, "64 hex digits");
    put("secret", "secret = 01\n");
    expect(NP_E_CONFIG, "serial number");
    put("secret", NULL);
    put("claim-code", "04HM-ASW9-NF6Y-Y09X");
    expect(NP_E_CONFIG, "wrong character");
    put("claim-code", "\n04HM-ASW9-NF6Y-Y09Z");
    expect(NP_E_CONFIG, "one line of 16");
    char *large = malloc(NP_FACTORY_FILE_MAX + 2);
    memset(large, 'x', NP_FACTORY_FILE_MAX + 1);
    large[NP_FACTORY_FILE_MAX + 1] = 0;
    put("claim-code", large);
    expect(NP_E_LIMIT, "claim-code");
    free(large);
}

static void test_folder_away(void **state)
{
    struct np_factory factory;
    char error[NP_FACTORY_ERROR_MAX] = "";
    (void)state;
    assert_int_equal(np_factory_read("/nowhere", &factory, error), NP_E_NOT_FOUND);
    assert_non_null(strstr(error, "/nowhere has no factory identity"));
}

/* What HQ checks: the signature by the factory key, over exactly this request and this identity. */
static void test_certificate_credential(void **state)
{
    struct np_factory factory;
    struct np_credential credential;
    struct np_private_key identity = test_ca_key(9), key = test_ca_key(3);
    uint8_t thumbprint[32], input[NP_FACTORY_MAC_INPUT_MAX], hash[32];
    struct np_crypto crypto;
    char certificate[TEST_CA_PEM_MAX], text[600], error[NP_FACTORY_ERROR_MAX];
    (void)state;
    make_certificate(3, certificate);
    key_text(3, text);
    assert_int_equal(np_factory_parse_certificate(text, certificate, &factory, error), 0);
    assert_int_equal(np_factory_credential(&factory, &identity.public, "bm9uY2U", "https://hq/v1/devices", &credential),
                     0);
    np_crypto_init(&crypto, NULL);
    np_jwk_thumbprint(&crypto, &identity.public, thumbprint);
    np_sha256(input, np_factory_mac_input(thumbprint, "bm9uY2U", "https://hq/v1/devices", input), hash);
    assert_int_equal(np_key_verify(&key.public, hash, credential.signature), 0);
    np_sha256(input, np_factory_mac_input(thumbprint, "bm9uY2V", "https://hq/v1/devices", input), hash);
    assert_int_equal(np_key_verify(&key.public, hash, credential.signature), NP_E_SIGNATURE);
    assert_int_equal(credential.certificate_count, 1);
    assert_memory_equal(credential.chain, factory.chain, factory.certificate_len[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
        cmocka_unit_test(test_folder_away),
        cmocka_unit_test(test_certificate_credential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
