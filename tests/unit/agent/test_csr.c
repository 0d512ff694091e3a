/* The certificate request, read back by the DER reader and the verifier. That OpenSSL takes it is seen where HQ checks
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <bearssl.h>
#include <cmocka.h>

#include "agent/identity/csr.h"
#include "agent/identity/der.h"
#include "hq/proto/message.h"
#include "resolver/base/error.h"
#include "tests/support/test_ca.h"

static const char *const names[] = {"nifty-babbage.devices.example", "*.nifty-babbage.devices.example"};

static void reads_back(void **state)
{
    (void)state;
    struct np_private_key key = test_ca_key(1);
    uint8_t der[NP_CSR_MAX], hash[32], signature[80];
    size_t len;
    assert_int_equal(np_csr_build(&key, names, 2, der, sizeof der, &len), 0);
    struct np_reader r = np_reader_make(der, len), request = np_der_read(&r, NP_DER_SEQUENCE);
    np_der_end_of(&r);
    const uint8_t *info_at = request.data;
    struct np_reader info = np_der_read(&request, NP_DER_SEQUENCE);
    size_t info_len = request.pos;
    struct np_reader algorithm = np_der_read(&request, NP_DER_SEQUENCE), bits = np_der_read(&request, NP_DER_BITS);
    np_der_end_of(&request);
    assert_int_equal(r.error | request.error | algorithm.error, 0);
    /* version 0, empty subject, our key, the names */
    struct np_reader version = np_der_read(&info, NP_DER_INTEGER), subject = np_der_read(&info, NP_DER_SEQUENCE);
    assert_int_equal(np_read_u8(&version), 0);
    assert_int_equal(np_reader_left(&subject), 0);
    struct np_reader public = np_der_read(&info, NP_DER_SEQUENCE);
    np_der_skip(&public);
    struct np_reader point = np_der_read(&public, NP_DER_BITS);
    uint8_t expected[66] = {0};
    np_public_key_encode(&key.public, expected + 1);
    assert_true(np_der_is(&point, expected, sizeof expected));
    struct np_reader attributes = np_der_read(&info, NP_DER_CONTEXT(0));
    np_der_end_of(&info);
    struct np_reader attribute = np_der_read(&attributes, NP_DER_SEQUENCE);
    np_der_skip(&attribute);
    struct np_reader set = np_der_read(&attribute, NP_DER_SET), list = np_der_read(&set, NP_DER_SEQUENCE);
    struct np_reader extension = np_der_read(&list, NP_DER_SEQUENCE);
    static const uint8_t san[] = {0x55, 0x1d, 0x11}, yes[] = {0xff};
    struct np_reader oid = np_der_read(&extension, NP_DER_OID), critical = np_der_read(&extension, NP_DER_BOOLEAN);
    assert_true(np_der_is(&oid, san, sizeof san));
    assert_true(np_der_is(&critical, yes, sizeof yes));
    struct np_reader value = np_der_read(&extension, NP_DER_OCTETS), general = np_der_read(&value, NP_DER_SEQUENCE);
    for (size_t i = 0; i < 2; i++) {
        struct np_reader name = np_der_read(&general, 0x82);
        assert_true(np_der_is(&name, names[i], strlen(names[i])));
    }
    np_der_end_of(&general);
    assert_int_equal(info.error | attribute.error | general.error, 0);
    /* the signature */
    np_sha256(info_at, info_len, hash);
    assert_int_equal(np_read_u8(&bits), 0);
    size_t signature_len = np_reader_left(&bits);
    np_read_copy(&bits, signature, signature_len);
    assert_int_equal(br_ecdsa_asn1_to_raw(signature, signature_len), 64);
    assert_int_equal(np_key_verify(&key.public, hash, signature), 0);
}

static void same_again(void **state)
{
    (void)state;
    struct np_private_key key = test_ca_key(1);
    uint8_t one[NP_CSR_MAX], two[NP_CSR_MAX];
    size_t one_len, two_len;
    assert_int_equal(np_csr_build(&key, names, 1, one, sizeof one, &one_len), 0);
    assert_int_equal(np_csr_build(&key, names, 1, two, sizeof two, &two_len), 0);
    assert_int_equal(one_len, two_len);
    assert_memory_equal(one, two, one_len);
}

static void limits(void **state)
{
    (void)state;
    struct np_private_key key = test_ca_key(1);
    static const char *const bad[] = {"", "a..b", "-a.example", "a b.example", "*.", "**.a.example", "a.example."};
    const char *many[NP_CSR_NAMES_MAX + 1];
    uint8_t der[NP_CSR_MAX];
    size_t len = 0, whole;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(np_csr_build(&key, &bad[i], 1, der, sizeof der, &len), NP_E_NAME);
    for (size_t i = 0; i < NP_CSR_NAMES_MAX + 1; i++)
        many[i] = names[0];
    assert_int_equal(np_csr_build(&key, many, NP_CSR_NAMES_MAX, der, sizeof der, &len), 0);
    assert_int_equal(np_csr_build(&key, many, NP_CSR_NAMES_MAX + 1, der, sizeof der, &len), NP_E_LIMIT);
    assert_int_equal(np_csr_build(&key, many, 0, der, sizeof der, &len), NP_E_NAME);
    assert_int_equal(np_csr_build(&key, names, 1, der, sizeof der, &whole), 0);
    for (size_t size = 0; size < whole; size++)
        assert_int_equal(np_csr_build(&key, names, 1, der, size, &len), NP_E_LIMIT);
    assert_int_equal(np_csr_build(&key, names, 1, der, whole, &len), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_back), cmocka_unit_test(same_again),
                                       cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
